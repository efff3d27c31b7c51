# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Probes, linear or with one hidden layer, fitted to labels on the features of a frozen network.

Features of some labelled pixels of the training images are rendered once and kept in the folder
of the run; the probes (one on the distilled code, one on the full feature) are fitted to them and
scored on other images. DATA and --train are folders as for 'scenedino evaluate segmentation'.

The folder then holds probe.safetensors, the network with its new probes: 'scenedino evaluate ssc
--checkpoint RUN/probe.safetensors --mode stego_linear' scores them in 3D.
"""

import argparse
from pathlib import Path

from scenedino_ros.cli.evaluate_segmentation import add_labelled_arguments
from scenedino_ros.cli.evaluation import (
    add_network_arguments,
    add_run_arguments,
    add_setting,
    run_and_print,
)
from scenedino_ros.evaluation.settings import ProbeSettings
from scenedino_ros.terminal.progress import reporting
from scenedino_ros.terminal.values import NUMBER_RANGES, count, number_ranges

_EPILOG = """\
examples:
  scenedino evaluate probe KITTI-360 --train-drives 0,2,3 --train-every 10 \\
      --checkpoint ssc-kitti-360-dino -o runs/probe
  scenedino evaluate probe streets/kitti360 --train-drives 900 -o runs/probe
  scenedino evaluate probe town.store --train street.store --hidden \\
      --checkpoint model.safetensors -o runs/probe
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.epilog = _EPILOG
    add_labelled_arguments(parser)
    training = parser.add_argument_group("training")
    add_setting(training, ProbeSettings, "train", type=Path, action="append", metavar="FOLDER")
    add_setting(training, ProbeSettings, "train_drives", type=number_ranges, metavar=NUMBER_RANGES)
    add_setting(training, ProbeSettings, "train_every", type=count, metavar="N")
    add_setting(training, ProbeSettings, "hidden")
    add_setting(training, ProbeSettings, "epochs", type=count, metavar="N")
    add_setting(training, ProbeSettings, "pixels", type=count, metavar="N")
    add_network_arguments(parser)
    add_run_arguments(parser)


def run(options: argparse.Namespace) -> int:
    """Fit the probes, score them, and print the tables."""
    with reporting("loading PyTorch"):
        from scenedino_ros.evaluation.evaluate import evaluate_probe

    return run_and_print(evaluate_probe, ProbeSettings, options)
