# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Whole numbers, such as those of frames, as the ranges that they form."""

from collections.abc import Iterable


def ranges_of(numbers: Iterable[int]) -> list[tuple[int, int]]:
    """Return the first and the last number of each run of consecutive ones, ascending."""
    ranges: list[tuple[int, int]] = []
    for number in sorted(numbers):
        follows = bool(ranges) and number == ranges[-1][1] + 1
        first = ranges.pop()[0] if follows else number
        ranges.append((first, number))
    return ranges


def flat_ranges(numbers: Iterable[int]) -> list[int]:
    """Return `ranges_of` in one row, as files hold them: first, last, first, last and so on."""
    return [number for pair in ranges_of(numbers) for number in pair]


def ranges_text(numbers: Iterable[int]) -> str:
    """Return ``0-9,90`` for the numbers 0 to 9 and 90, as commands take them."""
    return ",".join(f"{a}-{b}" if b > a else str(a) for a, b in ranges_of(numbers))
