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
import os
import re
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict

from scenedino_ros.core.disk_space import (
    bytes_in_words,
    bytes_on_disk,
    check_space,
    existing_folder,
    free_bytes,
)
from scenedino_ros.core.errors import InputError
from scenedino_ros.core.number_ranges import ranges_text
from scenedino_ros.terminal.arguments import add_output
from scenedino_ros.terminal.progress import about, counting, seconds_ahead
from scenedino_ros.terminal.values import NUMBER_RANGES, number_ranges, positive

if TYPE_CHECKING:
    from scenedino_ros.recordings.datasets.kitti360 import Kitti360Drive

_EPILOG = """\
examples:
  scenedino kitti360-to-bag KITTI-360 -o bags
  scenedino kitti360-to-bag KITTI-360 -o bags --drive 0000,0002 --cameras 00,01,02,03
  scenedino kitti360-to-bag KITTI-360 -o bags --drive 0009 --poses orb-slam --no-scans
"""
_GIGABYTE = 1 << 30
_SHOWN_RANGES = 5


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
        "--cameras", default="", metavar="00,02", help="default: those that have images"
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
    parser.add_argument(
        "--split-size",
        type=positive,
        default=1.0,
        metavar="GB",
        help="size of the files of a recording (default: %(default)s)",
    )


def run(options: argparse.Namespace) -> int:
    """Convert one drive after the other."""
    # Imported here because it takes a while; help and wrong arguments do not wait for it.
    from scenedino_ros.recordings.datasets.kitti360 import find_drives, read_drive

    cameras = tuple(f"image_{name.strip()}" for name in options.cameras.split(",") if name)
    folders = _chosen(find_drives(options.source), options.drive)
    drives = [
        read_drive(f, cameras or None, poses=options.poses, timestamps=not options.no_timestamps)
        for f in folders
    ]
    _check_disk(drives, options)
    for drive in drives:
        _report_drive(drive)
        try:
            _convert(drive, options)
        except KeyboardInterrupt:
            print("the same command resumes the conversion", file=sys.stderr)
            raise
    return 0


class _Parts(TypedDict):
    labels: bool
    scans: bool


def _parts(options: argparse.Namespace) -> _Parts:
    return {"labels": not options.no_labels, "scans": not options.no_scans}


def _check_disk(drives: list["Kitti360Drive"], options: argparse.Namespace) -> None:
    """Report the size of the recordings, and refuse them if the disk has no room for the rest."""
    from scenedino_ros.recordings.datasets.conversion import kitti360_bytes
    from scenedino_ros.recordings.rosbag2.split_writer import partial_path

    needed, to_do = 0, 0.0
    for drive in drives:
        path = options.output / drive.name
        if not path.exists():
            whole = kitti360_bytes(drive, **_parts(options))
            missing = max(whole - bytes_on_disk(partial_path(path)), 0)
            needed, to_do = needed + missing, to_do + len(drive.frames) * missing / whole
    free, seconds = free_bytes(options.output), 0.0
    if needed <= free:
        seconds = seconds_ahead(round(to_do), _writing(drives, options), few=4)
    frames = sum(len(drive.frames) for drive in drives)
    print(
        f"{frames} frames of {len(drives)} drives: about {bytes_in_words(needed)} to write"
        f"{about(seconds)}; {bytes_in_words(free)} free in {options.output}",
        flush=True,
    )
    check_space(
        options.output,
        needed,
        "the recordings",
        "choose another folder, fewer drives (--drive) or --cameras, or --no-scans",
    )


def _writing(
    drives: list["Kitti360Drive"], options: argparse.Namespace
) -> Callable[[range], None]:
    """Return a function that writes some frames of the longest drive to disk and removes them."""
    from scenedino_ros.recordings.datasets.conversion import bag_from_kitti360

    drive = max(drives, key=lambda drive: len(drive.frames))
    disk = existing_folder(options.output)

    def write(numbers: range) -> None:
        chosen = sorted({drive.frames[number % len(drive.frames)] for number in numbers})
        few = replace(drive, stamps_ns={number: drive.stamps_ns[number] for number in chosen})
        with tempfile.TemporaryDirectory(prefix=".frames_", dir=disk) as folder:
            bag_from_kitti360(few, Path(folder) / drive.name, **_parts(options))
            for file in (Path(folder) / drive.name).iterdir():
                with file.open("rb") as written:
                    os.fsync(written.fileno())

    return write


def _convert(drive: "Kitti360Drive", options: argparse.Namespace) -> None:
    from scenedino_ros.recordings.datasets.conversion import bag_from_kitti360, kitti360_source
    from scenedino_ros.recordings.rosbag2.split_writer import is_recorded, partial_path

    parts = _parts(options)
    path = options.output / drive.name
    if is_recorded(path, kitti360_source(drive, **parts)):
        print(f"  {path} is complete already")
        return
    if partial_path(path).exists():
        print("  resuming an interrupted conversion", flush=True)
    split_bytes = round(options.split_size * _GIGABYTE)
    with counting(drive.name) as progress:
        bag_from_kitti360(drive, path, **parts, split_bytes=split_bytes, progress=progress)
    print(f"  written to {path}")


def _drives(text: str) -> tuple[str, ...]:
    """Parse names of drives separated by commas, or their numbers, which become four digits."""
    if re.fullmatch("[0-9,-]+", text):
        return tuple(f"{number:04d}" for number in number_ranges(text))
    return tuple(name for name in (part.strip() for part in text.split(",")) if name)


def _chosen(folders: list[Path], names: Sequence[str]) -> list[Path]:
    """Return the drives of these names or numbers; all if there are none."""
    chosen = []
    for name in names:
        found = [f for f in folders if name == f.name or f"_{name}_" in f.name]
        if len(found) != 1:
            known = ", ".join(f.name for f in folders)
            raise InputError(f"--drive must name one of {known}, got '{name}'")
        chosen += found
    return chosen or folders


def _report_drive(drive: "Kitti360Drive") -> None:
    """Report what will be recorded, and what some frames lack."""
    frames, total = drive.frames, sum(map(len, drive.camera_images.values()))
    print(f"{drive.name}: {total} images of frames {_short(frames)}")
    print(f"  poses: {drive.pose_file or 'none, so there will be no map -> base_link'}")
    for what, lacking in drive.lacking().items():
        count = f"{len(lacking)} of {len(frames)} frames"
        print(f"  {count} have no {what}: {_short(lacking)}", flush=True)


def _short(numbers: list[int]) -> str:
    """Return the ranges of numbers, cut off where there are many gaps."""
    ranges = ranges_text(numbers).split(",")
    rest = len(ranges) - _SHOWN_RANGES
    return ",".join(ranges[:_SHOWN_RANGES]) + (f" and {rest} more ranges" if rest > 0 else "")
