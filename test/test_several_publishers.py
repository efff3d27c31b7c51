# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Cameras that share what each should have alone: a topic, a clock, a name."""

import numpy as np
import pytest

from scenedino_ros.evaluation.tiles import write_panels
from scenedino_ros.node.alternation import Alternation

A, B, C = (("front", 640), ("left", 640), ("right", 640))


@pytest.mark.parametrize(
    ("kinds", "expected"),
    [
        ([], []),
        ([A] * 20, []),
        ([A] * 5 + [B] * 15, []),  # calibrated again
        ([A, B] * 3, [A, B]),
        ([A, B, C] * 4, [A, B, C]),
        ([A, A, B, B] * 3, [A, B]),
        ([A, B, A], []),  # one that came late
        ([A, B] * 6 + [A] * 12, []),  # the other one has stopped
        ([("front", number) for number in range(20)], []),  # it zooms
    ],
)
def test_messages_that_change_back_and_forth_are_of_several_cameras(kinds, expected):
    alternation = Alternation()
    for kind in kinds:
        alternation.add(kind)
    assert alternation.kinds() == expected


def test_items_whose_names_differ_by_a_slash_have_pictures_of_their_own(tmp_path):
    picture = np.zeros((4, 4, 3), np.uint8)
    items = ["rig/front", "rig_front", "other"]
    figures = write_panels(tmp_path, items, 3, "image", lambda: lambda item: picture)
    names = [figure.file for figure in figures]
    assert names == ["panel_rig_front.png", "panel_rig_front_1.png", "panel_other.png"]
    assert all((tmp_path / name).is_file() for name in names)
