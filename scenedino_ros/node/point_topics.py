# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""The topics of points that the voxels are to be compared with."""

import time
from collections.abc import Callable
from contextlib import ExitStack
from typing import NamedTuple

import numpy as np
from geometry_msgs.msg import PointStamped
from rclpy.node import Node

from scenedino_ros.core.errors import TransformError
from scenedino_ros.core.printable import printable
from scenedino_ros.node.failures import Failures
from scenedino_ros.node.placement import Lookup
from scenedino_ros.node.transform_source import TransformSource
from scenedino_ros.recordings.transforms import frame_name

TOPICS = ("/clicked_point", "~/query")  # RViz publishes on the first one
_TF_WAIT = 1.0  # seconds that a point waits for a transform where TF has just been opened


class Point(NamedTuple):
    """A point that all voxels are to be compared with.

    Attributes:
        frame: Frame of the coordinates; empty: that of the voxels.
        position: (3,) coordinates, metres.
        transforms: Looks its frame up; None where it is empty or TF cannot be read.
        deadline: Until when it waits for a transform that is late, seconds of `time.monotonic`.
        again: Whether to try the next image, too, if TF does not know the frame at the stamp of
            the latest one.
    """

    frame: str
    position: np.ndarray
    transforms: Lookup | None
    deadline: float = 0.0
    again: bool = False


class PointTopics:
    """Subscribes to points; opens TF, where it is not read yet, when the first one comes.

    All methods run in the node's thread.
    """

    def __init__(
        self,
        node: Node,
        ask: Callable[[Point], None],
        wake: Callable[[], None],
        transforms: Lookup | None,
        failures: Failures,
        patience: float,
    ) -> None:
        """Start to listen.

        Args:
            node: The node that subscribes.
            ask: Called with each point.
            wake: Called afterwards, so that the point is looked at without another frame.
            transforms: TF, if it is read already; else None.
            failures: Counts exceptions that nobody foresaw.
            patience: How long a point waits for a transform that is late, seconds.
        """
        self._failures, self._patience = failures, patience
        self._node, self._ask, self._wake = node, ask, wake
        self._transforms, self._own = transforms, ExitStack()
        self._subscriptions = [
            node.create_subscription(PointStamped, topic, self._on_point, 1) for topic in TOPICS
        ]

    def close(self) -> None:
        """Stop listening."""
        for subscription in self._subscriptions:
            self._node.destroy_subscription(subscription)
        self._own.close()

    def _on_point(self, message: PointStamped) -> None:
        frame, point = frame_name(message.header.frame_id), message.point
        # Transforms from before TF was opened are not heard, so the next image may be needed.
        opened = bool(frame) and self._open_transforms()
        position = np.array([point.x, point.y, point.z])
        deadline = time.monotonic() + (_TF_WAIT if opened else self._patience)
        self._ask(Point(frame, position, self._transforms, deadline, again=opened))
        self._wake()

    def _open_transforms(self) -> bool:
        """Open TF unless it is open; return whether it was opened just now."""
        if self._transforms is not None:
            return False
        try:
            source = TransformSource(self._node, self._failures)
        except TransformError as error:
            sentence = printable(f"points in other frames are refused: {error}")
            self._node.get_logger().warning(sentence)
            return False
        self._own.callback(source.close)
        self._transforms = source
        return True
