# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Images with class labels: what a set of them offers, frame stores, and several sets as one."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any, Protocol

import cv2
import numpy as np

from scenedino_ros.cameras.camera import CalibratedCamera
from scenedino_ros.core.errors import InputError
from scenedino_ros.core.labels import IGNORE
from scenedino_ros.evaluation.settings import ImageSettings
from scenedino_ros.evaluation.stores import camera_of, open_store, store_settings
from scenedino_ros.recordings.frame_store.store import FrameStore

Size = tuple[int, int]


@dataclass(frozen=True, eq=False)
class LabelledImage:
    """One image at the network's size.

    Attributes:
        rgb: (H, W, 3) uint8 RGB.
        camera: Camera of this image.
        target: (H, W) int64 train ids of Cityscapes, 0..18; -1 is not scored.
        unknown: How many pixels of the label file have an id that its table does not have.
    """

    rgb: np.ndarray
    camera: CalibratedCamera
    target: np.ndarray
    unknown: int = 0


class LabelledData(Protocol):
    """A set of images with labels."""

    @property
    def name(self) -> str:
        """What it is, in words."""

    @property
    def published(self) -> str | None:
        """The published table that is about these images, if there is one."""

    def settings(self) -> dict[str, Any]:
        """Return what identifies the images, as plain values."""

    def items(self) -> list[str]:
        """Return the names of the images, in order."""

    def unnamed(self) -> int:
        """Return how many images the set lacks that no file here names."""

    def files(self, item: str) -> list[Path]:
        """Return the file of an image, then others; none that the settings identify."""

    def load(self, item: str, size: Size) -> LabelledImage:
        """Return an image and its labels at the network's (height, width).

        Raises:
            InputError: If a file is missing or damaged.
        """


@dataclass(frozen=True)
class StoreImages:
    """A camera of a frame store with labels, such as one of a synthetic drive.

    Attributes:
        path: Folder of the store.
        camera: Name of the camera.
        every: Only every n-th frame.
    """

    path: Path
    camera: str = ImageSettings.camera
    every: int = 1

    published = None

    @cached_property
    def _store(self) -> FrameStore:
        return open_store(self.path, self.camera)

    @property
    def name(self) -> str:
        """Store and camera."""
        return f"{self.path.name}, {self.camera}{part_in_words(self.every)}"

    def settings(self) -> dict[str, Any]:
        """Return store, camera and part."""
        return {**store_settings(self._store, self.camera), "every": self.every}

    def items(self) -> list[str]:
        """Return the numbers of the frames.

        Raises:
            InputError: If the camera has no labels.
        """
        if self._store.label(self.camera, 0) is None:
            raise InputError(f"{self.path} has no labels of {self.camera}")
        return [f"{frame:06d}" for frame in range(0, len(self._store), self.every)]

    def unnamed(self) -> int:
        """Return none: a store is whole."""
        return 0

    def files(self, item: str) -> list[Path]:
        """Return nothing: the source in the settings identifies the whole store."""
        return []

    def load(self, item: str, size: Size) -> LabelledImage:
        """Return an image and its labels, both stretched to the size."""
        frame, (height, width) = int(item), size
        label = np.asarray(self._store.label(self.camera, frame))
        target = np.where(label == IGNORE, -1, label.astype(np.int64))
        rgb = np.asarray(self._store.image(self.camera, frame))
        camera = camera_of(self._store, self.camera).resized(width, height)
        return LabelledImage(
            stretched(rgb, size), CalibratedCamera(camera), stretched(target, size)
        )


def unnamed_images(data: LabelledData) -> dict[str, str]:
    """Return the images that a set lacks and no file here names, with the reason."""
    why = "its files are not there, and no other file names it"
    return {f"image without a name {n + 1}": why for n in range(data.unnamed())}


def stretched(image: np.ndarray, size: Size) -> np.ndarray:
    """Scale an image bilinearly without averaging, or a map of ids to the nearest pixel."""
    if image.ndim == 3:
        return cv2.resize(image, size[::-1], interpolation=cv2.INTER_LINEAR)
    nearest = cv2.resize(image.astype(np.int16), size[::-1], interpolation=cv2.INTER_NEAREST)
    return nearest.astype(np.int64)


def part_in_words(every: int) -> str:
    """Return which part of a set is taken, for its name; empty for all of it."""
    return "" if every == 1 else f", one image in {every}"


@dataclass(frozen=True)
class Together:
    """Several sets of images as one; items carry the number of their set.

    Attributes:
        members: The sets.
    """

    members: tuple[LabelledData, ...]

    published = None

    @property
    def name(self) -> str:
        """The names of all."""
        return "; ".join(member.name for member in self.members)

    def settings(self) -> dict[str, Any]:
        """Return what identifies the sets."""
        return {"together": [member.settings() for member in self.members]}

    def items(self) -> list[str]:
        """Return the images of one set after the other."""
        return [
            f"{number}/{item}"
            for number, member in enumerate(self.members)
            for item in member.items()
        ]

    def unnamed(self) -> int:
        """Return how many images without a name all sets have."""
        return sum(member.unnamed() for member in self.members)

    def files(self, item: str) -> list[Path]:
        """Return the files of an image."""
        member, own = self._place(item)
        return member.files(own)

    def load(self, item: str, size: Size) -> LabelledImage:
        """Return an image and its labels."""
        member, own = self._place(item)
        return member.load(own, size)

    def _place(self, item: str) -> tuple[LabelledData, str]:
        number, _, own = item.partition("/")
        return self.members[int(number)], own


def together(members: Sequence[LabelledData]) -> LabelledData:
    """Return several sets of images as one."""
    return members[0] if len(members) == 1 else Together(tuple(members))


def image_places(data: LabelledData) -> set[Path]:
    """Return where the images of a set lie, whichever links lead there; frames below their store.

    Two sets have those images in common whose places are the same.
    """
    if isinstance(data, Together):
        return set().union(*map(image_places, data.members))
    if isinstance(data, StoreImages):
        store = data.path.resolve() / data.camera
        return {store / item for item in data.items()}
    resolved = cache(Path.resolve)  # few folders, thousands of images
    files = (data.files(item)[0] for item in data.items())
    return {resolved(file.parent) / file.name for file in files}
