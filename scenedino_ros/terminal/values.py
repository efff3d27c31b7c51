# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Types of command-line values that argparse does not have: lists of numbers and sizes.

Wherever a command takes several frames, seeds or drives by their numbers, it takes numbers and
ranges separated by commas, both ends included: ``0-9,90,91``. `number_ranges` parses them.
"""

import argparse
import math
import re
from collections.abc import Callable
from typing import TypeVar

Value = TypeVar("Value")
NUMBER_RANGES = "N,N-N"  # how help shows what `number_ranges` parses
_MOST_NUMBERS = 1_000_000  # that a range may stand for
_DIGITS = "[0-9]{1,18}"  # of a whole number; Python refuses to convert thousands of them


def name_list(text: str) -> tuple[str, ...]:
    """Parse names separated by commas."""
    return tuple(filter(None, map(str.strip, text.split(","))))


def numbers(names: str) -> Callable[[str], tuple[float, ...]]:
    """Return a type for finite numbers separated by commas, one for each name.

    Args:
        names: Their names, separated by commas, such as ``fx,fy,cx,cy``.
    """
    count = names.count(",") + 1

    def parse(text: str) -> tuple[float, ...]:
        try:
            values = tuple(float(part) for part in text.split(","))
        except ValueError:
            values = ()
        if len(values) != count or not all(map(math.isfinite, values)):
            what = f"{count} numbers {names}" if count > 1 else "a number"
            raise argparse.ArgumentTypeError(f"must be {what}, got '{text}'")
        return values

    return parse


def counts(names: str) -> Callable[[str], tuple[int, ...]]:
    """Return a type for as many integers >= 1 as there are names, separated by commas."""
    size = names.count(",") + 1

    def parse(text: str) -> tuple[int, ...]:
        parts = text.split(",")
        if len(parts) != size or not all(re.fullmatch(_DIGITS, part) for part in parts):
            raise argparse.ArgumentTypeError(f"must be {size} counts {names}, got '{text}'")
        values = tuple(map(int, parts))
        if min(values) < 1:
            raise argparse.ArgumentTypeError(f"must be counts >= 1, got '{text}'")
        return values

    return parse


def positive(text: str) -> float:
    """Parse a finite number > 0."""
    (value,) = numbers("n")(text)
    if value <= 0:
        raise argparse.ArgumentTypeError(f"must be > 0, got '{text}'")
    return value


def not_negative(text: str) -> float:
    """Parse a finite number >= 0."""
    (value,) = numbers("n")(text)
    if value < 0:
        raise argparse.ArgumentTypeError(f"must be >= 0, got '{text}'")
    return value


def image_size(text: str) -> tuple[int, int]:
    """Parse HEIGHTxWIDTH, such as 192x640, into (height, width)."""
    match = re.fullmatch(f"({_DIGITS})x({_DIGITS})", text)
    if not match or not int(match[1]) or not int(match[2]):
        raise argparse.ArgumentTypeError(f"must be HEIGHTxWIDTH such as 192x640, got '{text}'")
    return int(match[1]), int(match[2])


def densities(text: str) -> tuple[float, ...]:
    """Parse numbers >= 0, all different, separated by commas."""
    return several(not_negative)(text)


def count(text: str) -> int:
    """Parse a whole number >= 1."""
    if not re.fullmatch(_DIGITS, text) or int(text) < 1:
        raise argparse.ArgumentTypeError(f"must be a count >= 1, got '{text}'")
    return int(text)


def whole(text: str) -> int:
    """Parse a whole number >= 0."""
    if not re.fullmatch(_DIGITS, text):
        raise argparse.ArgumentTypeError(f"must be a whole number >= 0, got '{text}'")
    return int(text)


def several(parse: Callable[[str], Value]) -> Callable[[str], tuple[Value, ...]]:
    """Return a type for different values separated by commas, each of some type."""

    def parse_all(text: str) -> tuple[Value, ...]:
        values = tuple(parse(part) for part in text.split(","))
        if len(set(values)) != len(values):
            raise argparse.ArgumentTypeError(f"must be different values, got '{text}'")
        return values

    return parse_all


def number_ranges(text: str) -> tuple[int, ...]:
    """Parse different whole numbers and ranges of them, such as 0-9,90,91, in their order."""
    matches = [re.fullmatch(f"({_DIGITS})(?:-({_DIGITS}))?", part) for part in text.split(",")]
    bounds = [(int(m[1]), int(m[2] or m[1])) for m in matches if m]
    sizes = [last - first + 1 for first, last in bounds]
    if len(bounds) == len(matches) and min(sizes) >= 1 and sum(sizes) <= _MOST_NUMBERS:
        found = tuple(n for first, last in bounds for n in range(first, last + 1))
        if len(set(found)) == len(found):
            return found
    raise argparse.ArgumentTypeError(
        f"must be different numbers and ranges such as 0-9,90,91, got '{text}'"
    )
