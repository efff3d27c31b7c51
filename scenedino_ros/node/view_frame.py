# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""A TF frame for viewers: upright, and there even where no other node publishes TF."""

from rclpy.node import Node

from scenedino_ros.node.tf_message_type import TF_STATIC_QOS, tf_message_class
from scenedino_ros.recordings.tf_cdr import cdr_from_transforms
from scenedino_ros.recordings.transforms import StampedTransform

_ORIGIN = (0.0, 0.0, 0.0)
_SAME_AXES = (0.0, 0.0, 0.0, 1.0)
# Of x ahead, y left, z up in x right, y down, z ahead (REP 103).
_IN_OPTICAL_FRAME = (0.5, -0.5, 0.5, 0.5)


class ViewFrame:
    """Publishes one static transform, as soon as the frame of the outputs is known.

    The new frame is a leaf of the tree, so it contradicts no other transform.
    """

    def __init__(self, node: Node, name: str) -> None:
        """Open /tf_static.

        Args:
            node: The node.
            name: Name of the new frame; nothing is published without one.

        Raises:
            TransformError: If the message of /tf_static cannot be made here.
        """
        self._node, self._name = node, name
        self._parent = ""
        self._publisher = (
            node.create_publisher(tf_message_class(), "/tf_static", TF_STATIC_QOS)
            if name
            else None
        )

    def attach(self, parent: str, *, optical: bool) -> None:
        """Put the frame into another one, unless it is there already.

        Args:
            parent: Frame of the outputs.
            optical: Whether that has the axes of a camera instead of a body.
        """
        if self._publisher is None or parent in ("", self._parent):
            return
        self._parent = parent
        stamp_ns = self._node.get_clock().now().nanoseconds
        rotation = _IN_OPTICAL_FRAME if optical else _SAME_AXES
        transform = StampedTransform(parent, self._name, stamp_ns, _ORIGIN, rotation)
        self._publisher.publish(cdr_from_transforms([transform]))

    def close(self) -> None:
        """Close the topic."""
        if self._publisher is not None:
            self._node.destroy_publisher(self._publisher)
            self._publisher = None
