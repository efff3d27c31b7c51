# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Names of KITTI-360's folders: drives, images, and what archives are unpacked to."""

import re
from pathlib import Path

from scenedino_ros.recordings.datasets.kitti360_calibration import CAMERAS

RAW = "data_2d_raw"
# Names of folders of preprocessed images: rows x columns, and how the camera is turned.
PREPROCESSED = re.compile(r"data_(\d+)x(\d+)")
PREPROCESSED_FISHEYE = re.compile(r"data_(\d+)x(\d+)_(-?\d+)x(-?\d+)")
# How the published data sets' roots are called below the folder that a user unpacks or makes.
_ROOTS = ("KITTI-360", "kitti360", "sscbench-kitti")


def sequence_name(number: int) -> str:
    """Return the name of a drive of KITTI-360."""
    return f"2013_05_28_drive_{number:04d}_sync"


def dataset_root(folder: Path) -> Path:
    """Return the folder that holds ``data_2d_raw``: this one, or the one that it was unpacked to.

    Where neither does, it is the folder itself.
    """
    folder = Path(folder)
    places = [folder, *(folder / name for name in _ROOTS)]
    return next((place for place in places if (place / RAW).is_dir()), folder)


def picture_folder(drive: Path, name: str) -> Path:
    """Return the folder of a camera's images: the full-size ones, or else preprocessed ones.

    Args:
        drive: Folder of the drive.
        name: The camera, such as ``image_00``.
    """
    is_fisheye = name not in CAMERAS[:2]
    full = drive / name / ("data_rgb" if is_fisheye else "data_rect")
    if _holds_pictures(full) or not full.parent.is_dir():
        return full
    kind = PREPROCESSED_FISHEYE if is_fisheye else PREPROCESSED
    others = sorted(path for path in full.parent.iterdir() if kind.fullmatch(path.name))
    return next((path for path in others if _holds_pictures(path)), full)


def is_preprocessed(folder: Path) -> bool:
    """Return whether a folder of images holds those that the published training makes."""
    return PREPROCESSED.match(folder.name) is not None


def _holds_pictures(folder: Path) -> bool:
    return folder.is_dir() and next(folder.glob("*.png"), None) is not None
