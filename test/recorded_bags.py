# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Small recordings that tests write, and what is read from them."""

from pathlib import Path

import numpy as np
import pytest
from rosbags.typesys import Stores, get_typestore

from scenedino_ros.recordings.rosbag2.metadata import TopicQos
from scenedino_ros.recordings.rosbag2.reader import BagReader
from scenedino_ros.recordings.rosbag2.writer import BagWriter

STORE = get_typestore(Stores.ROS2_JAZZY)
TYPES = STORE.types
RECORDED = Path(__file__).parent / "data" / "bags"  # of rosbag2's own tests, see its README
STRING = "std_msgs/msg/String"
SECOND = 1_000_000_000
START = 1_700_000_000 * SECOND
LATCHED = TopicQos(reliable=True, transient_local=True, depth=1)

both = pytest.mark.parametrize("storage", ["mcap", "sqlite3"])


def text(content: str) -> bytes:
    """Return a serialized std_msgs/String."""
    return bytes(STORE.serialize_cdr(TYPES[STRING](data=content), STRING))


def image(index: int) -> bytes:
    """Return a serialized picture whose pixels are all `index`."""
    stamp = TYPES["builtin_interfaces/msg/Time"](sec=1_700_000_000 + index, nanosec=5)
    message = TYPES["sensor_msgs/msg/Image"](
        header=TYPES["std_msgs/msg/Header"](stamp=stamp, frame_id="camera"),
        height=4,
        width=6,
        encoding="rgb8",
        is_bigendian=0,
        step=18,
        data=np.full(72, index, np.uint8),
    )
    return bytes(STORE.serialize_cdr(message, "sensor_msgs/msg/Image"))


def record(path: Path, storage: str = "mcap", count: int = 30) -> list[tuple[str, int, bytes]]:
    """Record pictures at 10 Hz, a word after each third, and one latched word."""
    written = [("/tf_static", START, text("latched"))]
    for index in range(count):
        time_ns = START + index * SECOND // 10
        written.append(("/image", time_ns, image(index % 256)))
        if index % 3 == 0:
            written.append(("/chatter", time_ns + 1, text(f"word {index}")))
    with BagWriter(path, storage) as writer:
        writer.add_topic("/tf_static", STRING, LATCHED)
        writer.add_topic("/image", "sensor_msgs/msg/Image", TopicQos(reliable=False, depth=5))
        writer.add_topic("/chatter", STRING)
        for entry in written:
            writer.write(*entry)
    return written


def contents(path: Path, **arguments) -> list[tuple[str, int, bytes]]:
    with BagReader(path) as bag:
        return [(m.topic, m.time_ns, m.message) for m in bag.messages(raw=True, **arguments)]


def readable(path: Path) -> tuple[list[tuple[str, int, bytes]], list[str]]:
    with BagReader(path) as bag:
        messages = [(m.topic, m.time_ns, m.message) for m in bag.messages(raw=True)]
        return messages, bag.problems
