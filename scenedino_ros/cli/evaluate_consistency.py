"""Whether features of the same surface agree in two frames of a video.

DATA is a KITTI-360 drive (data_2d_raw/<drive> of the official layout, or one folder that holds
image_00 and calibration), a frame store, or RealEstate10K (a folder with test/<video>.txt and
frames/test/<video>/<time>.jpg).

Frames are aligned by optical flow: exact flow where a frame store has depth, else RAFT where
torchvision has its weights or --raft-weights names them, else OpenCV's DIS. The report says which.
"""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from scenedino_ros.cli.evaluation import (
    add_network_arguments,
    add_panel_argument,
    add_run_arguments,
    network_from,
    run_evaluation,
)
from scenedino_ros.core.errors import InputError
from scenedino_ros.terminal.arguments import add_every, add_store_camera
from scenedino_ros.terminal.values import count

if TYPE_CHECKING:
    from scenedino_ros.evaluation.consistency.data import PairData

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
    add_store_camera(parser)
    parser.add_argument(
        "--stride",
        type=count,
        default=3,
        metavar="N",
        help="frames from the first of a pair to the second (default: %(default)s)",
    )
    add_every(parser, "pair")
    parser.add_argument(
        "--features",
        action="append",
        default=[],
        metavar="BACKBONE[:WEIGHTS]",
        help="a 2D backbone to compare with, such as dino_vitb8; WEIGHTS are timm, fit3d, default "
        "(the encoder of the package's model), a file, or two of them joined by + for features "
        "side by side. May be repeated",
    )
    parser.add_argument(
        "--flow",
        choices=("auto", "raft", "exact", "dis"),
        default="auto",
        help="how frames are aligned (default: %(default)s, the best there is)",
    )
    parser.add_argument(
        "--raft-weights", type=Path, metavar="FILE", help="torchvision's weights of RAFT large"
    )
    add_network_arguments(parser)
    add_run_arguments(parser)
    add_panel_argument(parser)


def run(options: argparse.Namespace) -> int:
    """Compare the pairs that are not compared yet, and say what came out."""
    network = network_from(options)
    from scenedino_ros.evaluation.consistency.counting import ConsistencyEvaluation
    from scenedino_ros.evaluation.consistency.feature_sources import TokenChoice
    from scenedino_ros.evaluation.consistency.flow import choose_flow

    data = _pairs(options)
    items = data.items()
    if not items:
        raise InputError(f"{options.data} has no two frames that are {options.stride} apart")
    flow = choose_flow(
        options.flow, options.raft_weights, has_depth=data.geometry(items[0]) is not None
    )
    tokens = tuple(TokenChoice.parse(text) for text in options.features)
    evaluation = ConsistencyEvaluation(data, network, flow, tokens, panels=options.panels)
    return run_evaluation(evaluation, options)


def _pairs(options: argparse.Namespace) -> "PairData":
    from scenedino_ros.evaluation.consistency.data import (
        DrivePairs,
        RealEstatePairs,
        StorePairs,
    )
    from scenedino_ros.recordings.datasets.kitti360 import only_drive

    folder = only_drive(options.data)
    if (folder / "store.json").is_file():
        return StorePairs(folder, options.camera, options.stride, options.every)
    if (folder / "image_00").is_dir():
        return DrivePairs(folder, options.stride, options.every)
    if (folder / "test").is_dir():
        return RealEstatePairs(folder, "test", options.stride, options.every)
    raise InputError(f"there is no drive, frame store or RealEstate10K at {folder}")
