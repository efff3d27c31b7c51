# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Selects the topics of a recording that can be read, and names the others with the reason."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace

from scenedino_ros.recordings.rosbag2.metadata import BagTopic

CDR = "cdr"
# Where one topic has messages of several types, those that cameras and poses need count first.
_NEEDED = (
    "sensor_msgs/msg/Image",
    "sensor_msgs/msg/CompressedImage",
    "sensor_msgs/msg/CameraInfo",
    "tf2_msgs/msg/TFMessage",
    "nav_msgs/msg/Odometry",
)


@dataclass(frozen=True)
class ReadableTopics:
    """What can be read of a recording.

    Attributes:
        topics: Topics by name, sorted, with the counts of all files added up.
        promised: How many messages files and metadata.yaml say there are, by name.
        not_read: What is left out, in words, with the reason.
    """

    topics: dict[str, BagTopic]
    promised: Counter[str]
    not_read: list[str]

    def reads(self, topic: BagTopic) -> bool:
        """Return whether messages of a file's topic are read."""
        found = self.topics.get(topic.name)
        return found is not None and (found.type, CDR) == (topic.type, topic.serialization)


def readable_topics(recorded: Iterable[BagTopic], listed: Iterable[BagTopic]) -> ReadableTopics:
    """Choose what can be read: messages serialized as CDR, of one type for each topic.

    Args:
        recorded: The topics of the storage files, as often as there are files and channels.
        listed: The topics of metadata.yaml. What it says not to be CDR is not read either.
    """
    listed = tuple(listed)
    as_cdr = {topic.name for topic in listed if topic.serialization == CDR}
    others = {t.name: t.serialization for t in listed if t.name not in as_cdr}
    merged: dict[tuple[str, str, str], BagTopic] = {}
    for topic in recorded:
        if topic.serialization == CDR:
            topic = replace(topic, serialization=others.get(topic.name, CDR))
        kind = (topic.name, topic.type, topic.serialization)
        seen = merged.get(kind)
        merged[kind] = replace(seen, count=seen.count + topic.count) if seen else topic
    topics: dict[str, BagTopic] = {}
    for topic in sorted(merged.values(), key=_rank):
        if topic.serialization == CDR:
            topics.setdefault(topic.name, topic)
    not_read = [
        _reason(topic, topics)
        for topic in sorted(merged.values(), key=lambda topic: topic.name)
        if topics.get(topic.name) is not topic
    ]
    counts: Counter[str] = Counter()
    known = {topic.name for topic in merged.values()}
    for topic in listed:
        if topic.serialization != CDR or (topic.name in known and topic.name not in topics):
            continue
        found = topics.setdefault(topic.name, replace(topic, count=0))
        if found.type == topic.type:
            counts[topic.name] += topic.count
    promised = counts | Counter({name: topic.count for name, topic in topics.items()})
    return ReadableTopics(dict(sorted(topics.items())), promised, not_read)


def _rank(topic: BagTopic) -> tuple[bool, bool, int]:
    """Return a sort key by which the type to read of several comes first."""
    return not topic.count, topic.type not in _NEEDED, -topic.count


def _reason(topic: BagTopic, topics: dict[str, BagTopic]) -> str:
    messages = f"{topic.count} message{'' if topic.count == 1 else 's'}"
    if topic.serialization != CDR:
        return f"{topic.name} ({messages} serialized as '{topic.serialization}')"
    return (
        f"{topic.name} ({messages} of type '{topic.type}', beside those of "
        f"'{topics[topic.name].type}')"
    )
