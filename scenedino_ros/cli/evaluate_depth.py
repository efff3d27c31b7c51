"""Depth rendered from one image, against LiDAR or exact depth.

DATA is a KITTI-360 drive with Velodyne scans (data_2d_raw/<drive> of the official layout, or one
folder that holds image_00, calibration and velodyne_points), or a frame store with depth maps.
Drives that 'scenedino synthesize --write folders' made are in the official layout.

A flat road, and the mean depth image of the training frames, are scored on the same pixels: a
model that does not beat them has shown little about seeing.
"""

import argparse
from pathlib import Path

from scenedino_ros.cli.evaluation import (
    add_network_arguments,
    add_panel_argument,
    add_run_arguments,
    network_from,
    run_evaluation,
)
from scenedino_ros.core.errors import InputError
from scenedino_ros.terminal.arguments import add_store_camera
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
    add_store_camera(parser)
    parser.add_argument(
        "--limits",
        type=numbers("near,far"),
        metavar="near,far",
        help="z-depths that count, metres (default: 1,50 for LiDAR, else 0.001,80)",
    )
    parser.add_argument(
        "--train-frames",
        type=number_ranges,
        metavar=NUMBER_RANGES,
        help="frames that training may have used: scored apart, and the mean of their true depth "
        "images becomes a baseline",
    )
    parser.add_argument(
        "--road",
        type=numbers("nx,ny,nz,height"),
        metavar="nx,ny,nz,height",
        help="downward normal of the road in the optical frame, and the camera's height over it "
        "in metres (default: as on KITTI-360)",
    )
    parser.add_argument(
        "--above",
        type=positive,
        default=0.4,
        metavar="METRES",
        help="what is higher than this over the road is scored by itself (default: %(default)s)",
    )
    add_network_arguments(parser)
    add_run_arguments(parser)
    add_panel_argument(parser)


def run(options: argparse.Namespace) -> int:
    """Score the frames that are not scored yet, and say what came out."""
    network = network_from(options)
    from scenedino_ros.evaluation.depth.counting import DepthEvaluation
    from scenedino_ros.evaluation.depth.data import DriveDepth, StoreDepth
    from scenedino_ros.evaluation.depth.lidar_depth import KITTI360_ROAD, Road
    from scenedino_ros.recordings.datasets.kitti360 import only_drive

    road = KITTI360_ROAD
    if options.road is not None:
        *normal, height = options.road
        road = Road((normal[0], normal[1], normal[2]), height)
    data: DriveDepth | StoreDepth
    if (options.data / "store.json").is_file():
        data = StoreDepth(options.data, options.camera, options.limits or StoreDepth.limits)
    elif options.data.is_dir():
        data = DriveDepth(only_drive(options.data), options.limits or DriveDepth.limits)
    else:
        raise InputError(f"there is no drive or frame store at {options.data}")
    evaluation = DepthEvaluation(
        data, network, options.train_frames, road, options.above, panels=options.panels
    )
    return run_evaluation(evaluation, options)
