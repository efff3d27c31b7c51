# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Arguments that mean the same for several commands, each declared once."""

import argparse
from pathlib import Path

from scenedino_ros.core.config import VoxelSettings
from scenedino_ros.terminal.values import count, numbers, positive


def add_output(group: argparse._ActionsContainer, what: str, *, required: bool = True) -> None:
    """Declare the file or folder that a command writes."""
    group.add_argument("-o", "--output", type=Path, required=required, metavar="PATH", help=what)


def add_force(group: argparse._ActionsContainer, what: str) -> None:
    """Declare that what exists already is made again."""
    group.add_argument("--force", action="store_true", help=what)


def add_workers(
    group: argparse._ActionsContainer, what: str, *, default: int | None = None
) -> None:
    """Declare how many processes or threads work at the same time."""
    group.add_argument("--workers", type=count, default=default, metavar="N", help=what)


def add_calibration(group: argparse._ActionsContainer, *, required: bool = False) -> None:
    """Declare where the calibration of images comes from: four numbers or a file."""
    calibration = group.add_mutually_exclusive_group(required=required)
    calibration.add_argument(
        "--intrinsics",
        type=numbers("fx,fy,cx,cy"),
        metavar="fx,fy,cx,cy",
        help="of undistorted images, in pixels of the images as they are",
    )
    calibration.add_argument(
        "--camera-info",
        type=Path,
        metavar="FILE",
        help="calibration file of ROS, OpenCV or Kalibr",
    )


def add_node_voxels(group: argparse._ActionsContainer) -> None:
    """Declare in which frame the node's grid lies, and which of its voxels are occupied."""
    group.add_argument(
        "--grid-frame",
        default="",
        metavar="FRAME",
        help="frame of the grid (default: the camera's; for the others the drive's body frame)",
    )
    group.add_argument(
        "--threshold",
        type=positive,
        default=VoxelSettings.density_threshold,
        metavar="DENSITY",
        help="a voxel is occupied at this density or more, 1/m (default: the checkpoint's)",
    )
    group.add_argument(
        "--all-voxels",
        action="store_true",
        help="publish all occupied voxels, not only the surface (voxels.exposed_only: false)",
    )


def add_grow(group: argparse._ActionsContainer) -> None:
    """Declare that the densest of 3x3x3 voxels decides."""
    group.add_argument(
        "--grow", action="store_true", help="take the densest of 3x3x3 voxels, as SSCBench does"
    )
