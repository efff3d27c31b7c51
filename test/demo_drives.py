# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""A short recorded drive for the tests of the demo."""

from pathlib import Path

import numpy as np

from scenedino_ros.cameras.camera import CalibratedCamera, PinholeCamera
from scenedino_ros.recordings.datasets.drive_writer import DriveWriter, RecordedCamera
from scenedino_ros.recordings.rosbag2.writer import BagWriter

WIDTH, HEIGHT = 160, 64
SECOND = 1_000_000_000
CAMERA = CalibratedCamera(PinholeCamera.from_focal(80, 80, 79.5, 31.5, WIDTH, HEIGHT))
CAMERA_IN_BASE = np.array([[0, 0, 1, 0], [-1, 0, 0, 0], [0, -1, 0, 1.5], [0, 0, 0, 1.0]])


def picture(number: int) -> np.ndarray:
    rng = np.random.default_rng(number)
    coarse = rng.integers(0, 255, (HEIGHT // 8, WIDTH // 8, 3), dtype=np.uint8)
    return coarse.repeat(8, axis=0).repeat(8, axis=1)


def write_drive(
    path: Path, count: int, period_ns: int = SECOND // 10, *, ends_with_pose: bool = False
) -> None:
    """Record images every period, with transforms before, at and between their stamps."""
    with DriveWriter(BagWriter(path), [RecordedCamera("/cam", "cam", CAMERA)]) as writer:
        writer.static_transforms({("base_link", "cam"): CAMERA_IN_BASE}, SECOND)
        for i in range(count):
            ns = SECOND + i * period_ns
            writer.transforms({("map", "base_link"): pose_at(ns)}, ns - period_ns // 3)
            writer.image("/cam", picture(i), ns)
        if ends_with_pose:
            writer.transforms({("map", "base_link"): pose_at(ns)}, ns + period_ns)


def pose_at(ns: int) -> np.ndarray:
    T = np.eye(4)
    T[0, 3] = ns / SECOND
    return T
