# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Convert KITTI-360 drives into rosbag2 recordings, one for each drive.

The source is a folder in the official layout: data_2d_raw/<drive> beside calibration, data_poses
(or orb_slam_poses), data_2d_semantics and data_3d_raw, of which all but the first two may be
missing; or the folder of one drive. Images are recorded unchanged, rectified ones with a pinhole
calibration, fisheyes with the MEI model; class maps become Cityscapes train ids. Frames without a
pose are recorded, too. The same command resumes an interrupted conversion.
"""

import argparse
import re
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from scenedino_ros.cli.drive_conversion import (
    DriveConversion,
    add_split_size,
    chosen_drives,
    convert_drives,
)
from scenedino_ros.terminal.arguments import add_output
from scenedino_ros.terminal.values import NUMBER_RANGES, name_list, number_ranges

if TYPE_CHECKING:
    from scenedino_ros.recordings.datasets.kitti360 import Kitti360Drive

_EPILOG = """\
examples:
  scenedino kitti360-to-bag KITTI-360 -o bags
  scenedino kitti360-to-bag KITTI-360 -o bags --drive 0000,0002 --cameras 00,01,02,03
  scenedino kitti360-to-bag KITTI-360 -o bags --drive 0009 --poses orb-slam --no-scans
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.epilog = _EPILOG
    parser.add_argument("source", type=Path, help="folder with data_2d_raw, or of one drive")
    add_output(parser, "folder of the recordings, each named as its drive")
    parser.add_argument(
        "--drive",
        type=_drives,
        default=(),
        metavar=f"{NUMBER_RANGES}|NAME,...",
        help="numbers or names of drives (default: all)",
    )
    parser.add_argument(
        "--cameras",
        type=name_list,
        default=(),
        metavar="00,02",
        help="default: those that have images",
    )
    parser.add_argument(
        "--poses",
        default="auto",
        metavar="SOURCE",
        help="official, orb-slam, none, or a file like KITTI-360's poses.txt "
        "(default: official, else orb-slam, else none)",
    )
    parser.add_argument("--no-labels", action="store_true", help="leave class maps out")
    parser.add_argument("--no-scans", action="store_true", help="leave Velodyne scans out")
    parser.add_argument(
        "--no-timestamps",
        action="store_true",
        help="take 0.1 s per frame number instead of the times in timestamps.txt",
    )
    add_split_size(parser)


def run(options: argparse.Namespace) -> int:
    """Convert one drive after the other."""
    # Imported here because it takes a while; help and wrong arguments do not wait for it.
    from scenedino_ros.recordings.datasets.kitti360 import find_drives, read_drive

    cameras = tuple(f"image_{name}" for name in options.cameras)
    folders = chosen_drives(find_drives(options.source), options.drive, _is_named)
    drives = [
        read_drive(f, cameras or None, poses=options.poses, timestamps=not options.no_timestamps)
        for f in folders
    ]
    convert_drives(
        [_conversion(drive, options) for drive in drives],
        options.output,
        options.split_size,
        "choose another folder, fewer drives (--drive) or --cameras, or --no-scans",
    )
    return 0


def _conversion(drive: "Kitti360Drive", options: argparse.Namespace) -> DriveConversion:
    from scenedino_ros.recordings.datasets.conversion import (
        bag_from_kitti360,
        kitti360_bytes,
        kitti360_source,
    )

    record = partial(bag_from_kitti360, labels=not options.no_labels, scans=not options.no_scans)

    def write_part(path: Path, frames: list[int]) -> None:
        few = replace(drive, stamps_ns={number: drive.stamps_ns[number] for number in frames})
        record(few, path)

    return DriveConversion(
        options.output / drive.name,
        drive.frames,
        sum(map(len, drive.camera_images.values())),
        str(drive.pose_file or ""),
        drive.lacking(),
        kitti360_bytes(drive, **record.keywords),
        kitti360_source(drive, **record.keywords),
        lambda path, size, progress: record(drive, path, split_bytes=size, progress=progress),
        write_part,
    )


def _drives(text: str) -> tuple[str, ...]:
    """Parse names of drives separated by commas, or their numbers, which become four digits."""
    if re.fullmatch("[0-9,-]+", text):
        return tuple(f"{number:04d}" for number in number_ranges(text))
    return name_list(text)


def _is_named(folder: Path, name: str) -> bool:
    return name == folder.name or f"_{name}_" in folder.name
