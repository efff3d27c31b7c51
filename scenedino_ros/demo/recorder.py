# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""The process that records what the node publishes and receives, as raw messages."""

import queue
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import rclpy
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from rclpy.signals import SignalHandlerOptions

from scenedino_ros.core.errors import BagError
from scenedino_ros.demo.settings import RECORDER, RecorderSettings, read_settings
from scenedino_ros.node.interrupt import Interrupt
from scenedino_ros.node.message_types import message_class
from scenedino_ros.recordings.rosbag2.metadata import TopicQos
from scenedino_ros.recordings.rosbag2.writer import BagWriter

_SEARCH_PERIOD = 0.1  # seconds between two looks at the topics there are
_DEPTH = 200  # messages that may wait while others are written
_POLL = 0.1


class Recorder(Node):
    """Subscribes to topics as they appear, with their publishers' quality of service.

    Another thread compresses and writes, so that the middleware's queues stay short and the times
    of arrival are right.
    """

    def __init__(self, settings: RecorderSettings) -> None:
        super().__init__(RECORDER)
        self._settings = settings
        self._known: set[str] = set()
        self._queue: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._writer = BagWriter(settings.output)
        self.failure: Exception | None = None
        self._thread = threading.Thread(target=self._write)
        self._thread.start()
        self.create_timer(_SEARCH_PERIOD, self._search)

    def finish(self) -> None:
        """Write what has arrived, and close the recording."""
        self._queue.put(None)
        self._thread.join()

    def loss(self) -> str:
        """Return in a sentence why recording failed, and what is lost; empty: it did not fail."""
        if self.failure is None:
            return ""
        writer, waiting = self._writer, self._queue.qsize() - 1  # the last entry ends the thread
        lost = writer.message_count - writer.stored_count + max(waiting, 0)
        return (
            f"cannot record: {self.failure}; {writer.stored_count} messages are in "
            f"{writer.partial_path}, about {lost} that came before the end are lost"
        )

    def _search(self) -> None:
        for topic, types in self.get_topic_names_and_types():
            wanted = topic in self._settings.topics or topic.startswith(self._settings.prefixes)
            if wanted and topic not in self._known:
                self._subscribe(topic, types[0])

    def _subscribe(self, topic: str, type_name: str) -> None:
        publishers = self.get_publishers_info_by_topic(topic)
        if not publishers:
            return
        self._known.add(topic)
        try:
            kind = message_class(type_name)
        except BagError as error:
            self.get_logger().warning(f"{topic} is not recorded: {error}")
            return
        offered = [endpoint.qos_profile for endpoint in publishers]
        reliable = all(qos.reliability == ReliabilityPolicy.RELIABLE for qos in offered)
        latched = all(qos.durability == DurabilityPolicy.TRANSIENT_LOCAL for qos in offered)
        kept = DurabilityPolicy.TRANSIENT_LOCAL if latched else DurabilityPolicy.VOLATILE
        quality = QoSProfile(
            depth=_DEPTH,
            reliability=ReliabilityPolicy.RELIABLE if reliable else ReliabilityPolicy.BEST_EFFORT,
            durability=kept,
        )
        qos = TopicQos(reliable=reliable, transient_local=latched, depth=1 if latched else 10)
        self._queue.put((topic, type_name, qos))
        self.create_subscription(kind, topic, self._on_message(topic), quality, raw=True)
        self.get_logger().info(f"recording {topic}")

    def _on_message(self, topic: str) -> Callable[[bytes], None]:
        return lambda data: self._queue.put((topic, time.time_ns(), data))

    def _write(self) -> None:
        try:
            with self._writer as writer:
                while (entry := self._queue.get()) is not None:
                    topic, second, third = entry
                    if isinstance(third, TopicQos):
                        writer.add_topic(topic, second, third)
                    else:
                        writer.write(topic, second, third)
        except (OSError, BagError) as error:
            self.failure = error


def main(argv: list[str] | None = None) -> int:
    """Record what a settings file describes, until a signal; the only argument is its path."""
    settings = read_settings(Path((argv or sys.argv[1:])[0]), RecorderSettings)
    interrupt = Interrupt()
    rclpy.init(signal_handler_options=SignalHandlerOptions.NO)
    recorder = Recorder(settings)
    executor = SingleThreadedExecutor()
    executor.add_node(recorder)
    try:
        while not interrupt.requested and recorder.failure is None:
            executor.spin_once(timeout_sec=_POLL)
    finally:
        recorder.finish()
        recorder.destroy_node()
        rclpy.try_shutdown()
    loss = recorder.loss()
    if loss:
        sys.stderr.write(f"{loss}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
