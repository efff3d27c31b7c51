# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""The files of SSCBench-KITTI-360: images and labels, and a check that they are complete.

Layout: ``data_2d_raw/SEQUENCE/image_00/data_rect/NNNNNN.png``, and labels of every 5th frame as
``data_2d_raw/SEQUENCE/voxels/NNNNNN.{label,invalid}``, or as ``SEQUENCE/NNNNNN_1_1.npy`` in
``preprocess/labels`` or another folder. Images may also be KITTI-360's own, with ten digits, or
those that the published training makes of them (``data_192x640``): the benchmark's frame i is then
row i of KITTI-360's pose file. A data set of another origin in this layout has a ``dataset.json``
with its name and the sequences of its splits.

Source: Li et al., SSCBench, arXiv:2306.09001.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from scenedino_ros.cameras.image_folder import read_rgb
from scenedino_ros.core.errors import InputError
from scenedino_ros.core.labels import IGNORE
from scenedino_ros.core.reading import (
    open_file,
    read_array,
    read_bytes,
    read_json,
    read_text,
    reading,
    reason_of,
)
from scenedino_ros.evaluation.settings import SscSettings
from scenedino_ros.evaluation.ssc import rules as ssc
from scenedino_ros.evaluation.ssc.classes import read_label_volume, ssc20_labels
from scenedino_ros.recordings.datasets.kitti360_folders import (
    dataset_root,
    is_preprocessed,
    picture_folder,
    sequence_name,
)

STRIDE = 5  # only every 5th frame has labels
# Sequences of KITTI-360 per split, and how many frames with labels they have.
SPLITS = {
    "train": ((0, 2, 3, 4, 5, 7, 10), 8487),
    "val": ((6,), 1812),
    "test": ((9,), 2566),
}
CARD = "dataset.json"
_DIGITS = 10  # in the names of KITTI-360's own images; the benchmark's have 6
# Where label grids lie below a folder that the benchmark's release, or S4C's, is unpacked to.
_GRID_FOLDERS = ("", "labels", "preprocess/labels")
_RELEASE_CHECK = 20  # label grids looked at to find out which release they are
_MOST_BYTES = 1 << 24  # of a label file; its grid takes 4 MiB
_LAST_OF_NUSCENES = 10  # highest class of the first release, made with another map


def read_card(root: Path) -> dict[str, Any] | None:
    """Return ``name`` and ``splits`` of a data set that is not the official one, else None.

    Raises:
        InputError: If its file has other contents.
    """
    path = Path(root) / CARD
    if not path.exists():
        return None
    try:
        values = read_json(path)
        splits = {name: list(map(str, value)) for name, value in values["splits"].items()}
        return {"name": str(values["name"]), "splits": splits}
    except Exception as error:  # values of any type may stand anywhere
        raise InputError(
            f"{path} must be JSON with 'name' and 'splits', the sequences of each: "
            f"{reason_of(error)}"
        ) from error


@dataclass(frozen=True)
class SscBench:
    """A data set in the layout of SSCBench-KITTI-360; frames are named ``SEQUENCE/NNNNNN``.

    Attributes:
        root: The folder that holds ``data_2d_raw``, or the one above it.
        split: ``train``, ``val`` or ``test``.
        labels: Folder with ``SEQUENCE/NNNNNN_1_1.npy``, or one that has them, or the benchmark's
            own ``voxels``, where its release puts them; None: ``root`` is that folder.
        kitti360: Folder of KITTI-360 itself, to take the images from; None: ``root``.
    """

    root: Path
    split: str = SscSettings.split
    labels: Path | None = None
    kitti360: Path | None = None

    def __post_init__(self) -> None:
        """Find the data set below the folder that an archive was unpacked to."""
        object.__setattr__(self, "root", dataset_root(self.root))
        if self.kitti360:
            object.__setattr__(self, "kitti360", dataset_root(self.kitti360))

    @cached_property
    def card(self) -> dict[str, Any] | None:
        """Name and splits of another data set; None for the benchmark's own files."""
        return read_card(self.root)

    @property
    def name(self) -> str:
        """What is evaluated on, in words."""
        return f"{self.card['name'] if self.card else 'SSCBench-KITTI-360'}, {self.split}"

    @property
    def is_benchmark(self) -> bool:
        """Whether the published tables are about these frames."""
        return self.card is None and self.split == "test"

    @cached_property
    def sequences(self) -> list[str]:
        """Names of the split's sequences.

        Raises:
            InputError: If the data set has no such split.
        """
        if self.card:
            if self.split not in self.card["splits"]:
                raise InputError(f"{self.root / CARD} has no split '{self.split}'")
            return list(self.card["splits"][self.split])
        return [sequence_name(number) for number in SPLITS[self.split][0]]

    @cached_property
    def frames(self) -> list[str]:
        """Names of all frames of the split, whether or not their files are there.

        Raises:
            InputError: If the root is not a data set of this layout.
        """
        if not (self.root / "data_2d_raw").is_dir():
            raise InputError(f"{self.root} must hold a folder data_2d_raw, and does not")
        frames = []
        for sequence in self.sequences:
            count = self._frames_of(sequence)
            frames += [f"{sequence}/{number * STRIDE:06d}" for number in range(count)]
        if not frames:
            raise InputError(f"{self.root} has no frames of the split '{self.split}'")
        return frames

    def unknown_frames(self) -> dict[str, str]:
        """Return frames of the split that no file here names, with the reason."""
        if self.card:
            return {}
        unknown = SPLITS[self.split][1] - len(self.frames)
        why = f"{self.split} has {SPLITS[self.split][1]} frames, the files here name fewer"
        return {f"{self.split}, frame without a name {n + 1}": why for n in range(unknown)}

    def check(self) -> list[str]:
        """Return one sentence for each problem of the data set as a whole.

        Raises:
            InputError: If the labels are of the wrong release, with which no score is right.
        """
        self._check_release()
        problems = []
        for sequence in self.sequences:
            rows = _pose_rows(self.root / "data_2d_raw" / sequence / "pose.txt")
            last = max(int(f.split("/")[1]) for f in self.frames if f.startswith(f"{sequence}/"))
            if rows is not None and rows <= last:
                problems.append(f"{sequence}/pose.txt has {rows} rows, frame {last} needs one too")
        return problems

    def image(self, frame: str) -> np.ndarray:
        """Return the (376, 1408, 3) uint8 RGB image of a frame.

        Raises:
            InputError: If the file is missing or damaged.
        """
        return read_rgb(self.image_path(frame))

    def is_preprocessed(self, frame: str) -> bool:
        """Return whether an image is stretched, as the published training makes it."""
        return is_preprocessed(self._pictures[frame.split("/")[0]])

    def image_path(self, frame: str) -> Path:
        """Return where the image of a frame lies.

        Raises:
            InputError: If KITTI-360's pose file, which numbers the frames, has no row for it.
        """
        sequence, number = frame.split("/")
        folder = self._pictures[sequence]
        if sequence not in self._in_kitti360s_numbers:
            return folder / f"{number}.png"
        numbers = self._kitti360_numbers[sequence]
        if int(number) >= len(numbers):
            raise InputError(f"poses.txt of {sequence} has {len(numbers)} rows, none for {frame}")
        return folder / f"{numbers[int(number)]:0{_DIGITS}d}.png"

    def image_files(self, frame: str) -> tuple[Path, ...]:
        """Return the file of a frame's image; nothing, if nothing names it."""
        try:
            return (self.image_path(frame),)
        except InputError:
            return ()

    def files(self, frame: str) -> tuple[Path, ...]:
        """Return the files of a frame: image and labels."""
        return (*self.image_files(frame), *self.label_paths(frame))

    def target(self, frame: str) -> np.ndarray:
        """Return the (256, 256, 32) uint8 classes to score against, 0..15, or 255.

        Raises:
            InputError: If a file is missing or damaged.
        """
        paths = self.label_paths(frame)
        with _naming(paths[0]):
            labels = _read_grid(paths[0]) if len(paths) == 1 else _read_raw(*paths)
            return ssc.evaluated_target(labels)

    def label_paths(self, frame: str) -> tuple[Path, ...]:
        """Return the one (.npy) or two (.label, .invalid) label files of a frame."""
        sequence, number = frame.split("/")
        if self._has_raw_labels:
            voxels = self._voxels / sequence / "voxels"
            return voxels / f"{number}.label", voxels / f"{number}.invalid"
        return (self._grids / sequence / f"{number}_1_1.npy",)

    @cached_property
    def _grids(self) -> Path:
        """Folder of the label grids; the first place that has some."""
        root = dataset_root(self.labels or self.root)
        places = [root / folder for folder in _GRID_FOLDERS]
        found = (p for p in places for s in self.sequences if _first(p / s, "*_1_1.npy"))
        return next(found, self.labels or places[-1])

    @cached_property
    def _voxels(self) -> Path:
        """Folder that has the benchmark's own files as ``SEQUENCE/voxels``."""
        root = dataset_root(self.labels or self.root)
        return root / "data_2d_raw" if (root / "data_2d_raw").is_dir() else root

    @cached_property
    def _has_raw_labels(self) -> bool:
        has_some = (_first(self._voxels / s / "voxels", "*.label") for s in self.sequences)
        return any(has_some)

    @cached_property
    def _in_kitti360s_numbers(self) -> frozenset[str]:
        """The sequences whose images carry KITTI-360's frame numbers and not the benchmark's."""
        if self.kitti360:
            return frozenset(self.sequences)
        firsts = {s: next(self._images(s), None) for s in self.sequences}
        return frozenset(s for s, path in firsts.items() if path and len(path.stem) == _DIGITS)

    def _images(self, sequence: str) -> Iterator[Path]:
        """Yield the images of a sequence; files whose names are no numbers are left out."""
        return (path for path in self._pictures[sequence].glob("*.png") if path.stem.isdigit())

    @cached_property
    def _pictures(self) -> dict[str, Path]:
        """Folder of the images by sequence."""
        raw = (self.kitti360 or self.root) / "data_2d_raw"
        return {name: picture_folder(raw / name, "image_00") for name in self.sequences}

    @cached_property
    def _kitti360_numbers(self) -> dict[str, list[int]]:
        root = self.kitti360 or self.root
        return {name: frame_numbers(root, name) for name in self.sequences}

    def _frames_of(self, sequence: str) -> int:
        """Return how many labelled frames a sequence has, by the benchmark or by its files."""
        if self.card is None and self.split == "test":
            return SPLITS["test"][1]
        labels = [
            *(self._voxels / sequence / "voxels").glob("*.label"),
            *(self._grids / sequence).glob("*_1_1.npy"),
        ]
        numbers = [int(path.name[:6]) for path in labels]
        images = {int(path.stem) for path in self._images(sequence)}
        if sequence in self._in_kitti360s_numbers:
            rows = enumerate(self._kitti360_numbers[sequence])
            images = {row for row, number in rows if number in images}
        numbers += images
        return max(numbers) // STRIDE + 1 if numbers else 0

    def _check_release(self) -> None:
        if self._has_raw_labels:
            return
        grids = [path for frame in self.frames for path in self.label_paths(frame)]
        grids = [path for path in grids if path.exists()]
        chosen = grids[:: max(1, len(grids) // _RELEASE_CHECK)][:_RELEASE_CHECK]
        highest = 0
        for path in chosen:
            try:
                labels = _read_grid(path)
            except (OSError, EOFError, ValueError):
                continue  # reported when this frame is counted
            highest = max(highest, int(labels[labels != IGNORE].max(initial=0)))
        if chosen and highest <= _LAST_OF_NUSCENES:
            raise InputError(
                f"{self._grids} holds no class over {highest} in {len(chosen)} grids: this is the "
                "first release of the labels, made with another map; make them again from the "
                ".label and .invalid files, or take the copy of 2024"
            )


def open_sscbench(path: Path | str, settings: SscSettings) -> tuple[SscBench, SscBench | None]:
    """Return the data set in a folder, and the one that a baseline is made of, if there is to be.

    Raises:
        InputError: If the folder is not of this layout, or its labels are of the wrong release.
    """
    data = SscBench(Path(path), settings.split, settings.labels, settings.kitti360)
    data.check()
    if settings.baseline is None:
        return data, None
    root = settings.baseline_root or Path(path)
    labels = settings.labels if root == Path(path) else None
    return data, SscBench(root, settings.baseline, labels)


def frame_numbers(kitti360: Path, sequence: str) -> list[int]:
    """Return the frame number in KITTI-360 of each of the benchmark's frames.

    The benchmark's frame i is row i of KITTI-360's pose file.

    Raises:
        InputError: If the pose file is missing, or is not that of the benchmark.
    """
    path = kitti360 / "data_poses" / sequence / "poses.txt"
    is_official = not (kitti360 / CARD).exists()
    with reading(f"pose file {path}"):
        numbers = [int(line.split()[0]) for line in read_text(path).splitlines() if line]
    if (
        is_official
        and sequence == sequence_name(9)
        and (len(numbers) != 13247 or numbers[:5] != [1, 80, 83, 85, 87])
    ):
        raise InputError(
            f"{path} must have 13247 rows that begin with frames 1, 80, 83, 85, 87, got "
            f"{len(numbers)} rows that begin with {numbers[:5]}"
        )
    return numbers


def _first(folder: Path, pattern: str) -> Path | None:
    return next(folder.glob(pattern), None)


def read_raw_labels(label: Path, invalid: Path) -> np.ndarray:
    """Return the (256, 256, 32) uint8 classes 0..19, or 255, of the benchmark's own two files.

    Raises:
        InputError: If one is missing or damaged.
    """
    with _naming(label):
        return _read_raw(label, invalid)


@contextmanager
def _naming(path: Path) -> Iterator[None]:
    """Name the label file in an error about it."""
    try:
        yield
    except FileNotFoundError as error:
        raise InputError(f"label file {error.filename} is missing") from error
    except Exception as error:  # a damaged file can raise anything
        raise InputError(f"label file {path}: {reason_of(error)}") from error


def _read_grid(path: Path) -> np.ndarray:
    grid = read_array(path)
    if grid.shape != ssc.GRID.shape:
        raise InputError(f"must be a grid of {ssc.GRID.shape}, got {grid.shape}")
    labels = grid.astype(np.uint8)
    if not (labels == grid).all():
        raise InputError("must hold whole numbers 0..255, and holds others")
    return labels


def _read_raw(label: Path, invalid: Path) -> np.ndarray:
    raw = read_label_volume(read_bytes(label, _MOST_BYTES), ssc.GRID.shape, "<u2")
    try:
        unseen = read_label_volume(read_bytes(invalid, _MOST_BYTES), ssc.GRID.shape, "u1")
    except InputError as error:
        raise InputError(f"its {invalid.name} {error}") from error
    if unseen.max() > 1:
        raise InputError(f"its {invalid.name} must hold 0 and 1, got {unseen.max()}")
    return ssc20_labels(raw, unseen)


def _pose_rows(path: Path) -> int | None:
    if not path.exists():
        return None
    with open_file(path) as file:
        return sum(1 for line in file if line.strip())
