# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Poses of KITTI's raw drives, from the GPS and IMU packets in ``oxts/data``."""

from pathlib import Path

import numpy as np

from scenedino_ros.core.errors import InputError
from scenedino_ros.recordings.datasets.kitti360_calibration import numbers, read_text
from scenedino_ros.recordings.datasets.numbered_files import numbered_files

_EARTH_RADIUS = 6378137.0  # metres, of the Mercator projection
_VALUES = 30  # of a packet; the first six are used


def read_oxts(folder: Path) -> dict[int, np.ndarray]:
    """Read the poses of the IMU (x forward, y left, z up).

    Args:
        folder: ``oxts/data`` of a drive.

    Returns:
        (4, 4) float64 T_map_imu by frame number, metres. The map begins at the first packet and
        has x to the east, y to the north, and z up.

    Raises:
        InputError: If a packet has not 30 numbers, or is not on Earth.

    Source:
        Geiger et al., Vision meets Robotics: The KITTI Dataset, IJRR 2013: Mercator projection at
        the latitude of the first packet; R = Rz(yaw) Ry(pitch) Rx(roll).
    """
    poses: dict[int, np.ndarray] = {}
    scale = 0.0
    for number, path in numbered_files(folder, ".txt").items():
        packet = numbers(read_text(path), path)
        if packet.size != _VALUES:
            raise InputError(f"{path} must have {_VALUES} numbers, got {packet.size}")
        latitude, longitude, altitude, roll, pitch, yaw = packet[:6]
        if not (np.isfinite(packet[:6]).all() and abs(latitude) < 89 and abs(longitude) <= 180):
            raise InputError(
                f"{path} must begin with latitude, longitude (degrees), altitude, roll, pitch and "
                f"yaw, got {packet[:6].tolist()}"
            )
        scale = scale or float(np.cos(np.radians(latitude)))
        T = np.eye(4)
        T[:3, :3] = _rotation(2, yaw) @ _rotation(1, pitch) @ _rotation(0, roll)
        T[0, 3] = scale * _EARTH_RADIUS * np.radians(longitude)
        T[1, 3] = scale * _EARTH_RADIUS * np.log(np.tan(np.radians(90 + latitude) / 2))
        T[2, 3] = altitude
        poses[number] = T
    if poses:
        origin = next(iter(poses.values()))[:3, 3].copy()
        for T in poses.values():
            T[:3, 3] -= origin
    return poses


def _rotation(axis: int, angle: float) -> np.ndarray:
    """Return the (3, 3) rotation about an axis by an angle in radians."""
    first, second = (axis + 1) % 3, (axis + 2) % 3
    R = np.eye(3)
    R[first, first] = R[second, second] = np.cos(angle)
    R[first, second], R[second, first] = -np.sin(angle), np.sin(angle)
    return R
