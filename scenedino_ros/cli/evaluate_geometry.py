# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Score predicted occupancy on a drive with occupancy grids, without classes.

DRIVE is a folder with image_00, calibration and occupancy/NNNNNNNNNN.npz, whose grids are those of
SSCBench-KITTI-360 (256 x 256 x 32 voxels of 0.2 m in the Velodyne's frame) and hold 0 free, 1
occupied and 255 unknown; or data_2d_raw/<drive> of a data set with the benchmark's own labels in
voxels, such as those of 'scenedino synthesize --write folders'. IoU, precision and recall of all
known voxels in view, and of those well above the road, stand beside baselines that look at no
image: the road plane, everything occupied, and grids averaged from the drive's other frames.
"""

import argparse
from pathlib import Path

from scenedino_ros.cli.evaluation import (
    add_network_arguments,
    add_run_arguments,
    add_setting,
    run_and_print,
)
from scenedino_ros.evaluation.settings import GeometrySettings
from scenedino_ros.terminal.progress import reporting
from scenedino_ros.terminal.values import NUMBER_RANGES, densities, number_ranges

_EPILOG = """\
examples:
  scenedino evaluate geometry kitti360_sequence -o runs/geometry
  scenedino evaluate geometry kitti360_sequence --frames 3024 --thresholds 0.5,1 -o runs/geometry
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.epilog = _EPILOG
    parser.add_argument("data", type=Path, metavar="DRIVE", help="folder of the drive")
    add_setting(parser, GeometrySettings, "thresholds", type=densities, metavar="DENSITY,...")
    add_setting(parser, GeometrySettings, "grow")
    add_setting(parser, GeometrySettings, "frames", type=number_ranges, metavar=NUMBER_RANGES)
    add_network_arguments(parser)
    add_run_arguments(parser)


def run(options: argparse.Namespace) -> int:
    """Score the frames that are not scored yet, and print the tables."""
    with reporting("loading PyTorch"):
        from scenedino_ros.evaluation.evaluate import evaluate_geometry

    return run_and_print(evaluate_geometry, GeometrySettings, options)
