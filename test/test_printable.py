# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Text from outside, made safe for terminals, logs and reports."""

import pytest

from scenedino_ros.core.errors import CheckpointError, InputError
from scenedino_ros.core.printable import LONGEST, printable


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("front camera, 90° of Zürich, 東京", "front camera, 90° of Zürich, 東京"),
        ("\x1b[2Jgone", r"\x1b[2Jgone"),
        ("first\nsecond\r\tthird\x00", r"first\nsecond\r\tthird\x00"),
        ("\u202eright to left", r"\u202eright to left"),
        ("line\u2028separator", r"line\u2028separator"),
        ("half of a pair \ud800", r"half of a pair \ud800"),
        ("\x9b31mC1", r"\x9b31mC1"),
        (17, "17"),
    ],
)
def test_control_characters_are_escaped_and_nothing_else_is_changed(text, expected):
    assert printable(text) == expected


def test_lines_are_kept_where_a_text_may_have_several():
    assert printable("two keys:\n  \x07bell", keep_lines=True) == "two keys:\n  \\x07bell"


def test_the_middle_of_a_long_text_is_left_out():
    text = f"encoding '{'A' * 100_000}' of 12 bytes is unknown"
    short = printable(text)
    assert len(short) <= LONGEST
    assert short.startswith("encoding 'AAA")
    assert short.endswith("AAA' of 12 bytes is unknown")
    assert "more characters" in short


@pytest.mark.parametrize("length", [0, 5, 40, 200])
@pytest.mark.parametrize("text", ["", "abc", "\x00" * 199, "\x00" * 300, "x" * 10_000])
def test_the_length_is_bounded_and_a_second_time_changes_nothing(text, length):
    short = printable(text, length)
    assert len(short) <= length
    assert short.isprintable()
    assert printable(short, length) == short


def test_errors_say_nothing_raw():
    error = InputError(f"no frame \x1b[31m{'x' * 100_000}")
    assert str(error).startswith(r"no frame \x1b[31mxxx")
    assert len(str(error)) < 5000
    assert str(CheckpointError("2 keys:\n  a\n  \x07")) == "2 keys:\n  a\n  \\x07"
