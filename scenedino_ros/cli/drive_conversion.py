# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Turns drives into recordings one after the other: size, time, progress, resuming."""

import argparse
import os
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from scenedino_ros.core.disk_space import (
    bytes_in_words,
    bytes_on_disk,
    check_space,
    existing_folder,
    free_bytes,
)
from scenedino_ros.core.errors import InputError
from scenedino_ros.core.number_ranges import ranges_text
from scenedino_ros.terminal.progress import about, counting, seconds_ahead
from scenedino_ros.terminal.values import positive

_GIGABYTE = 10**9
_SHOWN_RANGES = 5


@dataclass(frozen=True, eq=False)
class DriveConversion:
    """A drive that becomes a recording.

    Attributes:
        path: Folder of the recording.
        frames: Frame numbers, ascending.
        images: How many images the cameras have.
        poses: Where the poses come from; empty: there are none.
        lacking: Frames that lack something, by what they lack.
        byte_count: About how many bytes the recording will take.
        source: What distinguishes the recording, as for `SplitBagWriter`.
        write: Writes the recording; takes path, size of its files in bytes, and progress.
        write_part: Writes a recording of these frames alone; takes path and frames.
    """

    path: Path
    frames: list[int]
    images: int
    poses: str
    lacking: Mapping[str, list[int]]
    byte_count: int
    source: dict[str, object]
    write: Callable[[Path, int, Callable[[int, int], None]], object]
    write_part: Callable[[Path, list[int]], object]


def add_split_size(parser: argparse.ArgumentParser) -> None:
    """Declare the size of the files of a recording."""
    parser.add_argument(
        "--split-size",
        type=positive,
        default=1.0,
        metavar="GB",
        help="size of the files of a recording (default: %(default)s)",
    )


def chosen_drives(
    folders: Sequence[Path], names: Sequence[str], is_named: Callable[[Path, str], bool]
) -> list[Path]:
    """Return the drives of these names; all if there are none.

    Args:
        folders: The drives.
        names: Values of ``--drive``.
        is_named: Returns whether a drive has a name.

    Raises:
        InputError: If a name is that of no drive, or of several.
    """
    chosen = []
    for name in names:
        found = [folder for folder in folders if is_named(folder, name)]
        if len(found) > 1:
            several = ", ".join(folder.name for folder in found)
            raise InputError(
                f"--drive must name one drive, but '{name}' belongs to {len(found)}: {several}; "
                "give the whole name"
            )
        if not found:
            known = ", ".join(folder.name for folder in folders)
            raise InputError(f"--drive must name one of {known}, got '{name}'")
        chosen += found
    return chosen or list(folders)


def convert_drives(
    conversions: Sequence[DriveConversion], output: Path, split_size: float, remedy: str
) -> None:
    """Report the size of the recordings and what frames lack, and write the recordings.

    Args:
        conversions: The drives.
        output: Folder on the disk that they go to.
        split_size: Size of the files of a recording, GB.
        remedy: What the user can do where the disk is too small.

    Raises:
        InputError: If the disk has no room for them, or a file cannot be used.
        BagError: If there is something else at a path.
    """
    _check_disk(conversions, output, remedy)
    for conversion in conversions:
        _report_drive(conversion)
        try:
            _convert(conversion, round(split_size * _GIGABYTE))
        except KeyboardInterrupt:
            print("the same command resumes the conversion", file=sys.stderr)
            raise


def _check_disk(conversions: Sequence[DriveConversion], output: Path, remedy: str) -> None:
    """Report the size of the recordings, and refuse them if the disk has no room for the rest."""
    from scenedino_ros.recordings.rosbag2.split_writer import partial_path

    needed, to_do = 0, 0.0
    for conversion in conversions:
        if not conversion.path.exists():
            whole = conversion.byte_count
            missing = max(whole - bytes_on_disk(partial_path(conversion.path)), 0)
            needed += missing
            to_do += len(conversion.frames) * missing / whole
    free, seconds = free_bytes(output), 0.0
    if needed <= free:
        seconds = seconds_ahead(round(to_do), _writing(conversions, output), few=4)
    frames = sum(len(conversion.frames) for conversion in conversions)
    print(
        f"{frames} frames of {len(conversions)} drives: about {bytes_in_words(needed)} to write"
        f"{about(seconds)}; {bytes_in_words(free)} free in {output}",
        flush=True,
    )
    check_space(output, needed, "the recordings", remedy)


def _writing(conversions: Sequence[DriveConversion], output: Path) -> Callable[[range], None]:
    """Return a function that writes some frames of the longest drive to disk and removes them."""
    longest = max(conversions, key=lambda conversion: len(conversion.frames))
    disk = existing_folder(output)

    def write(numbers: range) -> None:
        frames = longest.frames
        chosen = sorted({frames[number % len(frames)] for number in numbers})
        with tempfile.TemporaryDirectory(prefix=".frames_", dir=disk) as folder:
            path = Path(folder) / longest.path.name
            longest.write_part(path, chosen)
            for file in path.iterdir():
                with file.open("rb") as written:
                    os.fsync(written.fileno())

    return write


def _convert(conversion: DriveConversion, split_bytes: int) -> None:
    from scenedino_ros.recordings.rosbag2.split_writer import is_recorded, partial_path

    path = conversion.path
    if is_recorded(path, conversion.source):
        print(f"  {path} is complete already")
        return
    if partial_path(path).exists():
        print("  resuming an interrupted conversion", flush=True)
    with counting(path.name) as progress:
        conversion.write(path, split_bytes, progress)
    print(f"  written to {path}")


def _report_drive(conversion: DriveConversion) -> None:
    """Report what will be recorded, and what some frames lack."""
    frames = conversion.frames
    print(f"{conversion.path.name}: {conversion.images} images of frames {_short(frames)}")
    print(f"  poses: {conversion.poses or 'none, so there will be no map -> base_link'}")
    for what, lacking in conversion.lacking.items():
        count = f"{len(lacking)} of {len(frames)} frames"
        print(f"  {count} have no {what}: {_short(lacking)}", flush=True)


def _short(numbers: list[int]) -> str:
    """Return the ranges of numbers, cut off where there are many gaps."""
    ranges = ranges_text(numbers).split(",")
    rest = len(ranges) - _SHOWN_RANGES
    return ",".join(ranges[:_SHOWN_RANGES]) + (f" and {rest} more ranges" if rest > 0 else "")
