"""Images with true depth: drives with LiDAR scans, and frame stores with depth maps."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import cv2
import numpy as np

from scenedino_ros.cameras.camera import CalibratedCamera, PinholeCamera
from scenedino_ros.cameras.image_folder import read_rgb
from scenedino_ros.core.errors import InputError
from scenedino_ros.evaluation.depth.lidar_depth import lidar_depth
from scenedino_ros.evaluation.stores import camera_of, open_store, store_settings
from scenedino_ros.recordings.datasets.kitti360 import Kitti360Drive, read_drive, read_scan
from scenedino_ros.recordings.datasets.kitti360_calibration import CAMERAS
from scenedino_ros.recordings.frame_store.store import FrameStore
from scenedino_ros.recordings.transforms import inverse


class DepthData(Protocol):
    """Frames of one camera with true depth; an item is the number of a frame."""

    def describe(self) -> str:
        """Return in words what it is."""

    def settings(self) -> dict[str, Any]:
        """Return what tells it from other data, as plain values."""

    def items(self) -> list[str]:
        """Return the frames that have true depth, in order."""

    def image(self, item: str) -> tuple[np.ndarray, CalibratedCamera]:
        """Return the (h, w, 3) uint8 RGB image of a frame and its camera."""

    def truth(self, item: str, picture: PinholeCamera) -> np.ndarray:
        """Return the (H, W) float32 z-depth in the network's picture, metres; 0 unknown."""


@dataclass(frozen=True)
class DriveDepth:
    """A KITTI-360 drive with Velodyne scans.

    Attributes:
        folder: What `datasets.kitti360.read_drive` reads.
        limits: Least and largest z-depth of returns that count, metres.
    """

    folder: Path
    limits: tuple[float, float] = (1.0, 50.0)

    @cached_property
    def _drive(self) -> Kitti360Drive:
        return read_drive(self.folder, CAMERAS[:1])

    def describe(self) -> str:
        """Return the drive and which returns count."""
        near, far = self.limits
        return f"KITTI-360 drive {self._drive.name}, LiDAR returns at {near:g} to {far:g} m"

    def settings(self) -> dict[str, Any]:
        """Return the drive's name and the limits."""
        return {"drive": self._drive.name, "limits": list(self.limits)}

    def items(self) -> list[str]:
        """Return the numbers of the frames with a scan.

        Raises:
            InputError: If there is none.
        """
        if not self._drive.scans:
            raise InputError(f"{self.folder} has no Velodyne scans for its images")
        return [f"{number:010d}" for number in self._drive.scans]

    def image(self, item: str) -> tuple[np.ndarray, CalibratedCamera]:
        """Return the rectified image."""
        camera = CalibratedCamera(self._drive.calibration.camera)
        return read_rgb(self._drive.images[int(item)]), camera

    def truth(self, item: str, picture: PinholeCamera) -> np.ndarray:
        """Return the scan as seen by the rectified camera."""
        points = read_scan(self._drive.scans[int(item)])[:, :3].astype(np.float64)
        T_rect_velo = inverse(self._drive.calibration.T_velo_rect)
        points = points @ T_rect_velo[:3, :3].T + T_rect_velo[:3, 3]
        return lidar_depth(points, picture, self.limits)


@dataclass(frozen=True)
class StoreDepth:
    """A camera of a frame store with depth maps, such as one of a synthetic drive.

    Attributes:
        path: Folder of the store.
        camera: Name of the camera.
        limits: Least and largest z-depth that counts, metres.
    """

    path: Path
    camera: str = "camera_00"
    limits: tuple[float, float] = (1e-3, 80.0)

    @cached_property
    def _store(self) -> FrameStore:
        return open_store(self.path, self.camera)

    def describe(self) -> str:
        """Return the store's name, the camera and which depths count."""
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

    def image(self, item: str) -> tuple[np.ndarray, CalibratedCamera]:
        """Return the stored image."""
        camera = CalibratedCamera(camera_of(self._store, self.camera))
        return np.asarray(self._store.image(self.camera, int(item))), camera

    def truth(self, item: str, picture: PinholeCamera) -> np.ndarray:
        """Return the stored depth map, nearest pixels where the picture has another size."""
        depth = np.asarray(self._store.depth(self.camera, int(item)), dtype=np.float32)
        size = (picture.width, picture.height)
        depth = cv2.resize(depth, size, interpolation=cv2.INTER_NEAREST)
        near, far = self.limits
        return np.where((depth >= near) & (depth <= far), depth, 0)
