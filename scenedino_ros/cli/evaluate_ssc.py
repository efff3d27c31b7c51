"""Score semantic scene completion on SSCBench-KITTI-360, or on drives in its layout.

ROOT holds data_2d_raw/SEQUENCE/image_00/data_rect/NNNNNN.png (or KITTI-360's own images, also the
preprocessed data_192x640 alone) and labels, either the benchmark's own voxels/NNNNNN.label and
.invalid, or grids SEQUENCE/NNNNNN_1_1.npy. IoU, precision, recall, IoU of the 15 classes and their
mean at 12.8, 25.6 and 51.2 m come out by the rules of the published evaluation, classes both as
the checkpoint names them and matched once more, beside the published rows.

A frame whose file is missing or damaged is named and the others are scored; the exit code is then
1, and no number is shown as that of the whole set.
"""

import argparse
from pathlib import Path

from scenedino_ros.cli.evaluation import (
    add_network_arguments,
    add_run_arguments,
    network_from,
    run_evaluation,
)
from scenedino_ros.terminal.arguments import add_every
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
    parser.add_argument("root", type=Path, metavar="ROOT", help="folder that holds data_2d_raw")
    data = parser.add_argument_group("data")
    data.add_argument("--split", choices=("train", "val", "test"), default="test")
    data.add_argument(
        "--labels",
        type=Path,
        metavar="FOLDER",
        help="where labels lie: grids SEQUENCE/NNNNNN_1_1.npy, or a release of the benchmark "
        "(default: ROOT's .label files, else its preprocess/labels)",
    )
    data.add_argument(
        "--kitti360",
        type=Path,
        metavar="FOLDER",
        help="take the images from KITTI-360 itself, by the rows of its pose files",
    )
    add_every(data, "labelled frame")
    data.add_argument(
        "--baseline",
        choices=("train", "val", "test"),
        help="also score a constant grid made of this split's labels, which looks at no image",
    )
    data.add_argument(
        "--baseline-root",
        type=Path,
        metavar="FOLDER",
        help="where that split lies, with a data_2d_raw of its own (default: ROOT)",
    )
    rules = parser.add_argument_group("rules")
    rules.add_argument(
        "--thresholds",
        type=densities,
        metavar="DENSITY,...",
        help="a voxel is occupied at this density or more, 1/m; the first is the main one "
        "(default: the checkpoint's, which is 0.2 for the published ones)",
    )
    rules.add_argument(
        "--refinement",
        type=count,
        default=1,
        metavar="R",
        help="samples along each edge of a voxel: 1 as released, 2 as in the paper (default: 1)",
    )
    rules.add_argument(
        "--keep-empty",
        action="store_true",
        help="let the matching leave empty voxels empty, which the published one does not force",
    )
    rules.add_argument(
        "--predictions",
        type=Path,
        metavar="FOLDER",
        help="keep predictions here, some 5 MB per frame, and take them from here if they are "
        "of the same checkpoint and settings",
    )
    parser.add_argument(
        "--panels", type=int, default=4, metavar="N", help="frames shown (default: %(default)s)"
    )
    add_run_arguments(parser)
    add_network_arguments(parser)


def run(options: argparse.Namespace) -> int:
    """Score the split."""
    network = network_from(options)
    from scenedino_ros.evaluation.ssc.counting import SscEvaluation
    from scenedino_ros.evaluation.ssc.data import SscBench

    data = SscBench(options.root, options.split, options.labels, options.kitti360)
    data.check()
    baseline = None
    if options.baseline:
        root = options.baseline_root or options.root
        baseline = SscBench(
            root, options.baseline, options.labels if root == options.root else None
        )
    evaluation = SscEvaluation(
        data,
        network,
        thresholds=options.thresholds or (network.density_threshold,),
        refinement=options.refinement,
        keep_empty=options.keep_empty,
        predictions=options.predictions,
        baseline=baseline,
        every=options.every,
        panels=options.panels,
    )
    return run_evaluation(evaluation, options)
