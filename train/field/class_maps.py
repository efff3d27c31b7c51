# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""The class maps that rendered classes are compared with: labels of a store, or a folder."""

from pathlib import Path

import cv2
import numpy as np

from scenedino_ros.core.errors import InputError
from scenedino_ros.recordings.frame_store.store import FrameStore, file_stem
from train.field.items import View


def class_map_path(folder: Path, store: FrameStore, view: View) -> Path:
    """Return the file of the class map of a view: FOLDER/STORE/CAMERA/FRAME.png."""
    return folder / store.path.name / file_stem(view.camera) / f"{view.frame:06d}.png"


class ClassMaps:
    """The class maps of a drive."""

    def __init__(self, store: FrameStore, folder: Path | None) -> None:
        """Choose where they come from.

        Args:
            store: The drive.
            folder: Holds them as grey PNG files of train ids; None: the labels of the store.

        Raises:
            InputError: If the drive has none.
        """
        self._store, self._folder = store, folder
        if folder is None:
            has_any = any(store.label(camera, 0) is not None for camera in store.cameras)
            where = f"{store.path} must have label maps for losses.classes, got none"
        else:
            has_any = (folder / store.path.name).is_dir()
            where = f"{folder} must hold class maps of {store.path.name}, got none"
        if not has_any:
            raise InputError(f"{where}; `scenedino label-images` makes class maps")

    def read(self, view: View) -> np.ndarray | None:
        """Return the (H, W) uint8 classes of a view, 255 where unknown; None without a map.

        Raises:
            InputError: If the map cannot be read or has another size than the store's images.
        """
        if self._folder is None:
            label = self._store.label(view.camera, view.frame)
            return None if label is None else np.array(label)
        path = class_map_path(self._folder, self._store, view)
        if not path.exists():
            return None
        found = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
        size = tuple(self._store.image_size)
        if found is None or found.dtype != np.uint8 or found.shape != size:
            got = "no image" if found is None else f"{found.dtype} of shape {found.shape}"
            raise InputError(f"{path} must be a grey 8-bit image of shape {size}, got {got}")
        return np.asarray(found)
