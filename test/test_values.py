# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Values of the command line."""

import argparse
from collections.abc import Callable

import pytest

from scenedino_ros.terminal.values import count, counts, image_size, number_ranges, whole


@pytest.mark.parametrize("parse", [image_size, counts("a,b"), count, whole, number_ranges])
def test_numbers_of_thousands_of_digits_are_refused(parse: Callable[[str], object]) -> None:
    digits = 5000 * "9"
    for text in (digits, f"{digits}x{digits}", f"{digits},{digits}", f"0-{digits}"):
        with pytest.raises(argparse.ArgumentTypeError, match="^must be "):
            parse(text)


def test_an_image_size_is_two_counts() -> None:
    assert image_size("192x640") == (192, 640)
    for text in ("0x640", "192x0", "192", "192x640x3", "-192x640"):
        with pytest.raises(argparse.ArgumentTypeError, match="must be HEIGHTxWIDTH"):
            image_size(text)
