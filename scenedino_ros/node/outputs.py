# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""The publishers of the table of outputs, and which of them have subscribers."""

from typing import Any

from rclpy.node import Node
from rclpy.publisher import Publisher
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from std_msgs.msg import Header

from scenedino_ros.core.outputs import MAP, MARKERS, OUTPUTS, Output
from scenedino_ros.node.message_types import MissingMessageTypeError, message_class
from scenedino_ros.node.to_msg import clearing_markers


class Outputs:
    """Publishers that exist while the node is active: those of a camera, or the shared ones."""

    def __init__(
        self, node: Node, camera: str = "", *, shared: bool = False, has_map: bool = False
    ) -> None:
        """Open no topic yet.

        Args:
            node: The node.
            camera: Name of the camera; empty where the node has one camera without a name.
            shared: Whether these are the outputs that all cameras share, instead of a camera's.
            has_map: Whether outputs of the map are among them.
        """
        self._node, self._camera, self._shared, self._has_map = node, camera, shared, has_map
        self._publishers: dict[str, Publisher[Any]] = {}

    def open(self) -> None:
        """Open all topics.

        Raises:
            MissingMessageTypeError: If the package of a type is not installed, and the node does
                not go without that output.
        """
        for output in OUTPUTS:
            if output.shared != self._shared or (output.needs == MAP and not self._has_map):
                continue
            try:
                kind = message_class(output.type)
            except MissingMessageTypeError:
                if not output.optional:
                    raise
                continue
            self._publishers[output.name] = self._node.create_publisher(
                kind, f"~/{output.below_node(self._camera)}", quality_of(output)
            )

    def close(self) -> None:
        """Close all topics, and remove the markers from every viewer that shows them."""
        for output in self.wanted():
            if output.type == MARKERS:
                self.publish(output.name, clearing_markers(Header()))
        for publisher in self._publishers.values():
            self._node.destroy_publisher(publisher)
        self._publishers.clear()

    def __contains__(self, name: str) -> bool:
        """Return whether an output is open."""
        return name in self._publishers

    def wanted(self) -> tuple[Output, ...]:
        """Return the outputs of an image that have subscribers now, in the order of publishing."""
        return tuple(
            output
            for output in OUTPUTS
            if output.needs
            and output.name in self
            and self._publishers[output.name].get_subscription_count() > 0
        )

    def publish(self, name: str, message: Any) -> None:
        """Publish a message, or its serialised bytes, on one output."""
        self._publishers[name].publish(message)


def quality_of(output: Output) -> QoSProfile:
    """Return the quality of service of an output's publisher."""
    return QoSProfile(
        depth=output.depth,
        reliability=ReliabilityPolicy.RELIABLE,
        durability=DurabilityPolicy.TRANSIENT_LOCAL
        if output.latched
        else DurabilityPolicy.VOLATILE,
    )
