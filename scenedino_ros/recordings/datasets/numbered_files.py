# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Folders of drives, files by frame number, times of frames: what KITTI and KITTI-360 share."""

import datetime
import os
from collections.abc import Callable, Sequence
from decimal import Decimal, InvalidOperation
from itertools import pairwise
from pathlib import Path

from scenedino_ros.core.errors import InputError
from scenedino_ros.core.limits import STAMPS_END
from scenedino_ros.recordings.datasets.kitti360_calibration import read_text

FRAME_PERIOD_NS = 100_000_000  # 10 Hz, where no timestamps are given
FIRST_STAMP_NS = 1_000_000_000  # where no times are given: a stamp of zero means "latest" in TF

_END_S = STAMPS_END // 10**9
_LAST_FRAME = (STAMPS_END - FIRST_STAMP_NS) // FRAME_PERIOD_NS - 1


def place_of(folder: Path) -> Path:
    """Return the absolute path of a drive's folder.

    A drive may be a link: its name is the link's, and its calibration lies beside the link.
    """
    return Path(os.path.abspath(folder))


def numbered_files(folder: Path, *suffixes: str) -> dict[int, Path]:
    """Return the files of a folder whose names are numbers, by number; none without the folder.

    Raises:
        InputError: If two files have one number, or a number is beyond the stamps there are.
    """
    paths = sorted(folder.iterdir()) if folder.is_dir() else []
    found: dict[int, Path] = {}
    for path in paths:
        if path.suffix.lower() not in suffixes or not path.stem.isdecimal():
            continue
        number = int(path.stem)
        if number > _LAST_FRAME:
            raise InputError(f"frame numbers must be at most {_LAST_FRAME}, got {path}")
        if number in found:
            raise InputError(
                f"{folder} must have one file for frame {number}, got {found[number].name} and "
                f"{path.name}"
            )
        found[number] = path
    return dict(sorted(found.items()))


def read_stamps(folder: Path, names: Sequence[str], frames: Sequence[int]) -> dict[int, int]:
    """Return the stamps of frames, nanoseconds, from the first camera's ``timestamps.txt``.

    Args:
        folder: Of the drive.
        names: The cameras' folders; without a ``timestamps.txt`` in any of them, frame numbers
            count tenths of a second.
        frames: Frame numbers, ascending.

    Raises:
        InputError: If the file has too few lines, a line is no time, or times do not ascend.
    """
    paths = [folder / name / "timestamps.txt" for name in names]
    path = next((path for path in paths if path.is_file()), None)
    if path is None:
        return {number: FIRST_STAMP_NS + number * FRAME_PERIOD_NS for number in frames}
    return _times(path, frames, _nanoseconds_of_date)


def read_times(path: Path, frames: Sequence[int]) -> dict[int, int]:
    """Return the stamps of frames, nanoseconds, from a file with the seconds of each frame.

    Lines that begin with ``#`` are comments. A time of 0 becomes 1 ns, because a stamp of zero
    means "latest" in TF.

    Raises:
        InputError: As for `read_stamps`.
    """
    return _times(path, frames, _nanoseconds_of_seconds)


def _times(path: Path, frames: Sequence[int], read: Callable[[str, Path], int]) -> dict[int, int]:
    lines = [line for line in read_text(path).splitlines() if not line.startswith("#")]
    if frames[-1] >= len(lines):
        raise InputError(
            f"{path} has {len(lines)} lines, too few for the image of frame {frames[-1]}"
        )
    stamps = {number: read(lines[number], path) for number in frames}
    for before, number in pairwise(frames):
        if stamps[number] <= stamps[before]:
            raise InputError(f"{path}: frame {number} must be later than frame {before}")
    return stamps


def _nanoseconds_of_date(line: str, path: Path) -> int:
    text, _, fraction = line.strip().partition(".")
    digits = fraction[:9].ljust(9, "0")
    try:
        moment = datetime.datetime.strptime(text, "%Y-%m-%d %H:%M:%S")
        if not digits.isdecimal():
            raise ValueError(f"a fraction of a second has digits, got {fraction[:9]}")
    except ValueError as error:
        raise InputError(f"{path}: '{line.strip()}' is not a time: {error}") from error
    moment = moment.replace(tzinfo=datetime.timezone.utc)
    stamp = round(moment.timestamp()) * 1_000_000_000 + int(digits)
    if not 0 <= stamp < STAMPS_END:
        raise InputError(f"{path}: times must be from 1970 to 2038, got '{line.strip()}'")
    return stamp


def _nanoseconds_of_seconds(line: str, path: Path) -> int:
    try:
        seconds = Decimal(line.strip())
    except InvalidOperation:
        seconds = Decimal("NaN")
    if seconds.is_nan():
        raise InputError(f"{path}: '{line.strip()}' is not a number of seconds")
    # Before any arithmetic: converting 1e1000000 or -1e1000000 to an integer takes for ever.
    if seconds >= _END_S:
        raise InputError(f"{path}: times must be below {_END_S} s, got '{line.strip()}'")
    if seconds < 0:
        raise InputError(f"{path}: times must be >= 0 s, got '{line.strip()}'")
    return max(round(seconds * 1_000_000_000), 1)
