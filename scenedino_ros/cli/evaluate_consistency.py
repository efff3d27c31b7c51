# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Whether features of the same surface agree in two frames of a video.

DATA is a KITTI-360 drive (data_2d_raw/<drive> of the official layout, or one folder that holds
image_00 and calibration), a frame store, or RealEstate10K (a folder with test/<video>.txt and
frames/test/<video>/<time>.jpg).

Frames are aligned by optical flow: exact flow where a frame store has depth, else RAFT where
torchvision has its weights or --raft-weights names them, else OpenCV's DIS. The report says which.
"""

import argparse
from pathlib import Path

from scenedino_ros.cli.evaluation import (
    add_network_arguments,
    add_run_arguments,
    add_setting,
    run_and_print,
)
from scenedino_ros.evaluation.settings import ConsistencySettings
from scenedino_ros.terminal.progress import reporting
from scenedino_ros.terminal.values import count

_EPILOG = """\
examples:
  scenedino evaluate consistency KITTI-360/data_2d_raw/2013_05_28_drive_0009_sync \\
      --checkpoint ssc-kitti-360-dino --features dino_vitb8 --every 10 -o runs/consistency
  scenedino evaluate consistency RealEstate10K --checkpoint re10k.safetensors \\
      --image-size 288x512 --features dinov2_vitb14:timm+fit3d -o runs/re10k
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.epilog = _EPILOG
    parser.add_argument("data", type=Path, metavar="DATA", help="drive, store or RealEstate10K")
    add_setting(parser, ConsistencySettings, "camera")
    add_setting(parser, ConsistencySettings, "stride", type=count, metavar="N")
    add_setting(parser, ConsistencySettings, "every", type=count, metavar="N")
    add_setting(
        parser,
        ConsistencySettings,
        "features",
        action="append",
        metavar="BACKBONE[:WEIGHTS]",
    )
    add_setting(parser, ConsistencySettings, "flow")
    add_setting(parser, ConsistencySettings, "raft_weights", type=Path, metavar="FILE")
    add_network_arguments(parser)
    add_run_arguments(parser)


def run(options: argparse.Namespace) -> int:
    """Compare the pairs that are not compared yet, and print the tables."""
    with reporting("loading PyTorch"):
        from scenedino_ros.evaluation.evaluate import evaluate_consistency

    return run_and_print(evaluate_consistency, ConsistencySettings, options)
