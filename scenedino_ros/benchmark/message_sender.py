# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""The process that builds and publishes messages, and measures how long that takes."""

import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import rclpy
from rclpy.node import Node
from rclpy.publisher import Publisher
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rclpy.signals import SignalHandlerOptions
from std_msgs.msg import Header

from scenedino_ros.benchmark.message_cases import make_cases, some_voxels, time_case
from scenedino_ros.benchmark.message_receiver import LARGE, TIMED
from scenedino_ros.benchmark.messages import MessagesJob
from scenedino_ros.core.errors import SceneDinoError
from scenedino_ros.core.files import write_atomically
from scenedino_ros.core.labels import CITYSCAPES19
from scenedino_ros.core.outputs import NODE
from scenedino_ros.node.interrupt import Interrupt
from scenedino_ros.node.outputs import Outputs
from scenedino_ros.node.to_msg import cloud_from_voxels, image_from_array

_POLL = 0.05
_SETTLE = 0.5  # seconds for the last subscriptions to match
_PERIOD = 0.1  # seconds between large messages: what a camera gives, and nothing piles up
_LAST = 1.0  # seconds for the last one to arrive


def main() -> int:
    """Do what a settings file describes; the arguments are its path and that of the result."""
    settings, result = map(Path, sys.argv[1:])
    values = json.loads(settings.read_text(encoding="utf-8"))
    what = values.pop("what")
    job = MessagesJob(**values)
    interrupt = Interrupt()
    rclpy.init(signal_handler_options=SignalHandlerOptions.NO)
    node = Node(NODE)
    try:
        with interrupt.raising():
            figures = _messages(node, job) if what == "messages" else _large(node, job)
        write_atomically(result, json.dumps(figures).encode())
    except SceneDinoError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    finally:
        node.destroy_node()
        rclpy.try_shutdown()
    return 0


def _messages(node: Node, job: MessagesJob) -> dict[str, Any]:
    """Time every case, with the node's own publishers and with subscribers."""
    outputs = Outputs(node)
    outputs.open()
    cases = make_cases(job, outputs.publish)
    while not set(TIMED) <= {output.name for output in outputs.wanted()}:
        time.sleep(_POLL)
    time.sleep(_SETTLE)
    return {"messages": [time_case(case, job.repeats) for case in cases]}


def _large(node: Node, job: MessagesJob) -> dict[str, Any]:
    """Publish large messages as best effort; return how many and how large they were."""
    quality = QoSProfile(depth=5, reliability=ReliabilityPolicy.BEST_EFFORT)
    publishers = {name: node.create_publisher(t, name, quality) for name, t in LARGE.items()}
    pixels = np.zeros((job.height, job.width, 3), np.uint8)
    cloud = cloud_from_voxels(some_voxels(job.voxels), CITYSCAPES19, Header())
    messages = dict(zip(LARGE, (image_from_array(pixels, "rgb8", Header()), cloud), strict=True))
    while not all(publisher.get_subscription_count() for publisher in publishers.values()):
        time.sleep(_POLL)
    time.sleep(_SETTLE)
    for _ in range(job.sent):
        for name, message in messages.items():
            _publish_now(publishers[name], message)
            time.sleep(_PERIOD / len(messages))
    time.sleep(_LAST)
    return {name: {"sent": job.sent, "bytes": len(m.data)} for name, m in messages.items()}


def _publish_now(publisher: Publisher, message: Any) -> None:
    stamp = message.header.stamp
    stamp.sec, stamp.nanosec = divmod(time.time_ns(), 1_000_000_000)
    publisher.publish(message)


if __name__ == "__main__":
    sys.exit(main())
