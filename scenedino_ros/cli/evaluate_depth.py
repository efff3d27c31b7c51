# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Depth rendered from one image, against LiDAR or exact depth.

DATA is a KITTI-360 drive with Velodyne scans (data_2d_raw/<drive> of the official layout, or one
folder that holds image_00, calibration and velodyne_points), or a frame store with depth maps.
'scenedino synthesize --write folders' makes drives in the official layout.

A flat road, and the mean depth image of the training frames, are scored on the same pixels: a
model that does not beat them has shown little about seeing.
"""

import argparse
from pathlib import Path

from scenedino_ros.cli.evaluation import (
    add_network_arguments,
    add_run_arguments,
    add_setting,
    run_and_print,
)
from scenedino_ros.evaluation.depth.lidar_depth import Road
from scenedino_ros.evaluation.settings import DepthSettings
from scenedino_ros.terminal.progress import reporting
from scenedino_ros.terminal.values import NUMBER_RANGES, number_ranges, numbers, positive

_EPILOG = """\
examples:
  scenedino evaluate depth kitti360_sequence -o runs/depth
  scenedino evaluate depth kitti360_sequence --train-frames 3000-3024,3050 -o runs/depth
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.epilog = _EPILOG
    parser.add_argument("data", type=Path, metavar="DATA", help="drive or frame store")
    add_setting(parser, DepthSettings, "camera")
    add_setting(parser, DepthSettings, "limits", type=numbers("near,far"), metavar="near,far")
    add_setting(parser, DepthSettings, "train_frames", type=number_ranges, metavar=NUMBER_RANGES)
    add_setting(
        parser,
        DepthSettings,
        "road",
        type=_road,
        metavar="nx,ny,nz,height",
    )
    add_setting(parser, DepthSettings, "above", type=positive, metavar="METRES")
    add_setting(parser, DepthSettings, "n_samples", type=int, metavar="N", flag="--samples")
    add_setting(parser, DepthSettings, "spacing")
    add_network_arguments(parser)
    add_run_arguments(parser)


def run(options: argparse.Namespace) -> int:
    """Score the frames that are not scored yet, and print the tables."""
    with reporting("loading PyTorch"):
        from scenedino_ros.evaluation.evaluate import evaluate_depth

    return run_and_print(evaluate_depth, DepthSettings, options)


def _road(text: str) -> Road:
    *normal, height = numbers("nx,ny,nz,height")(text)
    return Road((normal[0], normal[1], normal[2]), height)
