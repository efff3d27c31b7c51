# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Images with labels in a folder: KITTI-360, Cityscapes and BDD100K as published, frame stores."""

import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from scenedino_ros.cameras.camera import CalibratedCamera, PinholeCamera
from scenedino_ros.cameras.image_file import decode_image
from scenedino_ros.cameras.image_folder import read_rgb
from scenedino_ros.cameras.plausibility import camera_from_intrinsics
from scenedino_ros.core.errors import InputError
from scenedino_ros.core.file_limits import MESSAGE_BYTES
from scenedino_ros.core.labels import bdd100k_train_ids, kitti360_train_ids
from scenedino_ros.core.reading import read_bytes, read_json, reading
from scenedino_ros.evaluation.segmentation.images import (
    LabelledData,
    LabelledImage,
    Size,
    StoreImages,
    part_in_words,
    stretched,
    together,
)
from scenedino_ros.evaluation.settings import ImageSettings
from scenedino_ros.evaluation.ssc.data import frame_numbers, read_card
from scenedino_ros.evaluation.stores import camera_from_norm
from scenedino_ros.recordings.datasets.kitti360_calibration import (
    Kitti360Calibration,
    read_calibration,
)
from scenedino_ros.recordings.datasets.kitti360_folders import (
    dataset_root,
    picture_folder,
    sequence_name,
)

_DRIVE = re.compile(sequence_name(0).replace("0000", r"(\d{4,})"))
# Highest ids of the label files; higher ids are in no table.
_TEST_DRIVE = 9  # of KITTI-360
_KITTI360_IDS, _CITYSCAPES_IDS, _BDD100K_IDS = 44, 33, 40


def card_drives(root: Path, split: str = "test") -> tuple[int, ...] | None:
    """Return the numbers of the drives of a data set in KITTI-360's folders; None: the official.

    Args:
        root: Its folder.
        split: Which of them.

    Raises:
        InputError: If one has a name that KITTI-360 would not give it.
    """
    card = read_card(root)
    if card is None:
        return None
    drives = []
    for name in card["splits"].get(split, []):
        found = _DRIVE.fullmatch(name)
        if not found:
            raise InputError(
                f"drives in {root} must be called {sequence_name(0).replace('0000', 'NNNN')}, "
                f"got {name}"
            )
        drives.append(int(found[1]))
    return tuple(drives)


@dataclass(frozen=True)
class Kitti360Images:
    """Left images of a drive of KITTI-360, as the published 2D evaluation takes them.

    Rows 1, 2, ... of the drive's pose file count, if there are labels for the row and the next.

    Attributes:
        root: Folder that holds ``data_2d_raw``, ``data_2d_semantics``, ``data_poses``.
        drive: Number of the drive; 9 is the test split of SSCBench.
        every: Only every n-th image.
    """

    root: Path
    drive: int = _TEST_DRIVE
    every: int = 1

    @property
    def name(self) -> str:
        """Drive, and which of its images."""
        return f"{self._set or 'KITTI-360'}, drive {self.drive:04d}{part_in_words(self.every)}"

    @property
    def published(self) -> str | None:
        """The test split has a published table."""
        is_test = self.drive == _TEST_DRIVE and self.every == 1 and self._set is None
        return "KITTI-360" if is_test else None

    def settings(self) -> dict[str, Any]:
        """Return data set, drive and part."""
        return {"set": self._set or "kitti360", "drive": self.drive, "every": self.every}

    def items(self) -> list[str]:
        """Return the frame numbers.

        Raises:
            InputError: If the pose file is missing or there are no labels.
        """
        rows = frame_numbers(self.root, sequence_name(self.drive))
        labelled = [self._label(f"{number:010d}").is_file() for number in rows]
        following = [*labelled[1:], labelled[-1]]
        names = [f"{rows[i]:010d}" for i in range(1, len(rows)) if labelled[i] and following[i]]
        if not names:
            raise InputError(
                f"no labels {self._label('NNNNNNNNNN')} for the rows of the pose file"
            )
        return names[:: self.every]

    def unnamed(self) -> int:
        """Return none: labels exist for an unknown part of the drive."""
        return 0

    def files(self, item: str) -> list[Path]:
        """Return image, labels and the camera's calibration."""
        calibration = self.root / "calibration" / "perspective.txt"
        return [self._image(item), self._label(item), calibration]

    def load(self, item: str, size: Size) -> LabelledImage:
        """Return an image and its labels, both stretched to the size."""
        ids = read_ids(self._label(item))
        target, unknown = kitti360_train_ids(ids), int((ids > _KITTI360_IDS).sum())
        rgb = stretched(read_rgb(self._image(item)), size)
        camera = self._calibration.camera.resized(size[1], size[0])
        return LabelledImage(rgb, CalibratedCamera(camera), stretched(target, size), unknown)

    @cached_property
    def _set(self) -> str | None:
        """Name of another data set than KITTI-360 in its folders, such as synthetic streets."""
        card = read_card(self.root)
        return card["name"] if card else None

    @cached_property
    def _calibration(self) -> Kitti360Calibration:
        return read_calibration(self.root / "calibration")

    def _image(self, frame: str) -> Path:
        return self._pictures / f"{frame}.png"

    @cached_property
    def _pictures(self) -> Path:
        drive = self.root / "data_2d_raw" / sequence_name(self.drive)
        return picture_folder(drive, "image_00")

    def _label(self, frame: str) -> Path:
        folder = self.root / "data_2d_semantics" / "train" / sequence_name(self.drive)
        return folder / "image_00" / "semantic" / f"{frame}.png"


@dataclass(frozen=True)
class CityscapesImages:
    """Images of Cityscapes with fine labels.

    Attributes:
        root: Folder that holds ``leftImg8bit`` and ``gtFine``.
        split: ``val`` (500 images) or ``train``.
        true_camera: Take the intrinsics of ``camera/``; else those of the published
            evaluation, a pyramid of 90 degrees both ways.
        every: Only every n-th image.
    """

    root: Path
    split: str = ImageSettings.split
    true_camera: bool = False
    every: int = 1

    @property
    def name(self) -> str:
        """Split, and which of its images."""
        return f"Cityscapes {self.split}{part_in_words(self.every)}"

    @property
    def published(self) -> str | None:
        """The validation split has a published table."""
        return "Cityscapes val" if self.split == "val" and self.every == 1 else None

    def settings(self) -> dict[str, Any]:
        """Return data set, split, camera and part."""
        return {
            "set": "cityscapes",
            "split": self.split,
            "true_camera": self.true_camera,
            "every": self.every,
        }

    @cached_property
    def _all(self) -> list[str]:
        found = {
            f"{path.parent.name}/{path.name.removesuffix(suffix)}"
            for folder, suffix in (
                ("leftImg8bit", "_leftImg8bit.png"),
                ("gtFine", "_gtFine_labelIds.png"),
            )
            for path in (self.root / folder / self.split).glob(f"*/*{suffix}")
        }
        return _some(sorted(found), self.root, "leftImg8bit and gtFine")

    def items(self) -> list[str]:
        """Return the names, ``city/city_sequence_frame``, that an image or a label has."""
        return self._all[:: self.every]

    def unnamed(self) -> int:
        """Return how many of the validation split's 500 are not there."""
        return max(0, 500 - len(self._all)) if self.published else 0

    def files(self, item: str) -> list[Path]:
        """Return image, labels and camera."""
        return [
            self.root / folder / self.split / f"{item}_{ending}"
            for folder, ending in (
                ("leftImg8bit", "leftImg8bit.png"),
                ("gtFine", "gtFine_labelIds.png"),
                ("camera", "camera.json"),
            )
        ]

    def load(self, item: str, size: Size) -> LabelledImage:
        """Return an image and its labels, squashed to half its height per width and cropped."""
        image, label, calibration = self.files(item)
        ids = read_ids(label)
        # KITTI-360 took Cityscapes' ids, which end at 33, and added some; -1 is stored as 255.
        target = np.where(ids <= _CITYSCAPES_IDS, kitti360_train_ids(ids), -1)
        unknown = int(((ids > _CITYSCAPES_IDS) & (ids != 255)).sum())
        rgb = read_rgb(image)
        camera = pyramid_camera(size)
        if self.true_camera:
            camera = squashed_camera(_cityscapes_camera(calibration, rgb), size)
        return LabelledImage(
            squashed(rgb, size), CalibratedCamera(camera), squashed(target, size), unknown
        )


@dataclass(frozen=True)
class Bdd100kImages:
    """Images of BDD100K's 10k part with panoptic labels, taken as the published evaluation does.

    Attributes:
        root: Folder that holds ``images/10k`` and ``labels/pan_seg``.
        split: ``val`` (1000 images) or ``train``.
        every: Only every n-th image.
    """

    root: Path
    split: str = ImageSettings.split
    every: int = 1

    @property
    def name(self) -> str:
        """Split, and which of its images."""
        return f"BDD100K {self.split}{part_in_words(self.every)}"

    @property
    def published(self) -> str | None:
        """The validation split has a published table."""
        return "BDD val" if self.split == "val" and self.every == 1 else None

    def settings(self) -> dict[str, Any]:
        """Return data set, split and part."""
        return {"set": "bdd100k", "split": self.split, "every": self.every}

    @cached_property
    def _all(self) -> list[str]:
        images = (self.root / "images" / "10k" / self.split).glob("*.jpg")
        labels = (self.root / "labels" / "pan_seg" / "bitmasks" / self.split).glob("*.png")
        names = sorted({path.stem for path in [*images, *labels]})
        return _some(names, self.root, "images/10k and labels/pan_seg/bitmasks")

    def items(self) -> list[str]:
        """Return the names that an image or a label has."""
        return self._all[:: self.every]

    def unnamed(self) -> int:
        """Return how many of the validation split's 1000 are not there."""
        return max(0, 1000 - len(self._all)) if self.published else 0

    def files(self, item: str) -> list[Path]:
        """Return image and labels."""
        labels = self.root / "labels" / "pan_seg" / "bitmasks" / self.split
        images = self.root / "images" / "10k" / self.split
        return [images / f"{item}.jpg", labels / f"{item}.png"]

    def load(self, item: str, size: Size) -> LabelledImage:
        """Return an image and its labels, squashed to half its height per width and cropped."""
        path, label = self.files(item)
        ids = read_ids(label)
        target, unknown = bdd100k_train_ids(ids), int((ids > _BDD100K_IDS).sum())
        rgb = read_rgb(path)
        camera = CalibratedCamera(pyramid_camera(size))
        return LabelledImage(squashed(rgb, size), camera, squashed(target, size), unknown)


def open_images(path: Path | str, settings: ImageSettings) -> LabelledData:
    """Return the images with labels in a folder.

    Raises:
        InputError: If the folder is none of the known data sets.
    """
    return together(open_sets(path, settings))


def open_sets(path: Path | str, settings: ImageSettings) -> list[LabelledData]:
    """Return the sets of images in a folder: of KITTI-360 one for each drive, else one.

    Raises:
        InputError: If the folder is none of the known data sets.
    """
    folder = dataset_root(Path(path))
    if (folder / "store.json").is_file():
        return [StoreImages(folder, settings.camera, settings.every)]
    if (folder / "leftImg8bit").is_dir() or (folder / "gtFine").is_dir():
        return [CityscapesImages(folder, settings.split, settings.true_camera, settings.every)]
    if (folder / "images" / "10k").is_dir() or (folder / "labels" / "pan_seg").is_dir():
        return [Bdd100kImages(folder, settings.split, settings.every)]
    if (folder / "data_2d_semantics").is_dir():
        drives = settings.drives or card_drives(folder) or (_TEST_DRIVE,)
        return [Kitti360Images(folder, drive, settings.every) for drive in drives]
    raise InputError(
        f"{folder} must hold data_2d_semantics (KITTI-360), leftImg8bit and gtFine (Cityscapes), "
        "images/10k and labels/pan_seg (BDD100K) or store.json (frame store), and does not"
    )


def read_ids(path: Path) -> np.ndarray:
    """Return the (h, w) uint8 ids of a label PNG; of one with channels, the first (red) one.

    Raises:
        InputError: If the file is missing, damaged or not of 8 bits.
    """
    with reading(f"label {path}"):
        content = np.frombuffer(read_bytes(path, MESSAGE_BYTES), dtype=np.uint8)
    image = decode_image(content, f"label {path}")
    if image.dtype != np.uint8:
        raise InputError(f"label {path} must have 8 bits, got {image.dtype}")
    return image if image.ndim == 2 else image[..., 2]


def squashed(image: np.ndarray, size: Size) -> np.ndarray:
    """Scale to twice as wide as high, and cut rows from the middle to the network's size."""
    height, width = size
    top = (width // 2 - height) // 2
    return stretched(image, (width // 2, width))[top : top + height]


def _cityscapes_camera(path: Path, rgb: np.ndarray) -> PinholeCamera:
    with reading(f"camera file {path}"):
        values = read_json(path)["intrinsic"]
        fx, fy, cx, cy = (float(values[key]) for key in ("fx", "fy", "u0", "v0"))
        height, width = rgb.shape[:2]
        return camera_from_intrinsics((fx, fy, cx, cy), width, height).pinhole


def squashed_camera(camera: PinholeCamera, size: Size) -> PinholeCamera:
    """Return the camera of a squashed image."""
    height, width = size
    top = (width // 2 - height) // 2
    return camera.resized(width, width // 2).cropped(0, top, width, height)


def pyramid_camera(size: Size) -> PinholeCamera:
    """Return the camera whose intrinsics for coordinates in [-1, 1] are the identity."""
    return camera_from_norm(np.eye(3), size[1], size[0])


def _some(names: list[str], root: Path, folders: str) -> list[str]:
    if not names:
        raise InputError(f"{root} must hold {folders} with files of the split, and does not")
    return names
