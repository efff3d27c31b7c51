# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Writes recordings in rosbag2's formats (MCAP and SQLite) without a ROS installation."""

import os
import shutil
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path

from scenedino_ros.core.errors import BagError
from scenedino_ros.core.reading import writing
from scenedino_ros.recordings.rosbag2.files import (
    is_recording_folder,
    new_folder,
    write_metadata,
)
from scenedino_ros.recordings.rosbag2.mcap_writer import McapWriter
from scenedino_ros.recordings.rosbag2.message_types import MessageTypes
from scenedino_ros.recordings.rosbag2.metadata import BagFile, BagTopic, TopicQos, metadata_map
from scenedino_ros.recordings.rosbag2.sqlite_file import SqliteWriter

_WRITERS: dict[str, type[McapWriter] | type[SqliteWriter]] = {
    "mcap": McapWriter,
    "sqlite3": SqliteWriter,
}
_FLUSH_S = 1.0  # how long a written message may wait in memory while others follow


class BagWriter:
    """Records serialized messages, in one file and a metadata.yaml, as rosbag2 does.

    The recording grows in a folder beside the target, named ``<target>.partial``, and is renamed
    when it is closed; leaving the context closes it, after an exception too. Where the process
    is killed, the folder stays and `BagReader` reads it: at most what `flush` has not yet put on
    disk is lost. Not to be used by two threads at once.

    Attributes:
        path: The folder the recording will have.
        partial_path: The folder it grows in.
        message_count: Messages written so far.
    """

    def __init__(
        self, path: Path | str, storage: str = "mcap", *, overwrite: bool = False
    ) -> None:
        """Begin a recording.

        Args:
            path: Folder of the recording.
            storage: ``mcap`` or ``sqlite3``.
            overwrite: Replace a recording that is there already, when this one is closed.

        Raises:
            BagError: If the storage is another, or something is at `path` already.
        """
        if storage not in _WRITERS:
            raise BagError(f"storage must be {' or '.join(_WRITERS)}, got '{storage}'")
        self.path = Path(path)
        self._overwrite = overwrite
        self._check_target()
        self.partial_path = new_folder(self.path)
        self.message_count = 0
        writer = _WRITERS[storage]
        self._storage = writer(self.partial_path / f"{self.path.name}_0{writer.suffix}")
        self._types = MessageTypes()
        self._topics: dict[str, tuple[int, BagTopic]] = {}
        self._counts: Counter[str] = Counter()
        self._start_ns: int | None = None
        self._end_ns = 0
        self._flushed = time.monotonic()
        self._closed = False

    def __enter__(self) -> "BagWriter":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def add_topic(
        self,
        name: str,
        type_name: str,
        qos: TopicQos | None = None,
        *,
        definition: str = "",
        type_hash: str = "",
    ) -> None:
        """Add a topic, once, before its first message.

        Args:
            name: Topic name.
            type_name: Such as ``sensor_msgs/msg/Image``.
            qos: How it is offered; late subscribers of /tf_static need transient_local.
            definition: Message definition with those it contains, in rosbag2's .msg format;
                empty: that of the ROS distribution or of an installed package.
            type_hash: ``RIHS01_...`` of the type; empty: as the definition.

        Raises:
            BagError: If the topic was added already.
        """
        if name in self._topics:
            raise BagError(f"topic {name} was added to {self.path} already")
        topic = BagTopic(
            name,
            type_name,
            qos=qos or TopicQos(),
            definition=definition,
            definition_format="ros2msg" if definition else "",
            type_hash=type_hash,
        )
        topic = self._types.describe(topic)
        self._topics[name] = (self._storage.add_topic(topic), topic)

    def write(self, name: str, time_ns: int, data: bytes) -> None:
        """Write a message.

        Args:
            name: A topic that was added.
            time_ns: When it was received, nanoseconds.
            data: The serialized message.

        Raises:
            BagError: If the topic was not added, the recording is closed, or it cannot be written.
        """
        if self._closed:
            raise BagError(f"the recording {self.path} is closed")
        if name not in self._topics:
            raise BagError(f"topic {name} was not added to {self.path}")
        with writing(str(self.partial_path), BagError):
            self._storage.write(self._topics[name][0], time_ns, data)
        self._counts[name] += 1
        self.message_count += 1
        self._start_ns = time_ns if self._start_ns is None else min(self._start_ns, time_ns)
        self._end_ns = max(self._end_ns, time_ns)
        if time.monotonic() - self._flushed >= _FLUSH_S:
            self.flush()

    @property
    def stored_count(self) -> int:
        """Number of messages that are in the file, whatever happens to this process."""
        return self._storage.stored

    def flush(self) -> None:
        """Put all that was written where it outlives this process.

        Happens by itself once a second while messages come; call it where they may pause.
        """
        self._flushed = time.monotonic()
        with writing(str(self.partial_path), BagError):
            self._storage.flush()

    def close(self) -> None:
        """Finish the recording and give it its name.

        Raises:
            BagError: If something has appeared at `path` meanwhile; the recording is complete in
                `partial_path` then. If the disk is full; `stored_count` messages are there then.
        """
        if self._closed:
            return
        self._closed = True
        topics = [
            replace(topic, count=self._counts[name]) for name, (_, topic) in self._topics.items()
        ]
        storage = self._storage
        file = BagFile(storage.path.name, self._start_ns, self._end_ns, self.message_count)
        metadata = metadata_map(storage.storage, [file], topics)
        with writing(str(self.partial_path), BagError):
            storage.close(metadata)
            write_metadata(self.partial_path, metadata)
        try:
            self._check_target()
        except BagError as error:
            raise BagError(f"{error}; the new recording is in {self.partial_path}") from error
        if self.path.exists():
            # Never a moment without either: the old one leaves when the new one is complete.
            replaced = new_folder(self.path, ".replaced")
            os.replace(self.path, replaced / self.path.name)
            os.replace(self.partial_path, self.path)
            shutil.rmtree(replaced)
        else:
            os.replace(self.partial_path, self.path)

    def abandon(self) -> None:
        """Give the recording up and remove what was written: half a recording is none."""
        self._closed = True
        self._storage.abandon()
        shutil.rmtree(self.partial_path, ignore_errors=True)

    def _check_target(self) -> None:
        """Refuse to replace anything but a recording, and that only where it is asked for."""
        if not self.path.exists():
            return
        if not self._overwrite:
            raise BagError(f"{self.path} exists already")
        if not is_recording_folder(self.path):
            raise BagError(f"{self.path} is not replaced, because it is not just a recording")
