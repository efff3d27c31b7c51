# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Pairs of frames of videos: KITTI-360 drives, RealEstate10K, and frame stores."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from scenedino_ros.cameras.camera import CalibratedCamera, PinholeCamera
from scenedino_ros.cameras.image_folder import read_rgb
from scenedino_ros.cameras.plausibility import camera_from_intrinsics
from scenedino_ros.core.errors import InputError
from scenedino_ros.core.reading import read_text, reading
from scenedino_ros.evaluation.settings import ConsistencySettings
from scenedino_ros.evaluation.stores import (
    camera_of,
    drive_settings,
    open_store,
    store_settings,
)
from scenedino_ros.recordings.datasets.kitti360 import Kitti360Drive, only_drive, read_drive
from scenedino_ros.recordings.datasets.kitti360_calibration import CAMERAS
from scenedino_ros.recordings.frame_store.store import FrameStore
from scenedino_ros.recordings.transforms import inverse


@dataclass(frozen=True, eq=False)
class PairGeometry:
    """What exact flow is made of.

    Attributes:
        camera: Camera of both depth maps.
        depths: (h, w) z-depth of the first and of the second frame, metres; 0 unknown.
        T_second_first: (4, 4) first camera to second, metres.
    """

    camera: PinholeCamera
    depths: tuple[np.ndarray, np.ndarray]
    T_second_first: np.ndarray


class PairData(Protocol):
    """Pairs of frames; an item is the name of the first frame."""

    @property
    def name(self) -> str:
        """What it is, in words."""

    @property
    def published(self) -> str | None:
        """The published table about frames of this kind, if there is one."""

    def settings(self) -> dict[str, Any]:
        """Return what identifies the pairs, as plain values."""

    def items(self) -> list[str]:
        """Return the names of the pairs, in order."""

    def second(self, item: str) -> str:
        """Return the name of a pair's second frame."""

    def files(self, item: str) -> list[Path]:
        """Return the files of a pair, as far as the settings do not identify them."""

    def frame(self, name: str) -> tuple[np.ndarray, CalibratedCamera]:
        """Return the (h, w, 3) uint8 RGB image of a frame and its camera."""

    def geometry(self, item: str) -> PairGeometry | None:
        """Return depth and motion of a pair, None if the data has none."""


@dataclass(frozen=True)
class DrivePairs:
    """A KITTI-360 drive.

    Attributes:
        folder: What `datasets.kitti360.read_drive` reads.
        stride: Steps from the first frame of a pair to the second, among the drive's images.
        every: Only every n-th pair.
    """

    folder: Path
    stride: int = ConsistencySettings.stride
    every: int = 1

    published = "KITTI-360"

    @cached_property
    def _drive(self) -> Kitti360Drive:
        return read_drive(self.folder, CAMERAS[:1])

    @cached_property
    def _names(self) -> list[str]:
        return [f"{number:010d}" for number in self._drive.images]

    @property
    def name(self) -> str:
        """The drive and which pairs are taken."""
        return f"KITTI-360 drive {self._drive.name}, {_pairs_in_words(self.stride, self.every)}"

    def settings(self) -> dict[str, Any]:
        """Return the drive's name, its calibration and which pairs are taken."""
        return {**drive_settings(self._drive), "stride": self.stride, "every": self.every}

    def items(self) -> list[str]:
        """Return the numbers of the first frames."""
        return self._names[: -self.stride : self.every]

    def second(self, item: str) -> str:
        """Return the number of the second frame."""
        return self._names[self._names.index(item) + self.stride]

    def files(self, item: str) -> list[Path]:
        """Return both images."""
        return [self._drive.images[int(name)] for name in (item, self.second(item))]

    def frame(self, name: str) -> tuple[np.ndarray, CalibratedCamera]:
        """Return the rectified image."""
        camera = CalibratedCamera(self._drive.calibration.camera)
        return read_rgb(self._drive.images[int(name)]), camera

    def geometry(self, item: str) -> PairGeometry | None:
        """Return nothing: there is no depth for every pixel."""
        return None


@dataclass(frozen=True)
class StorePairs:
    """A camera of a frame store; with depth maps, flow is exact.

    Attributes:
        path: Folder of the store.
        camera: Name of the camera.
        stride: Frames from the first of a pair to the second.
        every: Only every n-th pair.
    """

    path: Path
    camera: str = ConsistencySettings.camera
    stride: int = ConsistencySettings.stride
    every: int = 1

    published = None

    @cached_property
    def _store(self) -> FrameStore:
        return open_store(self.path, self.camera)

    @property
    def name(self) -> str:
        """The store's name, the camera and which pairs are taken."""
        return f"{self.path.name}, {self.camera}, {_pairs_in_words(self.stride, self.every)}"

    def settings(self) -> dict[str, Any]:
        """Return store, camera and which pairs are taken."""
        pairs = {"stride": self.stride, "every": self.every}
        return {**store_settings(self._store, self.camera), **pairs}

    def items(self) -> list[str]:
        """Return the numbers of the first frames, of pairs between which no frame is missing."""
        breaks = np.cumsum(self._store.breaks())
        whole = np.flatnonzero(breaks[self.stride :] == breaks[: -self.stride])
        return [f"{number:06d}" for number in whole[:: self.every]]

    def second(self, item: str) -> str:
        """Return the number of the second frame."""
        return f"{int(item) + self.stride:06d}"

    def files(self, item: str) -> list[Path]:
        """Return nothing: the source in the settings identifies the whole store."""
        return []

    def frame(self, name: str) -> tuple[np.ndarray, CalibratedCamera]:
        """Return the stored image."""
        image = np.asarray(self._store.image(self.camera, int(name)))
        return image, CalibratedCamera(camera_of(self._store, self.camera))

    def geometry(self, item: str) -> PairGeometry | None:
        """Return stored depth and poses, if there is depth."""
        first, second = int(item), int(self.second(item))
        depths = [self._store.depth(self.camera, frame) for frame in (first, second)]
        if depths[0] is None or depths[1] is None:
            return None
        T_world_first = self._store.T_world_cam(self.camera, first)
        T_second_world = inverse(self._store.T_world_cam(self.camera, second))
        T_second_first = T_second_world @ T_world_first
        camera = camera_of(self._store, self.camera)
        return PairGeometry(camera, (depths[0], depths[1]), T_second_first)


@dataclass(frozen=True)
class RealEstatePairs:
    """Videos of RealEstate10K.

    Read are the official lists ``<split>/<video>.txt`` (a line per frame: time, normalised fx fy
    cx cy, two zeros, pose) and the frames ``frames/<split>/<video>/<time>.jpg`` (or ``.png``),
    which every user extracts from the videos.

    Attributes:
        root: Folder of the data set.
        split: ``test`` or ``train``.
        stride: Lines from the first frame of a pair to the second.
        every: Only every n-th pair.
    """

    root: Path
    split: str = "test"
    stride: int = ConsistencySettings.stride
    every: int = 1

    published = "RealEstate10K"

    @cached_property
    def _videos(self) -> dict[str, list[list[str]]]:
        """Lines of each video, split into words."""
        lists = sorted((self.root / self.split).glob("*.txt"))
        if not lists:
            raise InputError(f"no lists of frames {self.root / self.split}/*.txt")
        return {path.stem: _read_frames(path) for path in lists}

    @property
    def name(self) -> str:
        """The split and which pairs are taken."""
        return f"RealEstate10K {self.split}, {_pairs_in_words(self.stride, self.every)}"

    def settings(self) -> dict[str, Any]:
        """Return the split and which pairs are taken."""
        return {"split": self.split, "stride": self.stride, "every": self.every}

    def items(self) -> list[str]:
        """Return video and time of the first frames."""
        pairs = [
            f"{video}/{line[0]}"
            for video, lines in self._videos.items()
            for line in lines[: -self.stride]
        ]
        return pairs[:: self.every]

    def second(self, item: str) -> str:
        """Return video and time of the second frame."""
        video, time = item.split("/")
        times = [line[0] for line in self._videos[video]]
        return f"{video}/{times[times.index(time) + self.stride]}"

    def files(self, item: str) -> list[Path]:
        """Return both images and the list of their video."""
        images = [self._image_path(name) for name in (item, self.second(item))]
        return [*images, self.root / self.split / f"{item.split('/')[0]}.txt"]

    def frame(self, name: str) -> tuple[np.ndarray, CalibratedCamera]:
        """Return an image and its camera.

        Raises:
            InputError: If the image is missing or damaged.
        """
        rgb = read_rgb(self._image_path(name))
        height, width = rgb.shape[:2]
        video, time = name.split("/")
        line = next(line for line in self._videos[video] if line[0] == time)
        with reading(f"the camera of {name}"):
            fx, fy, cx, cy = (float(word) for word in line[1:5])
            intrinsics = fx * width, fy * height, cx * width, cy * height
            return rgb, camera_from_intrinsics(intrinsics, width, height)

    def geometry(self, item: str) -> PairGeometry | None:
        """Return nothing: there is no depth."""
        return None

    def _image_path(self, name: str) -> Path:
        folder = self.root / "frames" / self.split
        files = [folder / f"{name}{suffix}" for suffix in (".jpg", ".png")]
        return next((file for file in files if file.is_file()), files[0])


def _read_frames(path: Path) -> list[list[str]]:
    with reading(str(path)):
        lines = [line.split() for line in read_text(path).splitlines()[1:]]
    lines = [line for line in lines if line]
    for number, line in enumerate(lines, start=2):
        if len(line) != 19:
            raise InputError(f"{path} line {number} must have 19 values, got {len(line)}")
    return lines


def _pairs_in_words(stride: int, every: int) -> str:
    taken = "every pair" if every == 1 else f"one pair in {every}"
    return f"{taken} of frames {stride} apart"


def open_pairs(path: Path | str, settings: ConsistencySettings) -> PairData:
    """Return the drive, frame store or RealEstate10K in a folder.

    Raises:
        InputError: If there is none of them, or it has no pair.
    """
    folder, stride, every = only_drive(Path(path)), settings.stride, settings.every
    data: PairData
    if (folder / "store.json").is_file():
        data = StorePairs(folder, settings.camera, stride, every)
    elif (folder / "image_00").is_dir():
        data = DrivePairs(folder, stride, every)
    elif (folder / "test").is_dir():
        data = RealEstatePairs(folder, "test", stride, every)
    else:
        raise InputError(f"there is no drive, frame store or RealEstate10K at {folder}")
    if not data.items():
        raise InputError(f"{path} has no two frames that are {stride} apart")
    return data
