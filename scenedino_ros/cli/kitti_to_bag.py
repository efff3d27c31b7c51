# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Convert drives of KITTI into rosbag2 recordings, one for each drive.

The source is a folder in the layout of the odometry benchmark (sequences/NN with image_0 to
image_3, calib.txt and times.txt, beside poses/NN.txt) or of the rectified raw data
(DATE/DATE_drive_NNNN_sync with image_0N/data and oxts, beside calib_cam_to_cam.txt), or the folder
of one drive. Single frames of the object benchmark (training and testing with image_2, image_3
and calib) become one recording for each calibration, in which they are a kilometre apart. Images
are PNG or JPEG, grey or colour, and are recorded unchanged, with calibration and poses. Frames
without a pose are recorded, too. The same command resumes an interrupted conversion.
"""

import argparse
from dataclasses import replace
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
    from scenedino_ros.recordings.datasets.drive import Drive

_EPILOG = """\
examples:
  scenedino kitti-to-bag kitti_odometry -o bags
  scenedino kitti-to-bag kitti_odometry -o bags --drive 0-3 --cameras 02,03
  scenedino kitti-to-bag kitti_raw -o bags --drive 2011_09_26_drive_0001_sync
  scenedino kitti-to-bag kitti_odometry/sequences/11 -o bags --poses 11.tum
  scenedino kitti-to-bag kitti_object/training -o bags
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.epilog = _EPILOG
    parser.add_argument(
        "source", type=Path, help="folder with sequences, with raw drives, or of one drive"
    )
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
        help="none, or a file with poses of camera 0 for one drive, in KITTI's format (line i is "
        "frame i) or TUM's (default: poses/NN.txt or oxts, else none)",
    )
    add_split_size(parser)


def run(options: argparse.Namespace) -> int:
    """Convert one drive after the other."""
    # Imported here because it takes a while; help and wrong arguments do not wait for it.
    from scenedino_ros.core.errors import InputError
    from scenedino_ros.recordings.datasets.kitti import (
        AUTO,
        NO_POSES,
        find_kitti_drives,
        read_kitti_drives,
    )

    cameras = tuple(f"{name:0>2}" for name in options.cameras)
    folders = chosen_drives(find_kitti_drives(options.source), options.drive, _is_named)
    if options.poses not in (AUTO, NO_POSES) and len(folders) > 1:
        raise InputError(
            f"--poses {options.poses} is for one drive, got {len(folders)}; choose one with "
            "--drive"
        )
    drives = [
        drive
        for folder in folders
        for drive in read_kitti_drives(folder, cameras, poses=options.poses)
    ]
    convert_drives(
        [drive_conversion(drive, options.output / drive.name) for drive in drives],
        options.output,
        options.split_size,
        "choose another folder, fewer drives (--drive) or --cameras",
    )
    return 0


def drive_conversion(drive: "Drive", path: Path) -> DriveConversion:
    """Return the conversion of a drive."""
    from scenedino_ros.recordings.datasets.conversion import (
        bag_from_drive,
        drive_bytes,
        drive_source,
    )

    def write_part(path: Path, frames: list[int]) -> None:
        stamps = {number: drive.stamps_ns[number] for number in frames}
        bag_from_drive(replace(drive, stamps_ns=stamps), path)

    return DriveConversion(
        path,
        drive.frames,
        sum(map(len, drive.images.values())),
        drive.pose_source,
        drive.lacking(),
        drive_bytes(drive),
        drive_source(drive),
        lambda path, size, progress: bag_from_drive(
            drive, path, split_bytes=size, progress=progress
        ),
        write_part,
    )


def _drives(text: str) -> tuple[str, ...]:
    """Parse numbers and ranges of numbers, or names, of drives, separated by commas."""
    try:
        return tuple(str(number) for number in number_ranges(text))
    except argparse.ArgumentTypeError:
        return name_list(text)


def _is_named(folder: Path, name: str) -> bool:
    if not name.isdecimal():
        return name == folder.name
    number = int(name)
    is_sequence = folder.name.isdecimal() and int(folder.name) == number
    return is_sequence or f"_drive_{number:04d}_" in folder.name
