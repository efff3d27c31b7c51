# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Reads recordings in rosbag2's formats (MCAP and SQLite) without a ROS installation.

Each storage file has a reader of its own; the messages are merged by time here. After a full pass,
the messages read are compared with the numbers in indexes and metadata.yaml.
"""

import heapq
import itertools
from collections import Counter
from collections.abc import Collection, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

from scenedino_ros.core.errors import BagError
from scenedino_ros.core.file_limits import MESSAGE_BYTES
from scenedino_ros.core.reading import reading
from scenedino_ros.recordings.rosbag2.decompression import ZSTD_MAGIC, decompress_zstd
from scenedino_ros.recordings.rosbag2.files import (
    StorageFile,
    open_storage,
    storage_files,
)
from scenedino_ros.recordings.rosbag2.message_types import MessageTypes
from scenedino_ros.recordings.rosbag2.metadata import (
    StoredMessage,
)
from scenedino_ros.recordings.rosbag2.readable_topics import ReadableTopics, readable_topics


class MessagePlace(NamedTuple):
    """Where a message lies in its recording; `BagReader.message_at` reads it again.

    Attributes:
        file: Number of the storage file, from 0.
        group: Where the records begin that it lies among (MCAP), or its row (SQLite).
        offset: Of the message among those records; 0 in SQLite.
    """

    file: int
    group: int
    offset: int


class BagMessage(NamedTuple):
    """A recorded message.

    Attributes:
        topic: Topic name.
        type: Message type, such as ``sensor_msgs/msg/Image``.
        time_ns: When it was recorded, nanoseconds.
        message: Its serialized bytes, or the message with its fields as attributes.
        place: Where it lies.
    """

    topic: str
    type: str
    time_ns: int
    message: Any
    place: MessagePlace


class BagReader:
    """Reads a recording: a folder, with or without its metadata.yaml, or one storage file.

    Several files, files and messages compressed by rosbag2 (zstd), and recordings that are
    cut off are understood. A context manager.

    Attributes:
        path: What was opened.
        topics: The topics that can be read by name, with their types and message counts.
        not_read: Topics that cannot be read, in words, with the reason: they are serialized as
            something else than CDR, or a topic's messages are of another type than the rest.
        start_ns: Time of the first message, nanoseconds; 0 where there are none.
        end_ns: Time of the last message, nanoseconds; 0 where there are none.
        promised: How many messages indexes and metadata.yaml say there are, by topic.
        problems: Sentences on what is damaged, missing or contradictory. Reading and a full pass
            over the messages may add to them.
    """

    def __init__(self, path: Path | str) -> None:
        """Open a recording.

        Raises:
            BagError: If there is none, it cannot be read, or nothing in it is serialized as CDR.
        """
        self.path = Path(path)
        self._problems: list[str] = []
        self._types = MessageTypes()
        self._stack = ExitStack()
        self._files: list[StorageFile] = []
        try:
            self._metadata, paths = storage_files(self.path, self._problems)
            for file in paths:
                self._add_file(file, is_only=len(paths) == 1)
            if not self._files:
                raise BagError(f"{self.path} cannot be read: {'; '.join(self._problems)}")
            self._readable = self._readable_topics()
        except BaseException:
            self._stack.close()
            raise
        self.topics = self._readable.topics
        self.promised = self._readable.promised
        self.not_read = self._readable.not_read
        self._compare(Counter({topic.name: topic.count for topic in self.topics.values()}), None)
        starts = [file.start_ns for file in self._files if file.start_ns is not None]
        self.start_ns = min(starts, default=0)
        self.end_ns = max((file.end_ns for file in self._files), default=0)

    def __enter__(self) -> "BagReader":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the files."""
        self._stack.close()

    @property
    def message_count(self) -> int:
        """Number of messages of all topics."""
        return sum(topic.count for topic in self.topics.values())

    @property
    def problems(self) -> list[str]:
        """Sentences on what is damaged, missing or contradictory; empty: nothing known."""
        return [*self._problems, *(line for file in self._files for line in file.problems)]

    def messages(
        self,
        topics: Collection[str] | None = None,
        start: int | None = None,
        stop: int | None = None,
        *,
        raw: bool = False,
    ) -> Iterator[BagMessage]:
        """Yield the messages in the order of time.

        Args:
            topics: Names of the topics to read; None: all.
            start: Earliest time, nanoseconds.
            stop: Time before which to end, nanoseconds.
            raw: Give the serialized bytes instead of decoded messages.

        Raises:
            BagError: If a topic is not in the recording, a message cannot be decoded, or a pass
                without start and stop gives none of the messages there should be.
        """
        names = None if topics is None else frozenset(topics)
        wanted = frozenset(self.topics) if names is None else names
        for name in wanted:
            if name not in self.topics:
                raise BagError(
                    f"topic '{name}' is not in {self.path}; it has {', '.join(self.topics)}"
                )
        low = -(2**63) if start is None else start
        high = 2**63 - 1 if stop is None else stop
        streams = [
            zip(itertools.repeat(number), file.messages(wanted, low, high))
            for number, file in enumerate(self._files)
        ]
        delivered: Counter[str] = Counter()
        with reading(str(self.path), BagError):
            for number, stored in heapq.merge(*streams, key=lambda entry: entry[1].time_ns):
                if not self._readable.reads(stored.topic):  # another channel of the same name
                    continue
                delivered[stored.topic.name] += 1
                yield self._message(number, stored, raw=raw)
        if start is None and stop is None:
            promised = self._compare(delivered, names)
            if promised and not delivered:
                raise BagError(
                    f"none of the {promised} messages that {self.path} should hold can be read: "
                    f"{'; '.join(self.problems)}"
                )

    def message_at(self, place: MessagePlace, *, raw: bool = False) -> BagMessage:
        """Read one message again.

        Args:
            place: Where it lies, as `messages` gave it.
            raw: Give the serialized bytes instead of a decoded message.

        Raises:
            BagError: If there is no message, or it cannot be decoded.
        """
        if not 0 <= place.file < len(self._files):
            raise BagError(f"{self.path} has {len(self._files)} files, got file {place.file}")
        with reading(str(self.path), BagError):
            stored = self._files[place.file].message_at(place.group, place.offset)
        return self._message(place.file, stored, raw=raw)

    def decode(self, message: BagMessage) -> Any:
        """Return the decoded message of one that `messages` gave as serialized bytes.

        Raises:
            BagError: If it cannot be decoded.
        """
        with reading(str(self.path), BagError):
            return self._types.decode(self.topics[message.topic], message.message)

    def _message(self, file: int, stored: StoredMessage, *, raw: bool) -> BagMessage:
        topic, content = stored.topic, self._decompressed(stored.data)
        message = content if raw else self._types.decode(topic, content)
        place = MessagePlace(file, stored.group, stored.offset)
        return BagMessage(topic.name, topic.type, stored.time_ns, message, place)

    def _add_file(self, path: Path, *, is_only: bool) -> None:
        """Open a storage file; one of several that cannot be read is noted and left out."""
        try:
            reader = open_storage(path, self._stack, self._problems)
        except BagError as error:
            if is_only:
                raise
            self._problems.append(str(error))
            return
        self._stack.callback(reader.close)
        self._files.append(reader)

    def _readable_topics(self) -> ReadableTopics:
        """Return what can be read; a recording without anything in CDR is refused."""
        recorded = [topic for file in self._files for topic in file.topics]
        found = readable_topics(recorded, self._metadata.topics if self._metadata else ())
        if recorded and not found.topics:
            raise BagError(
                f"{self.path}: messages must be serialized as 'cdr', as ROS 2 does it, but all "
                f"are something else: {', '.join(found.not_read)}"
            )
        return found

    def _compare(self, counts: Counter[str], names: frozenset[str] | None) -> int:
        """Note where fewer messages were found than indexes and metadata.yaml promise.

        Args:
            counts: Messages found, by topic.
            names: Topics to compare; None: all.

        Returns:
            Number of messages promised.
        """
        promised = self.promised
        if names is not None:
            promised = Counter({name: promised[name] for name in names})
        for name, count in sorted(promised.items()):
            problem = f"{counts[name]} of {count} messages of {name} can be read"
            if counts[name] < count and problem not in self._problems:
                self._problems.append(problem)
        return promised.total()

    def _decompressed(self, data: bytes) -> bytes:
        """Return a message's bytes, decompressed where it was compressed on its own."""
        single = self._metadata is not None and self._metadata.message_compression
        # A serialized message begins with a zero byte.
        if not (single or data.startswith(ZSTD_MAGIC)):
            return data
        with reading(f"a message in {self.path}", BagError, "cannot be decompressed"):
            return decompress_zstd(data, MESSAGE_BYTES)
