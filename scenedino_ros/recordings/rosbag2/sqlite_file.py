# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Reads and writes SQLite files of rosbag2 (.db3)."""

import os
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from urllib.parse import quote

import yaml

from scenedino_ros.core.errors import BagError
from scenedino_ros.core.printable import printable
from scenedino_ros.core.reading import reading
from scenedino_ros.recordings.rosbag2.metadata import BagTopic, StoredMessage, parse_qos, qos_text
from scenedino_ros.recordings.rosbag2.sqlite_guard import SqliteGuard, refuse_super_journal

# What SQLite leaves beside a file whose writer did not close it.
_JOURNALS = ("-wal", "-journal")

# Tables of rosbag2_storage_sqlite3, schema version 4.
_SCHEMA = """
BEGIN;
CREATE TABLE schema(schema_version INTEGER PRIMARY KEY, ros_distro TEXT NOT NULL);
CREATE TABLE metadata(
  id INTEGER PRIMARY KEY, metadata_version INTEGER NOT NULL, metadata TEXT NOT NULL);
CREATE TABLE topics(
  id INTEGER PRIMARY KEY, name TEXT NOT NULL, type TEXT NOT NULL,
  serialization_format TEXT NOT NULL, offered_qos_profiles TEXT NOT NULL,
  type_description_hash TEXT NOT NULL);
CREATE TABLE message_definitions(
  id INTEGER PRIMARY KEY, topic_type TEXT NOT NULL, encoding TEXT NOT NULL,
  encoded_message_definition TEXT NOT NULL, type_description_hash TEXT NOT NULL);
CREATE TABLE messages(
  id INTEGER PRIMARY KEY, topic_id INTEGER NOT NULL, timestamp INTEGER NOT NULL,
  data BLOB NOT NULL);
CREATE INDEX timestamp_idx ON messages (timestamp ASC);
INSERT INTO schema(schema_version, ros_distro) VALUES (4, '');
COMMIT;
"""


class SqliteFile:
    """A .db3 file opened for reading.

    A file whose recorder was interrupted, with the journal beside it, is copied to a temporary
    folder and repaired there: reading must not change the recording.

    Attributes:
        path: The file.
        topics: The topics with their message counts.
        start_ns: Time of the first message; None: there are none.
        end_ns: Time of the last message.
        problems: Sentences on what is damaged or missing.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.problems: list[str] = []
        self.start_ns: int | None = None
        self.end_ns = 0
        self._copy: tempfile.TemporaryDirectory[str] | None = None
        self._database: sqlite3.Connection | None = None
        try:
            self._database = self._open()
            size = sum(file.stat().st_size for file in (path, *journals_of(path)))
            self._guard = SqliteGuard(self._database, path, size)
            self._topics = read_topics(self._database, self._count(self._database))
        except sqlite3.Error as error:
            self.close()
            raise BagError(f"{path} cannot be read as a recording: {error}") from error
        except BaseException:
            self.close()
            raise
        self.topics = list(self._topics.values())

    def close(self) -> None:
        """Close the file."""
        if self._database is not None:
            self._database.close()
            self._database = None
        if self._copy is not None:
            self._copy.cleanup()
            self._copy = None

    def messages(
        self, names: frozenset[str] | None, start: int, stop: int
    ) -> Iterator[StoredMessage]:
        """Yield messages in the order of time.

        Args:
            names: Topics to read; None: all.
            start: Earliest time, nanoseconds.
            stop: Time before which to end, nanoseconds.
        """
        if self._database is None:
            raise BagError(f"{self.path} is closed")
        numbers = [n for n, t in self._topics.items() if names is None or t.name in names]
        query = (
            "SELECT id, timestamp, topic_id FROM messages "
            f"WHERE topic_id IN ({','.join('?' * len(numbers))}) "
            "AND typeof(timestamp) = 'integer' AND timestamp >= ? AND timestamp < ? "
            "ORDER BY timestamp, id"
        )
        self._guard.begin()
        try:
            rows = self._database.execute(query, (*numbers, start, stop))
            for row, time_ns, number in rows:
                data = self._data(row)
                if data is not None:
                    yield StoredMessage(time_ns, self._topics[number], data, row, 0)
        except sqlite3.DatabaseError as error:
            self._report(error)

    def message_at(self, group: int, offset: int) -> StoredMessage:
        """Return the message at a place that `messages` gave: its row, and 0.

        Raises:
            BagError: If there is no message.
        """
        data = self._data(group)
        if data is None or self._database is None or offset:
            raise BagError(f"{self.path} has no message in row {group}")
        query = "SELECT timestamp, topic_id FROM messages WHERE id = ?"
        with reading(str(self.path), BagError):
            time_ns, number = self._database.execute(query, (group,)).fetchone()
            return StoredMessage(time_ns, self._topics[number], data, group, 0)

    def _data(self, row: int) -> bytes | None:
        """Return one message, None where its part of the file is damaged.

        Fetched on its own: a cursor that fails takes the row before with it.
        """
        found = None
        if self._database is not None:
            try:
                query = "SELECT data FROM messages WHERE id = ?"
                found = self._database.execute(query, (row,)).fetchone()
            except sqlite3.DatabaseError as error:
                self._report(error)
        return found[0] if found and isinstance(found[0], bytes) else None

    def _report(self, error: sqlite3.DatabaseError) -> None:
        problem = f"{self.path.name} is damaged: {error}"
        if problem not in self.problems:
            self.problems.append(problem)

    def _open(self) -> sqlite3.Connection:
        beside = journals_of(self.path)
        if not beside:
            uri = f"file:{quote(str(self.path))}?mode=ro&immutable=1"
            return sqlite3.connect(uri, uri=True, check_same_thread=False)
        for journal in beside:
            refuse_super_journal(journal)
        self._copy = tempfile.TemporaryDirectory(prefix="scenedino_bag_")
        for path in (self.path, *beside):
            shutil.copyfile(path, Path(self._copy.name, path.name))
        copied = Path(self._copy.name, self.path.name)
        return sqlite3.connect(copied, check_same_thread=False)

    def _count(self, database: sqlite3.Connection) -> dict[int, int]:
        """Return the number of messages by topic, and take in their first and last time."""
        counts = {}
        for number, count, first, last in database.execute(
            "SELECT topic_id, COUNT(*), MIN(timestamp), MAX(timestamp) FROM messages "
            "WHERE typeof(timestamp) = 'integer' GROUP BY topic_id"
        ):
            counts[number] = count
            self.start_ns = first if self.start_ns is None else min(self.start_ns, first)
            self.end_ns = max(self.end_ns, last)
        return counts


def read_topics(database: sqlite3.Connection, counts: Mapping[int, int]) -> dict[int, BagTopic]:
    """Return the topics by their number; later versions of rosbag2 added columns.

    Args:
        database: An opened .db3 file.
        counts: Number of messages by topic.
    """
    columns = {row[1] for row in database.execute("PRAGMA table_info(topics)")}
    definitions = {}
    if database.execute("PRAGMA table_info(message_definitions)").fetchall():
        rows = database.execute(
            "SELECT topic_type, encoding, encoded_message_definition FROM message_definitions"
        )
        definitions = {
            row[0]: row[1:]
            for row in rows
            if row[1] in ("ros2msg", "ros2idl") and isinstance(row[2], str)
        }
    wanted = ["id", "name", "type", "serialization_format"]
    optional = ["offered_qos_profiles", "type_description_hash"]
    selected = [*wanted, *(n if n in columns else f"'' AS {n}" for n in optional)]
    topics = {}
    for number, name, kind, serialization, qos, type_hash in database.execute(
        f"SELECT {', '.join(selected)} FROM topics ORDER BY id"
    ):
        encoding, definition = definitions.get(kind, ("", ""))
        topics[number] = BagTopic(
            name=printable(name),
            type=printable(kind),
            count=counts.get(number, 0),
            qos=parse_qos(qos),
            definition=definition,
            definition_format=encoding if definition else "",
            type_hash=str(type_hash),
            serialization=printable(serialization),
        )
    return topics


def journals_of(path: Path) -> list[Path]:
    """Return the journals beside a file: part of what it holds is in them."""
    beside = [path.with_name(path.name + suffix) for suffix in _JOURNALS]
    return [file for file in beside if file.is_file() and file.stat().st_size]


class SqliteWriter:
    """Writes one .db3 file.

    Attributes:
        path: The file.
        stored: How many messages are in the file.
    """

    storage = "sqlite3"
    suffix = ".db3"

    def __init__(self, path: Path) -> None:
        self.path = path
        # One thread writes at a time; which one is the caller's business.
        self._database = sqlite3.connect(path, check_same_thread=False)
        self._database.executescript(_SCHEMA)
        self._types: set[str] = set()
        self._topics = 0
        self._written = 0
        self.stored = 0

    def add_topic(self, topic: BagTopic) -> int:
        """Add a topic and return its number."""
        if topic.definition and topic.type not in self._types:
            self._types.add(topic.type)
            self._database.execute(
                "INSERT INTO message_definitions(topic_type, encoding, "
                "encoded_message_definition, type_description_hash) VALUES (?, ?, ?, ?)",
                (topic.type, topic.definition_format, topic.definition, topic.type_hash),
            )
        self._topics += 1
        self._database.execute(
            "INSERT INTO topics VALUES (?, ?, ?, ?, ?, ?)",
            (
                self._topics,
                topic.name,
                topic.type,
                topic.serialization,
                qos_text(topic.qos),
                topic.type_hash,
            ),
        )
        return self._topics

    def write(self, number: int, time_ns: int, data: bytes) -> None:
        """Write a message of the topic with the given number."""
        self._database.execute(
            "INSERT INTO messages(topic_id, timestamp, data) VALUES (?, ?, ?)",
            (number, time_ns, data),
        )
        self._written += 1

    def flush(self) -> None:
        """Hand every message written so far to the operating system."""
        self._database.commit()
        self.stored = self._written

    def abandon(self) -> None:
        """Close the file as it is; a file that is open keeps its space on the disk."""
        self._database.close()

    def close(self, metadata: dict[str, object]) -> None:
        """Write rosbag2's metadata and close the file."""
        self._database.execute(
            "INSERT INTO metadata(metadata_version, metadata) VALUES (?, ?)",
            (metadata["version"], yaml.safe_dump(metadata, sort_keys=False)),
        )
        self.flush()
        self._database.close()
        with self.path.open("rb") as file:
            os.fsync(file.fileno())
