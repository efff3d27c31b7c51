"""Types of command-line values that argparse does not have: lists of numbers and sizes."""

import argparse
import math
import re
from collections.abc import Callable


def numbers(names: str) -> Callable[[str], tuple[float, ...]]:
    """Return a type for as many finite numbers as there are names, separated by commas.

    Args:
        names: What they are called, separated by commas, such as ``fx,fy,cx,cy``.
    """
    count = names.count(",") + 1

    def parse(text: str) -> tuple[float, ...]:
        try:
            values = tuple(float(part) for part in text.split(","))
        except ValueError:
            values = ()
        if len(values) != count or not all(map(math.isfinite, values)):
            raise argparse.ArgumentTypeError(f"must be {count} numbers {names}, got '{text}'")
        return values

    return parse


def counts(names: str) -> Callable[[str], tuple[int, ...]]:
    """Return a type for as many integers >= 1 as there are names, separated by commas."""
    size = names.count(",") + 1

    def parse(text: str) -> tuple[int, ...]:
        parts = text.split(",")
        if len(parts) != size or not all(re.fullmatch("[0-9]+", part) for part in parts):
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
    match = re.fullmatch("([1-9][0-9]*)x([1-9][0-9]*)", text)
    if not match:
        raise argparse.ArgumentTypeError(f"must be HEIGHTxWIDTH such as 192x640, got '{text}'")
    return int(match[1]), int(match[2])


def densities(text: str) -> tuple[float, ...]:
    """Parse numbers >= 0, all different, separated by commas."""
    values = tuple(not_negative(part) for part in text.split(","))
    if len(set(values)) != len(values):
        raise argparse.ArgumentTypeError(f"must be different numbers, got '{text}'")
    return values


def count(text: str) -> int:
    """Parse a whole number >= 1."""
    (value,) = counts("n")(text)
    return value


def numbered(text: str) -> tuple[int, ...]:
    """Parse whole numbers >= 0 separated by commas."""
    if not re.fullmatch("[0-9]+(,[0-9]+)*", text):
        raise argparse.ArgumentTypeError(f"must be numbers separated by commas, got '{text}'")
    return tuple(map(int, text.split(",")))
