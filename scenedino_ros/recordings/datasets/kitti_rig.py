# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Calibration of KITTI's rectified cameras, from the odometry benchmark and from raw drives.

A rectified camera's 3x4 matrix P projects points of rectified camera 0, so it also says where the
camera is: all have the same orientation.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from scenedino_ros.cameras.camera import CalibratedCamera, PinholeCamera
from scenedino_ros.cameras.image_folder import read_size
from scenedino_ros.cameras.plausibility import refuse_impossible
from scenedino_ros.core.errors import InputError
from scenedino_ros.recordings.datasets.drive import T_BASE_AHEAD
from scenedino_ros.recordings.datasets.kitti360_calibration import entry, read_entries, rigid
from scenedino_ros.recordings.transforms import inverse, numbers_from_matrix

_TO_CAMERA, _TO_VELO = "calib_velo_to_cam.txt", "calib_imu_to_velo.txt"


@dataclass(frozen=True, eq=False)
class KittiRig:
    """The rectified cameras.

    Attributes:
        cameras: Calibration by number, such as ``00``.
        T_cam0_cam: (4, 4) camera to rectified camera 0, by number, metres.
        T_base_cam0: (4, 4) rectified camera 0 to ``base_link``, metres.
        has_imu: Whether ``base_link`` is the IMU; otherwise it is at camera 0.
    """

    cameras: dict[str, CalibratedCamera]
    T_cam0_cam: dict[str, np.ndarray]
    T_base_cam0: np.ndarray
    has_imu: bool


def odometry_rig(path: Path, images: Mapping[str, Path]) -> KittiRig:
    """Read ``calib.txt`` of a sequence, or that of a frame of the object benchmark.

    Args:
        path: The file.
        images: An image of each camera, for its size, which the file does not have.

    Raises:
        InputError: If the matrix of a camera is missing, or is none, or an image cannot be read.
    """
    sizes = {number: read_size(image) for number, image in images.items()}
    entries = read_entries(path)
    matrices = {n: entry(entries, f"P{int(n)}", 12, path).reshape(3, 4) for n in sizes}
    return _rig(matrices, sizes, T_BASE_AHEAD, has_imu=False)


def raw_rig(folder: Path, numbers: Sequence[str]) -> KittiRig:
    """Read ``calib_cam_to_cam.txt`` of a date and, if there, what leads to the IMU.

    Args:
        folder: Folder of the date.
        numbers: The cameras.

    Raises:
        InputError: If a file or an entry is missing, or has another number of values.
    """
    path = folder / "calib_cam_to_cam.txt"
    entries = read_entries(path)
    matrices = {n: entry(entries, f"P_rect_{n}", 12, path).reshape(3, 4) for n in numbers}
    sizes = {}
    for number in numbers:
        width, height = entry(entries, f"S_rect_{number}", 2, path)
        sizes[number] = (int(width), int(height))
    if not (folder / _TO_CAMERA).is_file() or not (folder / _TO_VELO).is_file():
        return _rig(matrices, sizes, T_BASE_AHEAD, has_imu=False)
    T_rect_cam = np.eye(4)
    T_rect_cam[:3, :3] = entry(entries, "R_rect_00", 9, path).reshape(3, 3)
    T_cam_velo, T_velo_imu = (_transform(folder / name) for name in (_TO_CAMERA, _TO_VELO))
    T_base_cam0 = inverse(T_rect_cam @ T_cam_velo @ T_velo_imu)
    return _rig(matrices, sizes, T_base_cam0, has_imu=True)


def _rig(
    matrices: Mapping[str, np.ndarray],
    sizes: Mapping[str, tuple[int, int]],
    T_base_cam0: np.ndarray,
    *,
    has_imu: bool,
) -> KittiRig:
    cameras, mounted = {}, {}
    for number, P in matrices.items():
        try:
            pinhole = PinholeCamera(P[:, :3], *sizes[number])
            refuse_impossible(pinhole)
            mounted[number] = np.eye(4)
            mounted[number][:3, 3] = -np.linalg.solve(pinhole.K, P[:, 3])
            numbers_from_matrix(mounted[number])  # which refuses what is no place of a camera
        except InputError as error:
            raise InputError(f"calibration of camera {number}: {error}") from error
        cameras[number] = CalibratedCamera(pinhole)
    return KittiRig(cameras, mounted, T_base_cam0, has_imu)


def _transform(path: Path) -> np.ndarray:
    """Return the (4, 4) transform of the entries R and T of a file."""
    entries = read_entries(path)
    R, t = entry(entries, "R", 9, path).reshape(3, 3), entry(entries, "T", 3, path)
    return rigid(np.column_stack([R, t]).reshape(-1))
