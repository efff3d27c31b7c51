# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Times of the images in a folder: from their names, from a file, or at a rate."""

import re
from collections.abc import Sequence
from decimal import Decimal, InvalidOperation
from itertools import pairwise
from pathlib import Path

import numpy as np

from scenedino_ros.core.errors import InputError
from scenedino_ros.core.limits import STAMPS_END
from scenedino_ros.recordings.datasets.kitti360_calibration import read_text

AUTO_UNIT = "auto"
UNITS = {"s": 10**9, "ms": 10**6, "us": 10**3, "ns": 1}  # nanoseconds
_NANOSECONDS_FROM = 10**12  # larger times without a unit are nanoseconds, as in trajectories
_LEAST_PERIOD_NS = 1_000_000  # 1000 Hz; images that follow each other faster have another unit
_NUMBER = re.compile(r"[0-9]+(?:\.[0-9]+)?")
_SEPARATOR = re.compile(r"[\s,]+")  # between a time and a name, which may hold spaces


def times_at_rate(count: int, rate_hz: float) -> list[int]:
    """Return the times of images at a rate, nanoseconds; the first is 1, because 0 means "latest".

    Args:
        count: Number of images.
        rate_hz: Images per second.
    """
    return [max(round(index * 1e9 / rate_hz), 1) for index in range(count)]


def times_of_names(images: Sequence[Path], unit: str = AUTO_UNIT) -> list[int]:
    """Return the times, nanoseconds, that images are named by, such as ``1305031102.175304.png``.

    Args:
        images: Files in any order; the last number in the name is the time.
        unit: One of `UNITS`, or ``auto``: seconds, or nanoseconds where larger than 1e12.

    Raises:
        InputError: If a name has no number, or two have one time.
    """
    found = [_NUMBER.findall(image.stem) for image in images]
    for image, numbers in zip(images, found, strict=True):
        if not numbers:
            raise InputError(f"the name of {image} must hold its time, got no number")
    times = [_nanoseconds(numbers[-1], unit) for numbers in found]
    _check_different(times, [str(image) for image in images])
    return times


def read_image_times(path: Path, images: Sequence[Path], unit: str = AUTO_UNIT) -> list[int]:
    """Read a file with a line for each image: its time, or its time and its name.

    Args:
        path: The file; time and name are separated by spaces or a comma, comments begin with
            ``#``, and lines with names may be in any order.
        images: The images; lines without names are in their order.
        unit: As for `times_of_names`.

    Returns:
        The times of the images, nanoseconds.

    Raises:
        InputError: If an image has no line or several, a line has no time, two images have one
            time, or times without names do not ascend.
    """
    lines = [line.strip(" \t,") for line in read_text(path).splitlines()]
    rows = [_SEPARATOR.split(line, maxsplit=1) for line in lines if line and line[0] != "#"]
    is_named = any(len(row) > 1 for row in rows)
    if not is_named:
        if len(rows) != len(images):
            raise InputError(
                f"{path} must have a line for each of {len(images)} images, got {len(rows)}"
            )
        words = [row[0] for row in rows]
    else:
        words = _words_of(images, rows, path)
    try:
        times = [_nanoseconds(word, unit) for word in words]
    except InputError as error:
        raise InputError(f"{path}: {error}") from error
    names = [f"{path}: {image.name}" for image in images]
    for (before, after), name in zip(pairwise(times), names[1:], strict=True):
        if after <= before and not is_named:
            raise InputError(
                f"{name} must be later than the image before it, got {after - before} ns"
            )
    _check_different(times, names)
    return times


def _words_of(images: Sequence[Path], rows: Sequence[Sequence[str]], path: Path) -> list[str]:
    """Return the words that the lines of a file have beside the names of images.

    Raises:
        InputError: If an image has no line, or several.
    """
    found: dict[str, list[str]] = {image.name: [] for image in images}
    for time, *names in rows:
        for name in names:  # with spaces, or with more values behind it, as in TUM's associations
            known = [n for n in (name, *name.split()[:1]) if Path(n).name in found]
            if known:
                found[Path(known[0]).name].append(time)
    missing = [name for name, words in found.items() if not words]
    if missing:
        raise InputError(f"{path} has no time of {len(missing)} images, such as {missing[0]}")
    for name, words in found.items():
        if len(words) > 1:
            raise InputError(f"{path} must name {name} once, got the times {', '.join(words)}")
    return [words[0] for words in found.values()]


def _nanoseconds(word: str, unit: str) -> int:
    """Return a time exactly; 1 for 0, because a stamp of zero means "latest" in TF.

    Raises:
        InputError: If it is no number >= 0.
    """
    try:
        time = Decimal(word)
    except InvalidOperation as error:
        raise InputError(f"'{word}' is not a time") from error
    if not (time.is_finite() and time >= 0):
        raise InputError(f"times must be finite and >= 0, got {word}")
    if unit == AUTO_UNIT:
        unit = "ns" if time >= _NANOSECONDS_FROM else "s"
    end = STAMPS_END // UNITS[unit]
    if time >= end:  # converting 1e1000000 to an integer takes for ever
        raise InputError(f"times must be below {end} {unit}, got {word}")
    return max(round(time * UNITS[unit]), 1)


def _check_different(times: list[int], names: list[str]) -> None:
    """Refuse times of which two are equal, or that follow each other too fast.

    Raises:
        InputError: Naming images and times.
    """
    ordered = sorted(zip(times, names, strict=True))
    for (time, name), (other, other_name) in pairwise(ordered):
        if time == other:
            raise InputError(f"{name} and {other_name} must have different times, got {time} ns")
    period = float(np.median(np.diff(sorted(times)))) if len(times) > 1 else _LEAST_PERIOD_NS
    if period < _LEAST_PERIOD_NS:
        raise InputError(
            f"images must follow each other by 1 ms or more, got {period:.0f} ns; state the unit "
            f"of their times: {', '.join(UNITS)}"
        )
