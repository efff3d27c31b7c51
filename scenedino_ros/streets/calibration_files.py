# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Writes the synthetic rig as KITTI-360's calibration files."""

import dataclasses
from pathlib import Path

import numpy as np

from scenedino_ros.cameras.camera import PinholeCamera
from scenedino_ros.cameras.fisheye import MeiCamera
from scenedino_ros.core.files import write_atomically
from scenedino_ros.evaluation.ssc.rules import T_VELO_CAM
from scenedino_ros.recordings.datasets.kitti360_calibration import T_BASE_IMU
from scenedino_ros.recordings.transforms import inverse
from scenedino_ros.streets.rig import BASELINE, CAMERAS, RigSettings


def write_calibration(folder: Path, settings: RigSettings) -> None:
    """Write the files of all four cameras, whichever of them were rendered."""
    rig = dataclasses.replace(settings, cameras=CAMERAS).rig()
    T_imu_base = inverse(T_BASE_IMU)
    perspective, mounts = [], []
    for name, camera in rig.items():
        image = f"image{name.removeprefix('camera')}"
        mounts.append(f"{image}: {row(T_imu_base @ camera.T_base_cam)}")
        if isinstance(camera.lens, MeiCamera):
            _write(folder / f"{image}.yaml", [_fisheye(image, camera.lens)])
        else:
            perspective += _rectified(name.removeprefix("camera"), camera.lens)
    _write(folder / "perspective.txt", perspective)
    _write(folder / "calib_cam_to_pose.txt", mounts)
    _write(folder / "calib_cam_to_velo.txt", [row(T_VELO_CAM)])


def row(matrix: np.ndarray) -> str:
    """Return the first three rows of a (4, 4) matrix as one line, exactly."""
    return " ".join(repr(float(value)) for value in matrix[:3].ravel())


def _rectified(number: str, lens: PinholeCamera) -> list[str]:
    P = np.hstack([lens.K, np.zeros((3, 1))])
    P[0, 3] = -lens.K[0, 0] * BASELINE if number == "_01" else 0.0
    return [
        f"S_rect{number}: {lens.width} {lens.height}",
        f"R_rect{number}: 1 0 0 0 1 0 0 0 1",
        f"P_rect{number}: {' '.join(repr(float(value)) for value in P.ravel())}",
    ]


def _fisheye(name: str, lens: MeiCamera) -> str:
    return f"""\
%YAML:1.0
model_type: MEI
camera_name: {name}
image_width: {lens.width}
image_height: {lens.height}
mirror_parameters:
   xi: {lens.xi}
distortion_parameters:
   k1: {lens.k1}
   k2: {lens.k2}
   p1: {lens.p1}
   p2: {lens.p2}
projection_parameters:
   gamma1: {lens.gamma1}
   gamma2: {lens.gamma2}
   u0: {lens.u0}
   v0: {lens.v0}"""


def _write(path: Path, lines: list[str]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, ("\n".join(lines) + "\n").encode())
