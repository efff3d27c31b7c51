# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Reads the CameraInfo topic so that a calibration latched before the start arrives, too."""

from collections.abc import Callable

from rclpy.clock import Clock, ClockType
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from rclpy.subscription import Subscription
from sensor_msgs.msg import CameraInfo

from scenedino_ros.node.inputs import SubscriptionEventCallbacks, subscribe

_QUEUE = 10
_LOOK_PERIOD = 1.0  # seconds between looks for publishers that latch


class CalibrationTopic:
    """Subscribes to camera_info, and receives what publishers latched before.

    A volatile subscription receives what every publisher sends from now on. Only a transient-local
    one receives what was latched before, and publishers that do not latch would warn about it. So
    the second one is open only while a publisher that latches is there and has sent nothing yet.
    """

    def __init__(self, node: Node, topic: str, callback: Callable[[CameraInfo], None]) -> None:
        """Start listening.

        Args:
            node: The node that subscribes.
            topic: Name of the topic.
            callback: Called with every message; a latched one may come twice.

        Raises:
            InputError: If the user's quality of service is none.
        """
        self._node, self._topic, self._callback = node, topic, callback
        # Best effort takes what reliable publishers send, too.
        quality = QoSProfile(depth=_QUEUE, reliability=ReliabilityPolicy.BEST_EFFORT)
        self._subscription = subscribe(node, CameraInfo, topic, callback, quality)
        self._kept: Subscription | None = None
        self._heard = False
        self._latching: set[tuple[int, ...]] = set()
        self._timer = None
        if not _passes_on_the_past(self._subscription.qos_profile):
            steady = Clock(clock_type=ClockType.STEADY_TIME)
            self._timer = node.create_timer(_LOOK_PERIOD, self._look, clock=steady)
            self._look()

    @property
    def subscription(self) -> Subscription:
        """The subscription that stays open."""
        return self._subscription

    def close(self) -> None:
        """Stop listening."""
        if self._timer is not None:
            self._node.destroy_timer(self._timer)
        self._close_kept()
        self._node.destroy_subscription(self._subscription)

    def _look(self) -> None:
        known = self._latching
        self._latching = {
            tuple(publisher.endpoint_gid)
            for publisher in self._node.get_publishers_info_by_topic(self._subscription.topic_name)
            if _passes_on_the_past(publisher.qos_profile)
        }
        if self._latching - known:
            if self._kept is None:
                self._heard = False
                self._kept = self._open_kept()
        elif self._heard or not self._latching:
            self._close_kept()

    def _open_kept(self) -> Subscription:
        return self._node.create_subscription(
            CameraInfo,
            self._topic,
            self._on_kept,
            QoSProfile(
                depth=_QUEUE,
                reliability=ReliabilityPolicy.RELIABLE,
                durability=DurabilityPolicy.TRANSIENT_LOCAL,
            ),
            # No warning about publishers that do not latch: the other subscription hears them.
            event_callbacks=SubscriptionEventCallbacks(use_default_callbacks=False),
        )

    def _close_kept(self) -> None:
        if self._kept is not None:
            self._node.destroy_subscription(self._kept)
            self._kept = None

    def _on_kept(self, message: CameraInfo) -> None:
        self._heard = True
        self._callback(message)


def _passes_on_the_past(quality: QoSProfile) -> bool:
    """Return whether messages from before a match are passed on; best effort never repeats."""
    return (
        quality.durability == DurabilityPolicy.TRANSIENT_LOCAL
        and quality.reliability == ReliabilityPolicy.RELIABLE
    )
