"""Score predicted occupancy on a drive with occupancy grids, without classes.

DRIVE is a folder with image_00, calibration and occupancy/NNNNNNNNNN.npz, whose grids are those of
SSCBench-KITTI-360 (256 x 256 x 32 voxels of 0.2 m in the Velodyne's frame) and hold 0 free, 1
occupied and 255 unknown; or data_2d_raw/<drive> of a data set with the benchmark's own labels in
voxels, such as those of 'scenedino synthesize --write folders'. IoU, precision and recall of all
known voxels in view, and of those well above the road, stand beside answers that look at no image:
the road plane, everything occupied, and grids averaged from the drive's other frames.
"""

import argparse
from pathlib import Path

from scenedino_ros.cli.evaluation import (
    add_network_arguments,
    add_run_arguments,
    network_from,
    run_evaluation,
)
from scenedino_ros.terminal.arguments import add_grow
from scenedino_ros.terminal.values import NUMBER_RANGES, densities, number_ranges

_EPILOG = """\
examples:
  scenedino evaluate geometry kitti360_sequence -o runs/geometry
  scenedino evaluate geometry kitti360_sequence --frames 3024 --thresholds 0.5,1 -o runs/geometry
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.epilog = _EPILOG
    parser.add_argument("drive", type=Path, metavar="DRIVE", help="folder of the drive")
    parser.add_argument(
        "--thresholds",
        type=densities,
        metavar="DENSITY,...",
        help="a voxel is occupied at this density or more, 1/m; each is scored (default: the "
        "checkpoint's)",
    )
    add_grow(parser)
    parser.add_argument(
        "--frames",
        type=number_ranges,
        default=(),
        metavar=NUMBER_RANGES,
        help="score these only; the grids of all serve the averages (default: all)",
    )
    add_run_arguments(parser)
    add_network_arguments(parser)


def run(options: argparse.Namespace) -> int:
    """Score the drive."""
    network = network_from(options)
    from scenedino_ros.evaluation.geometry.counting import GeometryEvaluation
    from scenedino_ros.recordings.datasets.kitti360 import only_drive

    thresholds = options.thresholds or (network.density_threshold,)
    evaluation = GeometryEvaluation(
        only_drive(options.drive), network, thresholds, options.grow, options.frames
    )
    return run_evaluation(evaluation, options)
