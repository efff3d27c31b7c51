# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Make the tables of the benchmarks, each with one command.

Every run is a folder: counts of each finished frame, result.json, report.md, plots and panels. The
same command resumes a run that was stopped, or in which files were missing. 'scenedino report'
puts several runs on one page.
"""

import argparse

from scenedino_ros.cli.subcommands import Subcommand, add_subcommands

EVALUATIONS = (
    Subcommand(
        "ssc", "semantic scene completion, SSCBench-KITTI-360", "scenedino_ros.cli.evaluate_ssc"
    ),
    Subcommand(
        "geometry",
        "occupancy on a drive, beside grids that look at no image",
        "scenedino_ros.cli.evaluate_geometry",
    ),
    Subcommand(
        "map",
        "one image against the map of many, on drives with poses",
        "scenedino_ros.cli.evaluate_map",
    ),
    Subcommand(
        "segmentation",
        "classes of images: KITTI-360, Cityscapes, BDD100K",
        "scenedino_ros.cli.evaluate_segmentation",
    ),
    Subcommand(
        "probe",
        "linear or MLP probes of a frozen network's features",
        "scenedino_ros.cli.evaluate_probe",
    ),
    Subcommand(
        "consistency",
        "features of the same surface in two frames",
        "scenedino_ros.cli.evaluate_consistency",
    ),
    Subcommand("depth", "rendered depth against LiDAR", "scenedino_ros.cli.evaluate_depth"),
)
_EPILOG = """\
'scenedino evaluate TABLE --help' lists all options.

examples:
  scenedino evaluate ssc KITTI-360 --checkpoint ssc-kitti-360-dino -o runs/ssc
  scenedino evaluate geometry kitti360_sequence --checkpoint model.safetensors -o runs/geometry
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare one nested subcommand per table."""
    parser.epilog = _EPILOG
    add_subcommands(parser, EVALUATIONS, dest="evaluation", metavar="TABLE")
