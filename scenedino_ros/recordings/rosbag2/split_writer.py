# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Writes recordings in several files, and resumes those of a killed process."""

import fcntl
import json
import os
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from scenedino_ros.core.errors import BagError
from scenedino_ros.core.files import require_own_folder
from scenedino_ros.core.reading import read_json, read_yaml, reason_of
from scenedino_ros.recordings.rosbag2.files import METADATA, write_metadata, write_whole
from scenedino_ros.recordings.rosbag2.mcap_writer import McapWriter
from scenedino_ros.recordings.rosbag2.message_types import MessageTypes
from scenedino_ros.recordings.rosbag2.metadata import BagFile, BagTopic, TopicQos, metadata_map

SPLIT_BYTES = 1 << 30
_STATE = "progress.json"
_SOURCE = "scenedino_source"  # key of metadata.yaml's custom data
_SPLIT = "split_bytes"  # key added to the source


@dataclass
class _OpenFile:
    """A file that is being written, and what is in it."""

    storage: McapWriter
    start_ns: int
    end_ns: int
    numbers: dict[str, int] = field(default_factory=dict)  # the storage's, by topic
    counts: Counter[str] = field(default_factory=Counter)
    byte_count: int = 0

    def write(self, topic: BagTopic, time_ns: int, data: bytes) -> None:
        if topic.name not in self.numbers:
            self.numbers[topic.name] = self.storage.add_topic(topic)
        self.storage.write(self.numbers[topic.name], time_ns, data)
        self.counts[topic.name] += 1
        self.byte_count += len(data)
        self.start_ns, self.end_ns = min(self.start_ns, time_ns), max(self.end_ns, time_ns)

    def close(self, topics: dict[str, BagTopic]) -> BagFile:
        name, count = self.storage.path.name, self.counts.total()
        file = BagFile(name, self.start_ns, self.end_ns, count)
        counted = [replace(topics[name], count=n) for name, n in self.counts.items()]
        self.storage.close(metadata_map(McapWriter.storage, [file], counted))
        return file


class SplitBagWriter:
    """Records serialized messages in MCAP files of limited size.

    The recording grows in ``<path>.partial``. It lists its complete files, so a
    writer with the same path resumes after the last of them, however the process before it ended.
    Only the messages decide where a file ends: an interrupted recording has the same files with
    the same messages as one without interruption. Not to be used by two threads at once.

    Attributes:
        path: The folder the recording will have.
        partial_path: The folder it grows in.
        done: How many of the caller's steps are in complete files; continue after them.
    """

    def __init__(
        self, path: Path | str, source: Mapping[str, object], *, split_bytes: int = SPLIT_BYTES
    ) -> None:
        """Begin a recording, or resume one.

        Args:
            path: Folder of the recording.
            source: What is recorded, as values that JSON can hold; a recording with another
                source is not resumed but refused. It is kept in metadata.yaml, see `is_recorded`.
            split_bytes: A file is complete when its messages have this many bytes.

        Raises:
            BagError: If something is at `path` already, or what is in ``<path>.partial`` is of
                another source, damaged, or being written by another process.
        """
        self.path = Path(path)
        self.partial_path = partial_path(self.path)
        self.done = 0
        self._check_target()
        self._source = json.dumps({**source, _SPLIT: split_bytes}, sort_keys=True)
        self._split_bytes = split_bytes
        self._types = MessageTypes()
        self._topics: dict[str, BagTopic] = {}  # with the counts of complete files
        self._files: list[BagFile] = []
        self._open: _OpenFile | None = None
        self.partial_path.mkdir(parents=True, exist_ok=True)
        require_own_folder(self.partial_path)
        self._lock = self._locked()
        try:
            self._resume()
        except BaseException:
            self.abandon()
            raise

    def add_topic(self, name: str, type_name: str, qos: TopicQos | None = None) -> None:
        """Add a topic before its first message; one that the recording has already stays.

        Args:
            name: Topic name.
            type_name: Such as ``sensor_msgs/msg/Image``.
            qos: How it is offered; late subscribers of /tf_static need transient_local.
        """
        if name not in self._topics:
            topic = BagTopic(name, type_name, qos=qos or TopicQos())
            self._topics[name] = self._types.describe(topic)

    def write(self, name: str, time_ns: int, data: bytes) -> None:
        """Write a message.

        Args:
            name: A topic that was added.
            time_ns: When it was received, nanoseconds.
            data: The serialized message.
        """
        if self._open is None:
            file_name = f"{self.path.name}_{len(self._files)}{McapWriter.suffix}"
            self._open = _OpenFile(McapWriter(self.partial_path / file_name), time_ns, time_ns)
        self._open.write(self._topics[name], time_ns, data)

    def checkpoint(self, done: int) -> None:
        """Declare that a file may end here.

        Args:
            done: How many of the caller's steps are written.
        """
        if self._open is None or self._open.byte_count < self._split_bytes:
            return
        self._end_file()
        self.done = done
        state = {
            "source": self._source,
            "done": done,
            "files": [file._asdict() for file in self._files],
            "topics": [asdict(topic) for topic in self._topics.values()],
        }
        write_whole(self.partial_path / _STATE, json.dumps(state))

    def close(self) -> None:
        """Finish the recording and give it its name.

        Raises:
            BagError: If something has appeared at `path` meanwhile.
        """
        try:
            self._end_file()
            topics = list(self._topics.values())
            metadata = metadata_map(
                McapWriter.storage, self._files, topics, custom={_SOURCE: self._source}
            )
            write_metadata(self.partial_path, metadata)
            self._publish()
        finally:
            os.close(self._lock)

    def abandon(self) -> None:
        """Stop writing; complete files are kept for a writer that resumes."""
        if self._open is not None:
            self._open.storage.abandon()
        os.close(self._lock)

    def _end_file(self) -> None:
        """Complete the file that is being written, if there is one."""
        if self._open is None:
            return
        self._files.append(self._open.close(self._topics))
        for name, count in self._open.counts.items():
            before = self._topics[name]
            self._topics[name] = replace(before, count=before.count + count)
        self._open = None

    def _resume(self) -> None:
        """Take over the complete files that an earlier process left, and remove the others."""
        path = self.partial_path / _STATE
        if path.exists():
            try:
                state = read_json(path)
                source, self.done = state["source"], int(state["done"])
                self._files = [BagFile(**file) for file in state["files"]]
                topics = [{**topic, "qos": TopicQos(**topic["qos"])} for topic in state["topics"]]
                self._topics = {topic["name"]: BagTopic(**topic) for topic in topics}
            except Exception as error:  # values of any type may stand anywhere
                raise BagError(
                    f"{path} is damaged ({reason_of(error)}); remove {self.partial_path} to begin "
                    "anew"
                ) from error
            if source != self._source:
                raise BagError(
                    f"{self.partial_path} is an unfinished recording of something else: "
                    f"{_difference(source, self._source)}; remove it, or choose another folder"
                )
        names = {file.name for file in self._files}
        present = {file.name for file in self.partial_path.iterdir()}
        if names - present:
            raise BagError(
                f"files are missing in {self.partial_path}: {', '.join(sorted(names - present))}; "
                "remove it to begin anew"
            )
        for name in present - names - {_STATE}:
            (self.partial_path / name).unlink()

    def _locked(self) -> int:
        """Return the folder, open and locked until it is closed or the process ends."""
        folder = os.open(self.partial_path, os.O_RDONLY)
        try:
            fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(folder)
            raise BagError(f"{self.partial_path} is being written by another process") from error
        return folder

    def _check_target(self) -> None:
        if self.path.exists():
            raise BagError(f"{self.path} exists already")

    def _publish(self) -> None:
        self._check_target()
        # In this order, a process that ends between the two leaves a complete recording.
        os.replace(self.partial_path, self.path)
        (self.path / _STATE).unlink(missing_ok=True)


def partial_path(path: Path) -> Path:
    """Return the folder in which `SplitBagWriter` writes an unfinished recording."""
    return path.with_name(f"{path.name}.partial")


def is_recorded(path: Path, source: dict[str, object]) -> bool:
    """Return whether there is a finished recording of a source.

    Args:
        path: Folder of the recording.
        source: As for `SplitBagWriter`; the size of its files does not matter.

    Raises:
        BagError: If there is something else at `path`.
    """
    if not path.exists():
        return False
    try:
        document = read_yaml(path / METADATA)
        found = json.loads(document["rosbag2_bagfile_information"]["custom_data"][_SOURCE])
        same = json.dumps(source | {_SPLIT: found.get(_SPLIT)}, sort_keys=True)
    except Exception as error:  # values of any type may stand anywhere
        raise BagError(f"{path} exists already, made from an unknown source") from error
    difference = _difference(json.dumps(found), same)
    if difference:
        raise BagError(f"{path} exists already, with {difference}")
    return True


def _difference(ours: str, theirs: str) -> str:
    """Return in words how our source differs from theirs; empty: not at all."""
    a, b = json.loads(ours), json.loads(theirs)
    keys = [key for key in {**a, **b} if a.get(key) != b.get(key)]
    return ", ".join(f"{key} {a.get(key)} instead of {b.get(key)}" for key in keys)
