"""Unsupervised segmentation of images: accuracy and mean IoU, with and without a dense CRF.

DATA is one of, told by what the folder holds:
  KITTI-360   data_2d_raw, data_2d_semantics, data_poses, calibration (drive 9 by default), or
              what 'scenedino synthesize --write folders' made (all its drives by default)
  Cityscapes  leftImg8bit, gtFine (split val)
  BDD100K     images/10k, labels/pan_seg/bitmasks (split val)
  a frame store with labels

Clusters are matched to classes on the images themselves, as in the published tables. With
--predictions the maps of clusters are kept as PNG files, and read where they are there already:
predict once, score many times.
"""

import argparse
from collections.abc import Sequence
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
from scenedino_ros.terminal.values import NUMBER_RANGES, number_ranges

if TYPE_CHECKING:
    from scenedino_ros.evaluation.segmentation.images import LabelledData

_EPILOG = """\
examples:
  scenedino evaluate segmentation KITTI-360 --checkpoint ssc-kitti-360-dino -o runs/seg
  scenedino evaluate segmentation cityscapes --checkpoint ssc-kitti-360-dino -o runs/cityscapes
  scenedino evaluate segmentation streets/kitti360 -o runs/streets
  scenedino evaluate segmentation bdd100k --predictions maps --no-crf -o runs/bdd
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.epilog = _EPILOG
    add_labelled_arguments(parser)
    parser.add_argument("--no-crf", action="store_true", help="leave the dense CRF out")
    parser.add_argument(
        "--no-jitter",
        action="store_true",
        help="sample the middle of each interval along a ray; the published evaluation jitters",
    )
    parser.add_argument(
        "--predictions",
        type=Path,
        metavar="FOLDER",
        help="keep the maps of clusters here; those that are here already are not made again",
    )
    add_network_arguments(parser)
    add_run_arguments(parser)
    add_panel_argument(parser)


def add_labelled_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare which images are scored."""
    parser.add_argument("data", type=Path, metavar="DATA", help="folder of the data set")
    group = parser.add_argument_group("data")
    add_store_camera(group)
    group.add_argument(
        "--drive",
        type=number_ranges,
        metavar=NUMBER_RANGES,
        help="of KITTI-360 (default: 9; all, where a dataset.json names other drives)",
    )
    group.add_argument(
        "--split",
        choices=("val", "train"),
        default="val",
        help="of Cityscapes or BDD100K (default: %(default)s)",
    )
    group.add_argument(
        "--true-camera",
        action="store_true",
        help="take Cityscapes' intrinsics; the published evaluation takes those of a pyramid of "
        "90 degrees both ways",
    )
    add_every(group, "image")


def labelled_data(options: argparse.Namespace) -> "LabelledData":
    """Return the data set to score on.

    Raises:
        InputError: If the folder is none of the known ones.
    """
    return together(
        labelled_folder(options.data, options, options.drive, options.split, options.every)
    )


def together(members: "Sequence[LabelledData]") -> "LabelledData":
    """Return one set of images of several."""
    from scenedino_ros.evaluation.segmentation.images import Together

    return members[0] if len(members) == 1 else Together(tuple(members))


def labelled_folder(
    folder: Path,
    options: argparse.Namespace,
    drives: Sequence[int] | None,
    split: str,
    every: int,
) -> "list[LabelledData]":
    """Return the data set in a folder; of KITTI-360 one per drive.

    Args:
        folder: Where it is.
        options: Its camera is taken from here.
        drives: Numbers of KITTI-360's drives; None: 9, or all of a set that names its own.
        split: Part of Cityscapes or BDD100K.
        every: Only every n-th image.

    Raises:
        InputError: If the folder is none of the known ones.
    """
    from scenedino_ros.evaluation.segmentation.data import (
        Bdd100kImages,
        CityscapesImages,
        Kitti360Images,
        card_drives,
    )
    from scenedino_ros.evaluation.segmentation.images import StoreImages
    from scenedino_ros.recordings.datasets.kitti360_folders import dataset_root

    folder = dataset_root(folder)
    if (folder / "store.json").is_file():
        return [StoreImages(folder, options.camera, every)]
    if (folder / "leftImg8bit").is_dir() or (folder / "gtFine").is_dir():
        return [CityscapesImages(folder, split, options.true_camera, every)]
    if (folder / "images" / "10k").is_dir() or (folder / "labels" / "pan_seg").is_dir():
        return [Bdd100kImages(folder, split, every)]
    if (folder / "data_2d_semantics").is_dir():
        drives = drives or card_drives(folder) or (9,)
        return [Kitti360Images(folder, drive, every) for drive in drives]
    raise InputError(
        f"{folder} must hold data_2d_semantics (KITTI-360), leftImg8bit and gtFine (Cityscapes), "
        "images/10k and labels/pan_seg (BDD100K) or store.json (frame store), and does not"
    )


def run(options: argparse.Namespace) -> int:
    """Score the images that are not scored yet, and say what came out."""
    network = network_from(options)
    from scenedino_ros.evaluation.segmentation.counting import SegmentationEvaluation

    evaluation = SegmentationEvaluation(
        labelled_data(options),
        network,
        crf=not options.no_crf,
        jitter=not options.no_jitter,
        predictions=options.predictions,
        panels=options.panels,
    )
    return run_evaluation(evaluation, options)
