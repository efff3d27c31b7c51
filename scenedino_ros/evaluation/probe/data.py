# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Images with labels, split into those that probes are fitted on and those they are scored on."""

from dataclasses import replace
from pathlib import Path

from scenedino_ros.core.errors import InputError
from scenedino_ros.evaluation.segmentation.data import card_drives, open_images, open_sets
from scenedino_ros.evaluation.segmentation.images import LabelledData, image_places, together
from scenedino_ros.evaluation.settings import ImageSettings, ProbeSettings
from scenedino_ros.evaluation.ssc.data import CARD, SPLITS
from scenedino_ros.recordings.datasets.kitti360_folders import dataset_root


def open_split(data: Path | str, settings: ProbeSettings) -> tuple[LabelledData, LabelledData]:
    """Return the images to score on, and those to fit on.

    Args:
        data: Folder of the images to score on; where no folder is named to fit on, of all images.
        settings: Which images are taken.

    Raises:
        InputError: If a folder is none of the known data sets, or an image is in both.
    """
    root = dataset_root(Path(data))
    scored = open_images(data, replace(settings, drives=_scored_drives(root, settings)))
    fitted = [
        images
        for folder in settings.train or (root,)
        for images in open_sets(folder, _training(folder, settings))
    ]
    training = together(fitted)
    shared = sorted(image_places(scored) & image_places(training))
    if shared:
        raise InputError(
            "the probes must be fitted on other images than those they are scored on, got "
            f"{len(shared)} in both, such as {shared[0]}"
        )
    return scored, training


def _scored_drives(root: Path, settings: ProbeSettings) -> tuple[int, ...]:
    """Return the drives to score on: of a set that names its drives, those not fitted on."""
    drives = card_drives(root)
    if drives is None or settings.train:
        return settings.drives
    others = tuple(drive for drive in drives if drive not in settings.train_drives)
    if not settings.train_drives or not others:
        raise InputError(
            f"{root} has the drives {', '.join(map(str, drives))}: name some of them, not "
            "all, with --train-drives, or another folder with --train"
        )
    return settings.drives or others


def _training(folder: Path, settings: ProbeSettings) -> ImageSettings:
    """Return which images of a folder are fitted on."""
    drives = settings.train_drives
    if not drives and not (dataset_root(folder) / CARD).exists():
        drives = SPLITS["train"][0]
    return ImageSettings(
        camera=settings.camera,
        drives=drives,
        split="train",
        true_camera=settings.true_camera,
        every=settings.train_every,
    )
