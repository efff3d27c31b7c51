# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Chooses the frames of the map from a recording's transforms."""

import itertools
from typing import NamedTuple

from scenedino_ros.recordings.rosbag2.reader import BagReader
from scenedino_ros.recordings.tf_cdr import transforms_from_cdr
from scenedino_ros.recordings.transforms import frame_name

_SAMPLE = 1000  # first messages on /tf, in which all frames are expected
_FIXED, _ROBOT = "odom", "base_link"  # REP 105


class MapFrames(NamedTuple):
    """The frames of a map.

    Attributes:
        fixed: Fixed frame that the map lies in.
        robot: Frame that it moves with.
    """

    fixed: str
    robot: str


def find_map_frames(reader: BagReader, camera: str) -> MapFrames | None:
    """Return the frames for a map: ``odom`` and ``base_link``, or what moves above the camera.

    Args:
        reader: The open recording.
        camera: Optical frame of the images.

    Returns:
        ``odom`` if the camera is below it, else the root of the tree; and ``base_link`` likewise,
        else the lowest frame that moves. None if nothing between root and camera moves.
    """
    parents: dict[str, tuple[str, bool]] = {}  # by child; whether it moves
    for topic, moves in (("/tf_static", False), ("/tf", True)):
        if topic not in reader.topics:
            continue
        for message in itertools.islice(reader.messages([topic], raw=True), _SAMPLE):
            for transform in transforms_from_cdr(message.message):
                parents[frame_name(transform.child)] = (frame_name(transform.parent), moves)
    chain, moving = [frame_name(camera)], []
    while chain[-1] in parents:
        parent, moves = parents[chain[-1]]
        if parent in chain:
            return None  # a loop, which the node reports
        if moves:
            moving.append(chain[-1])
        chain.append(parent)
    if not moving:
        return None
    fixed = _FIXED if _FIXED in chain else chain[-1]
    robot = _ROBOT if _ROBOT in chain else moving[0]
    return MapFrames(fixed, robot)
