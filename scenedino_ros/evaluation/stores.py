# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Frame stores as data of an evaluation, and what identifies them and drives."""

from pathlib import Path
from typing import Any

import numpy as np

from scenedino_ros.cameras.camera import PinholeCamera
from scenedino_ros.core.errors import InputError
from scenedino_ros.recordings.datasets.kitti360 import Kitti360Drive
from scenedino_ros.recordings.frame_store.store import FrameStore


def open_store(path: Path, camera: str) -> FrameStore:
    """Open a store that has a camera.

    Raises:
        InputError: If the store is missing, incomplete, or without this camera.
    """
    store = FrameStore(path)
    if camera not in store.cameras:
        raise InputError(f"{path} has cameras {', '.join(store.cameras)}, not {camera}")
    return store


def store_settings(store: FrameStore, camera: str) -> dict[str, Any]:
    """Return what identifies a camera of a store, as plain values."""
    return {
        "store": store.path.resolve().name,
        "source": store.source,
        "frames": len(store),
        "camera": camera,
    }


def drive_settings(drive: Kitti360Drive) -> dict[str, Any]:
    """Return what identifies a drive beside the files of its frames, as plain values."""
    return {"drive": drive.name, "calibration": drive.calibration.digest}


def camera_of(store: FrameStore, camera: str) -> PinholeCamera:
    """Return the camera of the stored images."""
    height, width = store.image_size
    return camera_from_norm(store.cameras[camera].K_norm, width, height)


def camera_from_norm(K_norm: np.ndarray, width: int, height: int) -> PinholeCamera:
    """Return the camera of an image with these intrinsics for coordinates in [-1, 1]."""
    return PinholeCamera.from_focal(
        K_norm[0, 0] * width / 2,
        K_norm[1, 1] * height / 2,
        (K_norm[0, 2] + 1) * width / 2,
        (K_norm[1, 2] + 1) * height / 2,
        width,
        height,
    )
