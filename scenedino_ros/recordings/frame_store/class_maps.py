# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Class maps of the images of frame stores, as PNG files in a folder."""

from pathlib import Path

import numpy as np

from scenedino_ros.cameras.image_file import encode_png
from scenedino_ros.cameras.image_folder import read_pixels
from scenedino_ros.core.errors import InputError
from scenedino_ros.core.files import write_atomically
from scenedino_ros.recordings.frame_store.store import FrameStore, file_stem


class ClassMapFolder:
    """The class maps of a drive: ``FOLDER/STORE/CAMERA/FRAME.png``, grey train ids, 255 unknown.

    Attributes:
        store: The drive.
    """

    def __init__(self, folder: Path, store: FrameStore) -> None:
        """Choose a folder of the maps of any number of drives, and one of them."""
        self.store, self._folder = store, Path(folder) / store.path.name

    def exists(self) -> bool:
        """Return whether there is anything of the drive."""
        return self._folder.is_dir()

    def path(self, camera: str, frame: int) -> Path:
        """Return the file of the map of a camera at a frame."""
        return self._folder / file_stem(camera) / f"{frame:06d}.png"

    def read(self, camera: str, frame: int) -> np.ndarray | None:
        """Return a (H, W) uint8 map; None where there is no file.

        Raises:
            InputError: If the file cannot be read, or has another size than the store's images.
        """
        path = self.path(camera, frame)
        if not path.exists():
            return None
        found = read_pixels(path)
        size = tuple(self.store.image_size)
        if found.dtype != np.uint8 or found.shape != size:
            raise InputError(
                f"{path} must be a grey 8-bit image of shape {size}, got {found.dtype} of shape "
                f"{found.shape}"
            )
        return found

    def write(self, camera: str, frame: int, label: np.ndarray) -> None:
        """Write a (H, W) uint8 map."""
        path = self.path(camera, frame)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, encode_png(label))
