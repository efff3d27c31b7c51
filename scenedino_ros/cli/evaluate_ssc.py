# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Score semantic scene completion on SSCBench-KITTI-360, or on drives in its layout.

ROOT holds data_2d_raw/SEQUENCE/image_00/data_rect/NNNNNN.png (or KITTI-360's own images, also the
preprocessed data_192x640 alone) and labels, either the benchmark's own voxels/NNNNNN.label and
.invalid, or grids SEQUENCE/NNNNNN_1_1.npy. The report has IoU, precision, recall, the IoU of the
15 classes and their mean at 12.8, 25.6 and 51.2 m by the rules of the published evaluation, beside
the published rows: for the classes as the checkpoint names them, and after another matching.

A frame whose file is missing or damaged is named and the others are scored; the exit code is then
1, and no number is shown as that of the whole set.
"""

import argparse
from pathlib import Path

from scenedino_ros.cli.evaluation import (
    add_network_arguments,
    add_run_arguments,
    add_setting,
    run_and_print,
)
from scenedino_ros.evaluation.settings import SscSettings
from scenedino_ros.terminal.progress import reporting
from scenedino_ros.terminal.values import count, densities

_EPILOG = """\
examples:
  scenedino evaluate ssc KITTI-360 --checkpoint ssc-kitti-360-dino -o runs/ssc
  scenedino evaluate ssc KITTI-360 --checkpoint ssc-kitti-360-dino -o runs/ssc_r2 --refinement 2
  scenedino evaluate ssc KITTI-360 --predictions grids -o runs/ssc --thresholds 0.2,0.25
  torchrun --nproc-per-node 8 -m scenedino_ros.cli evaluate ssc KITTI-360 -o runs/ssc
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.epilog = _EPILOG
    parser.add_argument("data", type=Path, metavar="ROOT", help="folder that holds data_2d_raw")
    data = parser.add_argument_group("data")
    add_setting(data, SscSettings, "split")
    add_setting(data, SscSettings, "labels", type=Path, metavar="FOLDER")
    add_setting(data, SscSettings, "kitti360", type=Path, metavar="FOLDER")
    add_setting(data, SscSettings, "every", type=count, metavar="N")
    add_setting(data, SscSettings, "baseline")
    add_setting(data, SscSettings, "baseline_root", type=Path, metavar="FOLDER")
    rules = parser.add_argument_group("rules")
    add_setting(rules, SscSettings, "thresholds", type=densities, metavar="DENSITY,...")
    add_setting(rules, SscSettings, "refinement", type=count, metavar="R")
    add_setting(rules, SscSettings, "keep_empty")
    add_setting(rules, SscSettings, "predictions", type=Path, metavar="FOLDER")
    add_network_arguments(parser)
    add_run_arguments(parser)


def run(options: argparse.Namespace) -> int:
    """Score the frames that are not scored yet, and print the tables."""
    with reporting("loading PyTorch"):
        from scenedino_ros.evaluation.evaluate import evaluate_ssc

    return run_and_print(evaluate_ssc, SscSettings, options)
