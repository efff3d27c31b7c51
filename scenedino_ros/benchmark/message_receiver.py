# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""The process that receives what the sender publishes, and notes how long large messages took."""

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path

import rclpy
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rclpy.signals import SignalHandlerOptions
from sensor_msgs.msg import Image, PointCloud2

from scenedino_ros.core.files import write_atomically
from scenedino_ros.core.outputs import BY_NAME
from scenedino_ros.demo.stamps import header_stamp_ns
from scenedino_ros.node.interrupt import Interrupt
from scenedino_ros.node.message_types import message_class

# Best-effort topics, and what they carry.
LARGE = {"/large/image": Image, "/large/cloud": PointCloud2}
TIMED = ("voxels", "markers")  # outputs of the node
_POLL = 0.1


def main() -> int:
    """Listen until a signal; the only argument is the path of the result."""
    (result,) = map(Path, sys.argv[1:])
    interrupt = Interrupt()
    rclpy.init(signal_handler_options=SignalHandlerOptions.NO)
    node = Node("scenedino_receiver")
    delays: dict[str, list[float]] = {topic: [] for topic in LARGE}
    for name in TIMED:
        output = BY_NAME[name]
        kind = message_class(output.type)
        node.create_subscription(kind, output.topic(), lambda _: None, 10, raw=True)
    quality = QoSProfile(depth=5, reliability=ReliabilityPolicy.BEST_EFFORT)
    for topic, kind in LARGE.items():
        node.create_subscription(kind, topic, _noting(delays[topic]), quality, raw=True)
    executor = SingleThreadedExecutor()
    executor.add_node(node)
    try:
        while not interrupt.requested:
            executor.spin_once(timeout_sec=_POLL)
        write_atomically(result, json.dumps(delays).encode())
    finally:
        node.destroy_node()
        rclpy.try_shutdown()
    return 0


def _noting(delays: list[float]) -> Callable[[bytes], None]:
    """Return a callback that notes the milliseconds since each message's stamp."""
    return lambda data: delays.append((time.time_ns() - header_stamp_ns(data)) / 1e6)


if __name__ == "__main__":
    sys.exit(main())
