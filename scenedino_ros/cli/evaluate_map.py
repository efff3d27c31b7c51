# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Score one image against the rolling map of many images.

DRIVES is a drive with poses and occupancy grids (image_00, calibration, cam0_to_world.txt and
occupancy/NNNNNNNNNN.npz, as for 'scenedino evaluate geometry'), or a data set of drives with the
benchmark's labels in voxels, such as those of 'scenedino synthesize --moving-cars 4 --write
folders'. All images up to a scored frame are fused in order. The table has IoU, precision and
recall at 12.8, 25.6 and 51.2 m of the map, and of one image at the density that is best on these
frames; the free voxels of the driven corridor; the ghosts of moving cars after 1, 2 and 5 s; and
the same with errors of the poses.
"""

import argparse
from pathlib import Path

from scenedino_ros.cli.evaluation import (
    add_network_arguments,
    add_run_arguments,
    add_setting,
    run_and_print,
)
from scenedino_ros.evaluation.settings import MapEvaluationSettings
from scenedino_ros.terminal.progress import reporting
from scenedino_ros.terminal.values import (
    count,
    densities,
    not_negative,
    numbers,
    positive,
    several,
)

_EPILOG = """\
examples:
  scenedino evaluate map kitti360_sequence -o runs/map
  scenedino evaluate map traffic/kitti360 --position-noise 0 --rotation-noise 0 -o runs/map
  scenedino evaluate map kitti360_sequence --images 8 --half-life 5 -o runs/map8
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.epilog = _EPILOG
    settings = MapEvaluationSettings
    parser.add_argument("data", type=Path, metavar="DRIVES", help="a drive, or a data set")
    add_setting(parser, settings, "every", type=count, metavar="N")
    add_setting(
        parser,
        settings,
        "images",
        type=count,
        metavar="N",
        help="fuse only so many images, the last ones up to the scored frame (default: all)",
    )
    add_setting(parser, settings, "least_images", type=count, metavar="N")
    scores = parser.add_argument_group("scores")
    add_setting(scores, settings, "thresholds", type=_log_odds, metavar="LOG-ODDS,...")
    add_setting(scores, settings, "densities", type=densities, metavar="DENSITY,...")
    noise = parser.add_argument_group("errors of the poses")
    add_setting(noise, settings, "position_noise", type=densities, metavar="METRES,...")
    add_setting(noise, settings, "rotation_noise", type=densities, metavar="DEGREES,...")
    add_setting(noise, settings, "seed", type=int, metavar="N")
    box = parser.add_argument_group("map")
    add_setting(box, settings, "size", type=numbers("x,y,z"), metavar="x,y,z")
    add_setting(box, settings, "voxel_size", type=positive, metavar="METRES")
    add_setting(box, settings, "map_density", type=not_negative, metavar="DENSITY")
    add_setting(box, settings, "half_life", type=positive, metavar="SECONDS")
    add_network_arguments(parser)
    add_run_arguments(parser)


def _log_odds(text: str) -> tuple[float, ...]:
    return several(lambda part: numbers("n")(part)[0])(text)


def run(options: argparse.Namespace) -> int:
    """Score the frames that are not scored yet, and print the tables."""
    with reporting("loading PyTorch"):
        from scenedino_ros.evaluation.evaluate import evaluate_map

    return run_and_print(evaluate_map, MapEvaluationSettings, options)
