# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Unsupervised segmentation of images: accuracy and mean IoU, with and without a dense CRF.

DATA is one of these, recognised by the contents of the folder:
  KITTI-360   data_2d_raw, data_2d_semantics, data_poses, calibration (drive 9 by default), or
              what 'scenedino synthesize --write folders' made (all its drives by default)
  Cityscapes  leftImg8bit, gtFine (split val)
  BDD100K     images/10k, labels/pan_seg/bitmasks (split val)
  a frame store with labels

Clusters are matched to classes on the images themselves, as in the published tables. With
--predictions the cluster maps are kept as PNG files, and read where they exist: predict once,
score many times.
"""

import argparse
from pathlib import Path

from scenedino_ros.cli.evaluation import (
    add_network_arguments,
    add_run_arguments,
    add_setting,
    run_and_print,
)
from scenedino_ros.evaluation.settings import ImageSettings, SegmentationSettings
from scenedino_ros.terminal.progress import reporting
from scenedino_ros.terminal.values import NUMBER_RANGES, count, number_ranges

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
    add_setting(parser, SegmentationSettings, "features")
    add_setting(
        parser, SegmentationSettings, "crf", flag="--no-crf", help="leave the dense CRF out"
    )
    add_setting(
        parser,
        SegmentationSettings,
        "jitter",
        flag="--no-jitter",
        help="sample the middle of each interval along a ray; the published evaluation jitters",
    )
    add_setting(parser, SegmentationSettings, "predictions", type=Path, metavar="FOLDER")
    add_network_arguments(parser)
    add_run_arguments(parser)


def add_labelled_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare which images are scored."""
    parser.add_argument("data", type=Path, metavar="DATA", help="folder of the data set")
    group = parser.add_argument_group("data")
    add_setting(group, ImageSettings, "camera")
    add_setting(
        group, ImageSettings, "drives", flag="--drive", type=number_ranges, metavar=NUMBER_RANGES
    )
    add_setting(group, ImageSettings, "split")
    add_setting(group, ImageSettings, "true_camera")
    add_setting(group, ImageSettings, "every", type=count, metavar="N")


def run(options: argparse.Namespace) -> int:
    """Score the images that are not scored yet, and print the tables."""
    with reporting("loading PyTorch"):
        from scenedino_ros.evaluation.evaluate import evaluate_segmentation

    return run_and_print(evaluate_segmentation, SegmentationSettings, options)
