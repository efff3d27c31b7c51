# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Copies a recording and adds the trajectory of its body."""

import heapq
from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np

from scenedino_ros.recordings.camera_topics import TF_MESSAGE, TF_STATIC
from scenedino_ros.recordings.datasets.drive_writer import stamped_transforms
from scenedino_ros.recordings.poses import PoseTrack
from scenedino_ros.recordings.rosbag2.metadata import BagTopic, TopicQos
from scenedino_ros.recordings.rosbag2.reader import BagReader
from scenedino_ros.recordings.rosbag2.writer import BagWriter
from scenedino_ros.recordings.tf_cdr import cdr_from_transforms

_TF = "/tf"
_MAP = "map"


class _Message(NamedTuple):
    time_ns: int
    topic: str
    data: bytes


def copy_with_poses(
    source: Path,
    target: Path,
    track: PoseTrack,
    body_frame: str,
    *,
    recorded_ns: Mapping[int, int],
    static: Mapping[tuple[str, str], np.ndarray],
    progress: Callable[[int, int], None] | None = None,
) -> None:
    """Write all readable messages of a recording and ``map`` -> body at the times of the poses.

    Args:
        source: The recording.
        target: Folder of the new one; must not exist.
        track: Poses of the body in the map.
        body_frame: Its frame.
        recorded_ns: When a pose would have been recorded, by its time, nanoseconds: the time at
            which its image was.
        static: (4, 4) T_parent_child of fixed transforms to add, by (parent, child).
        progress: Called after every message with the numbers of those written and of all.

    Raises:
        BagError: If the recording cannot be read, or something is at `target` already.
    """
    with BagReader(source) as reader:
        writer = BagWriter(target)
        try:
            added = sorted(_transforms(track, body_frame, recorded_ns, static, reader.start_ns))
            topics = {**_topics({message.topic for message in added}), **reader.topics}
            for topic in topics.values():
                is_text = topic.definition_format == "ros2msg"  # not IDL
                writer.add_topic(
                    topic.name,
                    topic.type,
                    topic.qos,
                    definition=topic.definition if is_text else "",
                    type_hash=topic.type_hash,
                )
            copied = (_Message(m.time_ns, m.topic, m.message) for m in reader.messages(raw=True))
            total = reader.message_count + len(added)
            # Of two messages of one time the pose is first, so that it is there for the image.
            merged = heapq.merge(added, copied, key=lambda message: message.time_ns)
            for done, message in enumerate(merged, start=1):
                writer.write(message.topic, message.time_ns, message.data)
                if progress:
                    progress(done, total)
        except BaseException:
            writer.abandon()
            raise
        writer.close()


def _topics(names: Collection[str]) -> dict[str, BagTopic]:
    """Return the topics of transforms, where a recording has none."""
    qos = {TF_STATIC: TopicQos(transient_local=True, depth=1), _TF: TopicQos(depth=100)}
    return {name: BagTopic(name, TF_MESSAGE, qos=qos[name]) for name in sorted(names)}


def _transforms(
    track: PoseTrack,
    body_frame: str,
    recorded_ns: Mapping[int, int],
    static: Mapping[tuple[str, str], np.ndarray],
    start_ns: int,
) -> Iterator[_Message]:
    """Yield the messages that are added."""
    if static:
        fixed = cdr_from_transforms(stamped_transforms(static, start_ns))
        yield _Message(start_ns, TF_STATIC, fixed)
    for stamp, T in zip(track.stamps_ns.tolist(), track.T_world_body, strict=True):
        moved = cdr_from_transforms(stamped_transforms({(_MAP, body_frame): T}, stamp))
        yield _Message(recorded_ns[stamp], _TF, moved)
