# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""The cameras of the synthetic car and their poses: almost those of KITTI-360.

A rectified pair looks ahead, 0.594 m apart; two fisheye cameras look to the sides. Numbers are
those of KITTI-360's calibration files (Liao, Xie, Geiger, PAMI 2022), with rounded poses. The pair
is perfectly rectified: camera 00 needs no rectifying rotation, and camera 01 differs from it only
by the baseline. So the published pose of camera 00 in the Velodyne's frame,
which SSCBench uses for its rectified image, is exact here.

Frames: ``base_link`` at the IMU (x forward, y left, z up), ``imu`` the same point with
KITTI-360's axes (x forward, y right, z down), ``camera_0N`` optical (x right, y down, z forward),
``velodyne``.
"""

from dataclasses import dataclass

import cv2
import numpy as np

from scenedino_ros.cameras.camera import CalibratedCamera, PinholeCamera
from scenedino_ros.cameras.fisheye import PUBLISHED_ROTATION_DEG, MeiCamera, virtual_rotation
from scenedino_ros.core.errors import InputError
from scenedino_ros.evaluation.ssc.rules import CAMERA as SSCBENCH_CAMERA
from scenedino_ros.evaluation.ssc.rules import T_VELO_CAM
from scenedino_ros.recordings.datasets.kitti360_calibration import T_BASE_IMU
from scenedino_ros.recordings.transforms import inverse
from scenedino_ros.streets.pixel_rays import Lens, PixelRays, pixel_rays, unit_rays

KITTI360_CAMERA = SSCBENCH_CAMERA  # P_rect_00 for 1408 x 376 pixels
KITTI360_FISHEYES = {
    "camera_02": MeiCamera(
        2.2134, 0.016798, 1.65488, 4.2224e-4, 4.2462e-4,
        1336.322, 1335.788, 716.943, 705.765, 1400, 1400,
    ),
    "camera_03": MeiCamera(
        2.5535, 0.049370, 4.50685, 1.34777e-3, -7.0340e-4,
        1485.439, 1484.948, 698.883, 698.145, 1400, 1400,
    ),
}  # fmt: skip
CAMERAS = ("camera_00", "camera_01", *KITTI360_FISHEYES)
BASELINE = 0.594  # metres from camera 00 to camera 01
BASE_HEIGHT = 0.90  # metres of base_link above the road
CAMERA_HEIGHT = 1.55  # metres of camera 00 above the road
CAMERA_PITCH_DEG = 5.8  # of camera 00, downwards
CENTER_Y = -0.30  # metres from base_link, which is on the left, to the middle of the car

_CAMERA_AHEAD = 1.58  # metres from base_link to camera 00
# Position in base_link, metres; yaw to the left and pitch downwards of the optical axis, degrees.
_FISHEYE_MOUNTS = {
    "camera_02": ((0.73, 0.15, 1.07), (91.8, -0.6)),
    "camera_03": ((0.70, -0.75, 1.08), (-91.4, 0.0)),
}
_CROP_MARGIN = 2  # pixels around what the virtual camera sees, for bilinear interpolation


@dataclass(frozen=True, eq=False)
class RigCamera:
    """One camera of the car.

    Attributes:
        name: Such as ``camera_00``.
        lens: Its intrinsics and size.
        T_base_cam: (4, 4) camera to base_link, metres.
    """

    name: str
    lens: Lens
    T_base_cam: np.ndarray

    @property
    def is_fisheye(self) -> bool:
        """Whether the images are those of a fisheye lens."""
        return isinstance(self.lens, MeiCamera)

    @property
    def frame(self) -> str:
        """The frame that its images name: rectified cameras have one of their own."""
        return self.name if self.is_fisheye else f"{self.name}_rect"

    @property
    def calibrated(self) -> CalibratedCamera:
        """The camera in the form of a CameraInfo."""
        if isinstance(self.lens, MeiCamera):
            return self.lens.calibrated
        return CalibratedCamera(self.lens)

    def rays(self, samples: int, *, crop: bool = False) -> PixelRays:
        """Return the rays of its pixels.

        Args:
            samples: Rays per pixel for colour.
            crop: Only what the virtual pinhole camera of the published training sees in a
                fisheye image; nothing changes for the pair.
        """
        if not (crop and isinstance(self.lens, MeiCamera)):
            return pixel_rays(self.lens, samples)
        return pixel_rays(self.lens, samples, seen_by_virtual_camera(self.lens))


@dataclass(frozen=True)
class RigSettings:
    """Which cameras the car has, and the size of their images.

    Attributes:
        cameras: Names of the cameras.
        width: Columns of the pair's images; rows follow from KITTI-360's 1408 x 376.
        fisheye_width: Columns and rows of the fisheye images.
    """

    cameras: tuple[str, ...] = CAMERAS
    width: int = 704
    fisheye_width: int = 700

    def __post_init__(self) -> None:
        """Refuse unknown cameras and images that are too small.

        Raises:
            InputError: Naming the first wrong value.
        """
        unknown = [name for name in self.cameras if name not in CAMERAS]
        if unknown or not self.cameras or len(set(self.cameras)) != len(self.cameras):
            raise InputError(
                f"cameras must be some of {', '.join(CAMERAS)}, each once, "
                f"got {', '.join(self.cameras) or 'none'}"
            )
        if min(self.width, self.fisheye_width) < 16:
            raise InputError(
                "images must be at least 16 px wide, "
                f"got {self.width} and, for fisheyes, {self.fisheye_width}"
            )

    def rig(self) -> dict[str, RigCamera]:
        """Return the cameras by name."""
        return {name: self._camera(name) for name in self.cameras}

    def _camera(self, name: str) -> RigCamera:
        if name in KITTI360_FISHEYES:
            size = self.fisheye_width
            lens = KITTI360_FISHEYES[name].scaled(size, size)
            return RigCamera(name, lens, fisheye_mount(name))
        shift = np.eye(4)
        shift[0, 3] = BASELINE if name == "camera_01" else 0.0
        return RigCamera(name, front_camera(self.width), T_BASE_CAM @ shift)


def front_camera(width: int) -> PinholeCamera:
    """Return the pair's camera for images of that width."""
    height = round(KITTI360_CAMERA.height * width / KITTI360_CAMERA.width)
    return KITTI360_CAMERA.resized(width, height)


def fisheye_mount(name: str) -> np.ndarray:
    """Return the (4, 4) pose of a fisheye camera in base_link."""
    position, angles_deg = _FISHEYE_MOUNTS[name]
    yaw, pitch = np.radians(angles_deg)
    T = np.eye(4)
    T[:3, :3] = turned_left(yaw) @ pitched_down(pitch) @ _BODY_FROM_OPTICAL
    T[:3, 3] = position
    return T


def static_transforms(cameras: dict[str, RigCamera]) -> dict[tuple[str, str], np.ndarray]:
    """Return the rig's fixed transforms: (4, 4) T_parent_child by (parent, child)."""
    T_imu_base = inverse(T_BASE_IMU)
    transforms = {("base_link", "imu"): T_BASE_IMU}
    for camera in cameras.values():
        transforms["imu", camera.name] = T_imu_base @ camera.T_base_cam
        if not camera.is_fisheye:
            transforms[camera.name, camera.frame] = np.eye(4)
    if "camera_00" in cameras:
        transforms["camera_00", "velodyne"] = inverse(T_VELO_CAM)
    return transforms


def seen_by_virtual_camera(lens: MeiCamera) -> np.ndarray:
    """Return (H, W) bool: the pixels that the published training resamples to a pinhole image.

    They are those of `fisheye.virtual_grid` with a margin, looking down by 15 degrees.
    """
    columns, rows = np.meshgrid(np.arange(lens.width), np.arange(lens.height))
    rays, inside = unit_rays(lens, np.stack([columns, rows], axis=-1))
    rays = rays @ virtual_rotation(*PUBLISHED_ROTATION_DEG)  # transposed: into the virtual camera
    K_norm, depth = KITTI360_CAMERA.K_norm, rays[..., 2]
    xy = rays[..., :2] * np.diag(K_norm)[:2] + depth[..., None] * K_norm[:2, 2]
    seen = inside & (depth > 0) & (np.abs(xy) <= depth[..., None]).all(axis=-1)
    around = np.ones((2 * _CROP_MARGIN + 1,) * 2, dtype=np.uint8)
    return inside & cv2.dilate(seen.astype(np.uint8), around).astype(bool)


def pitched_down(radians: float) -> np.ndarray:
    """Return the (3, 3) rotation that turns x (forward) down, towards -z."""
    cos, sin = np.cos(radians), np.sin(radians)
    return np.array([[cos, 0, sin], [0, 1, 0], [-sin, 0, cos]])


def turned_left(radians: float) -> np.ndarray:
    """Return the (3, 3) rotation that turns x (forward) to the left, towards y."""
    cos, sin = np.cos(radians), np.sin(radians)
    return np.array([[cos, -sin, 0], [sin, cos, 0], [0, 0, 1]])


def _velodyne_mount() -> np.ndarray:
    """Return T_base_velo: not turned, and pitched so that camera 00 has its pitch."""
    pitch_in_velo = np.degrees(np.arcsin(-T_VELO_CAM[2, 2]))
    T = np.eye(4)
    T[:3, :3] = pitched_down(np.radians(CAMERA_PITCH_DEG - pitch_in_velo))
    camera = np.array([_CAMERA_AHEAD, 0.0, CAMERA_HEIGHT - BASE_HEIGHT])
    T[:3, 3] = camera - T[:3, :3] @ T_VELO_CAM[:3, 3]
    return T


_BODY_FROM_OPTICAL = np.array([[0.0, 0.0, 1.0], [-1.0, 0.0, 0.0], [0.0, -1.0, 0.0]])
T_BASE_VELO = _velodyne_mount()
T_BASE_CAM = T_BASE_VELO @ T_VELO_CAM  # (4, 4) camera 00 to base_link
