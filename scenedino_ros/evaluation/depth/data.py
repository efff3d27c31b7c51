# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Images with ground truth: drives with LiDAR scans, and frame stores with depth maps."""

from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import cv2
import numpy as np

from scenedino_ros.cameras.camera import CalibratedCamera, PinholeCamera
from scenedino_ros.cameras.image_folder import read_rgb
from scenedino_ros.core.errors import InputError
from scenedino_ros.evaluation.depth.lidar_depth import lidar_depth
from scenedino_ros.evaluation.settings import DepthSettings
from scenedino_ros.evaluation.stores import (
    camera_of,
    drive_settings,
    open_store,
    store_settings,
)
from scenedino_ros.recordings.datasets.kitti360 import (
    Kitti360Drive,
    only_drive,
    read_drive,
    read_scan,
)
from scenedino_ros.recordings.datasets.kitti360_calibration import CAMERAS
from scenedino_ros.recordings.frame_store.store import FrameStore
from scenedino_ros.recordings.transforms import inverse


class DepthData(Protocol):
    """Frames of one camera with ground truth; an item is the number of a frame."""

    @property
    def name(self) -> str:
        """What it is, in words."""

    def settings(self) -> dict[str, Any]:
        """Return what identifies the frames, as plain values."""

    def items(self) -> list[str]:
        """Return the frames that have ground truth, in order."""

    def files(self, item: str) -> list[Path]:
        """Return the files of a frame, as far as the settings do not identify them."""

    def image(self, item: str) -> tuple[np.ndarray, CalibratedCamera]:
        """Return the (h, w, 3) uint8 RGB image of a frame and its camera."""

    def truth(self, item: str, camera: PinholeCamera) -> np.ndarray:
        """Return the (H, W) float32 z-depth in the network input image, metres; 0 unknown."""


@dataclass(frozen=True)
class DriveDepth:
    """A KITTI-360 drive with Velodyne scans.

    Attributes:
        folder: What `datasets.kitti360.read_drive` reads.
        limits: Smallest and largest z-depth of returns that are scored, metres.
    """

    folder: Path
    limits: tuple[float, float] = (1.0, 50.0)

    @cached_property
    def _drive(self) -> Kitti360Drive:
        return read_drive(self.folder, CAMERAS[:1])

    @property
    def name(self) -> str:
        """The drive, and which returns are scored."""
        near, far = self.limits
        return f"KITTI-360 drive {self._drive.name}, LiDAR returns at {near:g} to {far:g} m"

    def settings(self) -> dict[str, Any]:
        """Return the drive's name, its calibration and the limits."""
        return {**drive_settings(self._drive), "limits": list(self.limits)}

    def items(self) -> list[str]:
        """Return the numbers of the frames with a scan.

        Raises:
            InputError: If there is none.
        """
        if not self._drive.scans:
            raise InputError(f"{self.folder} has no Velodyne scans for its images")
        return [f"{number:010d}" for number in self._drive.scans]

    def files(self, item: str) -> list[Path]:
        """Return image and scan."""
        return [self._drive.images[int(item)], self._drive.scans[int(item)]]

    def image(self, item: str) -> tuple[np.ndarray, CalibratedCamera]:
        """Return the rectified image."""
        camera = CalibratedCamera(self._drive.calibration.camera)
        return read_rgb(self._drive.images[int(item)]), camera

    def truth(self, item: str, camera: PinholeCamera) -> np.ndarray:
        """Return the scan as seen by the rectified camera."""
        points = read_scan(self._drive.scans[int(item)])[:, :3].astype(np.float64)
        T_rect_velo = inverse(self._drive.calibration.T_velo_rect)
        points = points @ T_rect_velo[:3, :3].T + T_rect_velo[:3, 3]
        return lidar_depth(points, camera, self.limits)


@dataclass(frozen=True)
class StoreDepth:
    """A camera of a frame store with depth maps, such as one of a synthetic drive.

    Attributes:
        path: Folder of the store.
        camera: Name of the camera.
        limits: Smallest and largest z-depth that is scored, metres.
    """

    path: Path
    camera: str = DepthSettings.camera
    limits: tuple[float, float] = (1e-3, 80.0)

    @cached_property
    def _store(self) -> FrameStore:
        return open_store(self.path, self.camera)

    @property
    def name(self) -> str:
        """Store, camera, and which depths are scored."""
        near, far = self.limits
        return f"{self.path.name}, {self.camera}, stored depth at {near:g} to {far:g} m"

    def settings(self) -> dict[str, Any]:
        """Return store, camera and limits."""
        return {**store_settings(self._store, self.camera), "limits": list(self.limits)}

    def items(self) -> list[str]:
        """Return the numbers of all frames.

        Raises:
            InputError: If the camera has no depth maps.
        """
        if self._store.depth(self.camera, 0) is None:
            raise InputError(f"{self.path} has no depth maps of {self.camera}")
        return [f"{number:06d}" for number in range(len(self._store))]

    def files(self, item: str) -> list[Path]:
        """Return nothing: the source in the settings identifies the whole store."""
        return []

    def image(self, item: str) -> tuple[np.ndarray, CalibratedCamera]:
        """Return the stored image."""
        camera = CalibratedCamera(camera_of(self._store, self.camera))
        return np.asarray(self._store.image(self.camera, int(item))), camera

    def truth(self, item: str, camera: PinholeCamera) -> np.ndarray:
        """Return the stored depth map, by nearest pixels where the image has another size."""
        depth = np.asarray(self._store.depth(self.camera, int(item)), dtype=np.float32)
        size = (camera.width, camera.height)
        depth = cv2.resize(depth, size, interpolation=cv2.INTER_NEAREST)
        near, far = self.limits
        return np.where((depth >= near) & (depth <= far), depth, 0)


def open_depth(path: Path | str, settings: DepthSettings) -> DepthData:
    """Return the drive or frame store in a folder.

    Raises:
        InputError: If there is neither.
    """
    folder = Path(path)
    data: DriveDepth | StoreDepth
    if (folder / "store.json").is_file():
        data = StoreDepth(folder, settings.camera)
    elif folder.is_dir():
        data = DriveDepth(only_drive(folder))
    else:
        raise InputError(f"there is no drive or frame store at {folder}")
    if not settings.limits:
        return data
    near, far = settings.limits
    return replace(data, limits=(near, far))
