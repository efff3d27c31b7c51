# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Transforms as the package's tree takes them, from messages of any library."""

from typing import Any

from scenedino_ros.recordings.transforms import StampedTransform, nanoseconds


def stamped_from_message(message: Any) -> StampedTransform:
    """Return a `geometry_msgs/TransformStamped` as a `StampedTransform`."""
    move, turn = message.transform.translation, message.transform.rotation
    return StampedTransform(
        message.header.frame_id,
        message.child_frame_id,
        nanoseconds(message.header.stamp),
        (move.x, move.y, move.z),
        (turn.x, turn.y, turn.z, turn.w),
    )
