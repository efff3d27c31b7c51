# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Ground-truth depth images from LiDAR, and the depth of an empty road."""

from dataclasses import dataclass

import cv2
import numpy as np

from scenedino_ros.cameras.camera import PinholeCamera
from scenedino_ros.core.errors import InputError

# The LiDAR stands elsewhere and sees points that are occluded in the image: a return counts as
# occluded if it is this many times farther than the nearest return within the window.
_SEE_THROUGH = 1.25
_WINDOW = 7  # pixels


@dataclass(frozen=True)
class Road:
    """A plane under the camera.

    Attributes:
        normal: Downward direction in the optical frame; made a unit vector.
        height: Distance of the camera from the plane, metres.
    """

    normal: tuple[float, float, float]
    height: float

    def __post_init__(self) -> None:
        """Refuse a normal or height of 0; make the normal a unit vector."""
        length = float(np.linalg.norm(self.normal))
        if not np.isfinite(length) or length == 0 or not self.height > 0:
            raise InputError(
                "a road needs a normal that is not 0 and a height > 0 m, "
                f"got {self.normal} and {self.height}"
            )
        x, y, z = (float(value) / length for value in self.normal)
        object.__setattr__(self, "normal", (x, y, z))

    def depth(self, camera: PinholeCamera, sky: float = 80.0) -> np.ndarray:
        """Return the (h, w) float32 z-depth of the plane, `sky` metres where it is farther."""
        downward = pixel_directions(camera) @ np.array(self.normal)
        depth = self.height / np.maximum(downward, 1e-9)
        return np.where(downward > 0, np.minimum(depth, sky), sky).astype(np.float32)

    def height_above(self, camera: PinholeCamera, depth: np.ndarray) -> np.ndarray:
        """Return the (h, w) heights above the plane of pixels with these z-depths, metres."""
        return self.height - depth * (pixel_directions(camera) @ np.array(self.normal))


# Fitted to the scans of KITTI-360: the camera looks 5.8 degrees down.
KITTI360_ROAD = Road((-0.021, 0.995, 0.101), 1.55)


def pixel_directions(camera: PinholeCamera) -> np.ndarray:
    """Return the (h, w, 3) direction of each pixel's ray with z = 1, in the optical frame.

    Pixel j stands for positions j to j + 1, as in the rays that are rendered.
    """
    u, v = np.meshgrid(np.arange(camera.width) + 0.5, np.arange(camera.height) + 0.5)
    K = camera.K
    return np.stack([(u - K[0, 2]) / K[0, 0], (v - K[1, 2]) / K[1, 1], np.ones_like(u)], axis=-1)


def lidar_depth(
    points_cam: np.ndarray, camera: PinholeCamera, limits: tuple[float, float] = (1.0, 50.0)
) -> np.ndarray:
    """Project a scan into a depth image.

    Args:
        points_cam: (N, 3) returns in the optical frame, metres.
        camera: Camera of the depth image.
        limits: Smallest and largest z-depth that is kept, metres.

    Returns:
        (h, w) float32 z-depth of the nearest return in each pixel, 0 where there is none or where
        it is occluded by a nearer one.
    """
    near, far = limits
    points = points_cam[(points_cam[:, 2] >= near) & (points_cam[:, 2] <= far)]
    uv = np.floor(camera.project(points)).astype(np.int64)
    inside = ((uv >= 0) & (uv < (camera.width, camera.height))).all(axis=1)
    uv, z = uv[inside], points[inside, 2]
    depth = np.full((camera.height, camera.width), np.inf, dtype=np.float32)
    np.minimum.at(depth, (uv[:, 1], uv[:, 0]), z.astype(np.float32))
    nearest = cv2.erode(depth, np.ones((_WINDOW, _WINDOW), np.uint8))
    return np.where(np.isfinite(depth) & (depth / _SEE_THROUGH <= nearest), depth, 0)
