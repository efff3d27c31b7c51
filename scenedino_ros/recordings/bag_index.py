# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Reads a recording once: places of images, calibrations, transforms and odometry."""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from scenedino_ros.core.errors import SceneDinoError, TransformError
from scenedino_ros.recordings.camera_topics import ODOMETRY, TF_MESSAGE, TF_STATIC, CameraTopics
from scenedino_ros.recordings.header_cdr import header_from_cdr, without_stamp
from scenedino_ros.recordings.rosbag2.reader import BagMessage, BagReader
from scenedino_ros.recordings.streams import StreamIndex
from scenedino_ros.recordings.tf_cdr import transforms_from_cdr
from scenedino_ros.recordings.transform_tree import TransformTree
from scenedino_ros.recordings.transforms import frame_name

Progress = Callable[[int, int], None]  # steps done, steps in all

_FOREVER_S = 1e9  # the transform tree of a recording forgets nothing
_REPORTED_EVERY = 64  # messages


@dataclass
class BagIndex:
    """What a pass over a recording found.

    Attributes:
        frames: Images and maps by topic.
        calibrations: The first CameraInfo by topic.
        changing: Sentences on calibrations that change, by topic.
        tree: All transforms.
        parents: The last parent of each frame.
        moving: Stamps of the transforms on /tf by child frame, nanoseconds.
        odometry: Decoded messages of type nav_msgs/Odometry by topic.
        recorded_ns: Times at which messages were recorded, by topic, ascending.
        problems: Sentences on what is wrong with messages.
    """

    frames: dict[str, StreamIndex] = field(default_factory=dict)
    calibrations: dict[str, Any] = field(default_factory=dict)
    changing: dict[str, str] = field(default_factory=dict)
    tree: TransformTree = field(default_factory=lambda: TransformTree(_FOREVER_S))
    parents: dict[str, str] = field(default_factory=dict)
    moving: dict[str, list[int]] = field(default_factory=dict)
    odometry: dict[str, list[Any]] = field(default_factory=dict)
    recorded_ns: dict[str, list[int]] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)

    def others_between(self, topic: str) -> Callable[[int, int], bool]:
        """Return a function: whether other topics have messages between two times."""
        others = np.sort(
            np.concatenate([times for name, times in self.recorded_ns.items() if name != topic])
        )
        return lambda start, end: bool(
            np.searchsorted(others, start) < np.searchsorted(others, end)
        )


def read_index(
    reader: BagReader, cameras: Mapping[str, CameraTopics], progress: Progress | None = None
) -> BagIndex:
    """Read every message of cameras and poses once.

    Args:
        reader: The recording.
        cameras: Topics of its cameras.
        progress: Called with the number of messages read and their number in all.

    Raises:
        BagError: If no message can be read.
    """
    topics = reader.topics
    images = {t for c in cameras.values() for t in (c.image, c.label, c.depth) if t}
    infos = {camera.info for camera in cameras.values() if camera.info}
    poses = {t.name for t in topics.values() if t.count and t.type in (ODOMETRY, TF_MESSAGE)}
    wanted = images | infos | poses
    index = BagIndex({topic: StreamIndex(topic) for topic in images})
    index.recorded_ns = {topic: [] for topic in wanted}
    first_infos: dict[str, bytes] = {}
    refused: Counter[str] = Counter()
    total = sum(topics[name].count for name in wanted)
    damaged: dict[str, tuple[int, str]] = {}
    for done, message in enumerate(reader.messages(wanted, raw=True), start=1):
        index.recorded_ns[message.topic].append(message.time_ns)
        try:
            if message.topic in images:
                stamp, frame = header_from_cdr(message.message)
                index.frames[message.topic].add(stamp, frame, message.time_ns, message.place)
            elif message.topic in infos:
                _keep_calibration(index, first_infos, reader, message)
            elif message.type == TF_MESSAGE:
                refused += _add_transforms(index, message)
            else:
                index.odometry.setdefault(message.topic, []).append(reader.decode(message))
        except SceneDinoError as error:
            count, first = damaged.get(message.topic, (0, str(error)))
            damaged[message.topic] = (count + 1, first)
        if progress and (done % _REPORTED_EVERY == 0 or done == total):
            progress(done, total)
    index.problems += [
        f"{count} of {len(index.recorded_ns[topic])} messages of {topic} are left out: {error}"
        for topic, (count, error) in damaged.items()
    ]
    index.problems += [f"{count} transforms are left out: {why}" for why, count in refused.items()]
    return index


def _keep_calibration(
    index: BagIndex, first_infos: dict[str, bytes], reader: BagReader, message: BagMessage
) -> None:
    content = without_stamp(message.message)
    if content == first_infos.get(message.topic) or message.topic in index.changing:
        return
    decoded = reader.decode(message)
    if message.topic not in first_infos:
        first_infos[message.topic] = content
        index.calibrations[message.topic] = decoded
    else:
        stamp, _ = header_from_cdr(message.message)
        index.changing[message.topic] = (
            f"the calibration on {message.topic} must be the same in the whole recording, but "
            f"changes at {stamp / 1e9:.3f} s"
        )


def _add_transforms(index: BagIndex, message: BagMessage) -> Counter[str]:
    """Add the transforms of a TFMessage, and count the refused ones by reason."""
    static = message.topic.endswith(TF_STATIC)
    refused: Counter[str] = Counter()
    for transform in transforms_from_cdr(message.message):
        try:
            index.tree.add(transform, static=static)
        except TransformError as error:
            refused[str(error)] += 1
            continue
        child = frame_name(transform.child)
        index.parents[child] = frame_name(transform.parent)
        if not static:
            index.moving.setdefault(child, []).append(transform.stamp_ns)
    return refused
