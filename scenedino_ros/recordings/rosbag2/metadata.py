# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""The metadata of a rosbag2 recording: topics, QoS and files, and its metadata.yaml."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath
from types import MappingProxyType
from typing import NamedTuple

import yaml

from scenedino_ros.core.errors import BagError
from scenedino_ros.core.printable import printable
from scenedino_ros.core.reading import parse_yaml, read_yaml, reading, reason_of

# Version 8 is the newest that every distribution since Humble reads; from 9 on, QoS is a list
# instead of a string.
_VERSION = 8
_NEVER_NS = 2**63 - 1  # start of a recording without messages

_LONGEST_PROFILES = 1 << 14  # characters; one profile has about 300

_RELIABLE = (1, "reliable")
_TRANSIENT_LOCAL = (1, "transient_local")


@dataclass(frozen=True)
class TopicQos:
    """How a topic was offered, as far as playing it again needs to know.

    Attributes:
        reliable: Reliable, not best effort.
        transient_local: Late subscribers get the last messages, as on /tf_static.
        depth: Length of the queue; 0: keep all.
    """

    reliable: bool = True
    transient_local: bool = False
    depth: int = 10


@dataclass(frozen=True)
class BagTopic:
    """A recorded topic.

    Attributes:
        name: Topic name.
        type: Message type, such as ``sensor_msgs/msg/Image``.
        count: Number of messages.
        qos: How it was offered.
        definition: Text of the message type and of those it contains; empty: not recorded.
        definition_format: ``ros2msg`` or ``ros2idl``; empty with an empty definition.
        type_hash: ``RIHS01_...``, or empty.
        serialization: ``cdr`` for everything that ROS 2 itself records.
    """

    name: str
    type: str
    count: int = 0
    qos: TopicQos = TopicQos()
    definition: str = ""
    definition_format: str = ""
    type_hash: str = ""
    serialization: str = "cdr"


class StoredMessage(NamedTuple):
    """A message as a storage file holds it.

    Attributes:
        time_ns: When it was recorded, nanoseconds.
        topic: Its topic.
        data: Serialized, and compressed where rosbag2 compressed messages on their own.
        group: Where the records begin that it lies among (MCAP), or its row (SQLite).
        offset: Of the message among those records; 0 in SQLite.
    """

    time_ns: int
    topic: BagTopic
    data: bytes
    group: int
    offset: int


class BagFile(NamedTuple):
    """A storage file of a recording.

    Attributes:
        name: Its name, without folders.
        start_ns: Time of the first message, nanoseconds; None: there are none.
        end_ns: Time of the last message.
        message_count: Number of messages.
    """

    name: str
    start_ns: int | None
    end_ns: int
    message_count: int


@dataclass(frozen=True)
class BagMetadata:
    """The content of a metadata.yaml.

    Attributes:
        files: Names of the storage files, in order, without folders.
        message_compression: Every message was compressed on its own (zstd).
        topics: The topics with their message counts.
    """

    files: tuple[str, ...]
    message_compression: bool
    topics: tuple[BagTopic, ...]


def parse_qos(profiles: object) -> TopicQos:
    """Return the first of the offered QoS profiles.

    Args:
        profiles: YAML text, or what it contains: a list of maps whose policies are numbers (up
            to metadata version 8) or words. Anything else gives the default.
    """
    if isinstance(profiles, str) and len(profiles) <= _LONGEST_PROFILES:
        try:
            profiles = parse_yaml(profiles)
        except Exception:  # damaged text can raise anything
            return TopicQos()
    if not isinstance(profiles, list) or not profiles or not isinstance(profiles[0], dict):
        return TopicQos()
    profile = profiles[0]
    depth = profile.get("depth")
    return TopicQos(
        reliable=profile.get("reliability") in _RELIABLE,
        transient_local=profile.get("durability") in _TRANSIENT_LOCAL,
        depth=depth if isinstance(depth, int) else 0,
    )


def qos_text(qos: TopicQos) -> str:
    """Return a QoS profile as the YAML text that recordings hold."""
    unset = {"sec": 0, "nsec": 0}
    profile = {
        "history": 1 if qos.depth else 2,  # keep last, keep all
        "depth": qos.depth,
        "reliability": 1 if qos.reliable else 2,
        "durability": 1 if qos.transient_local else 2,
        "deadline": dict(unset),
        "lifespan": dict(unset),
        "liveliness": 1,  # automatic
        "liveliness_lease_duration": dict(unset),
        "avoid_ros_namespace_conventions": False,
    }
    return yaml.safe_dump([profile], sort_keys=False).strip()


def type_name(name: str) -> str:
    """Return a message type as rosbag2 writes it, also from ROS 1's or DDS's form of the name."""
    parts = name.replace("::dds_::", "::").replace("::", "/").split("/")
    if "::dds_::" in name:
        parts[-1] = parts[-1].removesuffix("_")
    return "/".join([parts[0], "msg", parts[1]] if len(parts) == 2 else parts)


def read_metadata(path: Path) -> BagMetadata:
    """Read a metadata.yaml.

    Raises:
        BagError: If it cannot be read, or lacks what every version has.
    """
    with reading(str(path), BagError):
        document = read_yaml(path)
    try:
        info = document["rosbag2_bagfile_information"]
        mode = str(info.get("compression_mode") or "").lower()
        compression = str(info.get("compression_format") or "")
        topics = tuple(
            BagTopic(
                name=printable(entry["topic_metadata"]["name"]),
                type=printable(entry["topic_metadata"]["type"]),
                count=int(entry["message_count"]),
                qos=parse_qos(entry["topic_metadata"].get("offered_qos_profiles")),
                type_hash=str(entry["topic_metadata"].get("type_description_hash") or ""),
                serialization=printable(entry["topic_metadata"]["serialization_format"]),
            )
            for entry in info["topics_with_message_count"] or ()
        )
        # Early versions put the name of the recording's folder in front.
        files = tuple(PurePath(name).name for name in info["relative_file_paths"] or ())
    except Exception as error:  # values of any type may stand anywhere
        raise BagError(f"{path} is not the metadata of a recording: {reason_of(error)}") from error
    if mode in ("file", "message") and compression != "zstd":
        raise BagError(f"{path}: compression must be zstd, got '{compression}'")
    return BagMetadata(files, mode == "message", topics)


def metadata_map(
    storage: str,
    files: Sequence[BagFile],
    topics: Sequence[BagTopic],
    custom: Mapping[str, str] = MappingProxyType({}),
) -> dict[str, object]:
    """Return what a metadata.yaml holds below its top key.

    Args:
        storage: ``mcap`` or ``sqlite3``.
        files: The storage files, in order.
        topics: Topics with their counts over all files.
        custom: Further words of the writer's own.
    """
    starts = [file.start_ns for file in files if file.start_ns is not None]
    whole = BagFile(
        "",
        min(starts, default=None),
        max((file.end_ns for file in files), default=0),
        sum(topic.count for topic in topics),
    )
    return {
        "version": _VERSION,
        "storage_identifier": storage,
        **_extent(whole),
        "topics_with_message_count": [
            {
                "topic_metadata": {
                    "name": topic.name,
                    "type": topic.type,
                    "serialization_format": topic.serialization,
                    "offered_qos_profiles": qos_text(topic.qos),
                    "type_description_hash": topic.type_hash,
                },
                "message_count": topic.count,
            }
            for topic in topics
        ],
        "compression_format": "",
        "compression_mode": "",
        "relative_file_paths": [file.name for file in files],
        "files": [{"path": file.name, **_extent(file)} for file in files],
        "custom_data": dict(custom),
        "ros_distro": "",
    }


def _extent(file: BagFile) -> dict[str, object]:
    start = _NEVER_NS if file.start_ns is None else file.start_ns
    duration = 0 if file.start_ns is None else file.end_ns - file.start_ns
    return {
        "duration": {"nanoseconds": duration},
        "starting_time": {"nanoseconds_since_epoch": start},
        "message_count": file.message_count,
    }
