# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Reads SQLite files of rosbag2 (.db3) that are cut off: all that lies before the cut.

SQLite itself refuses such files, because the directory of a table may lie behind the break. Here
the rows are found in the pages that hold them. Source: "Database File Format" in SQLite's
documentation.
"""

import mmap
import sqlite3
import struct
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote

import numpy as np

from scenedino_ros.core.errors import BagError
from scenedino_ros.core.reading import open_file
from scenedino_ros.recordings.rosbag2.metadata import BagTopic, StoredMessage
from scenedino_ros.recordings.rosbag2.sqlite_file import journals_of, read_topics
from scenedino_ros.recordings.rosbag2.sqlite_guard import SqliteGuard

_HEADER_BYTES = 100
_TABLE_LEAF = 0x0D  # first byte of a page with rows; that of a row's further pages is 0
_ONE = 9  # type of the number 1, which takes no bytes
_INTEGER_BYTES = {1: 1, 2: 2, 3: 3, 4: 4, 5: 6, 6: 8, 8: 0, _ONE: 0}  # by type
_FIRST_BLOB = 12  # types from here on are blobs (even) and texts (odd) of (type - 12) // 2 bytes


class _Header(NamedTuple):
    page_bytes: int
    used_bytes: int  # of each page
    file_bytes: int  # that the whole file has


class _Row(NamedTuple):
    """A row of the table of messages: where its data lies among the row's pieces."""

    time_ns: int
    number: int
    topic: int
    data_at: int
    pieces: tuple[tuple[int, int], ...]  # first byte in the file, and behind the last


def is_cut_off(path: Path) -> bool:
    """Return whether a .db3 file is shorter than its header says and has no journal beside it.

    Raises:
        BagError: If it is no SQLite file.
    """
    return not journals_of(path) and path.stat().st_size < _read_header(path).file_bytes


class SqlitePrefix:
    """A .db3 file without its end, opened for reading.

    Attributes:
        path: The file.
        topics: The topics with the counts of the messages that are there.
        start_ns: Time of the first message; None: there are none.
        end_ns: Time of the last message.
        problems: A sentence on what is lost.
    """

    def __init__(self, path: Path) -> None:
        """Find all complete messages.

        Raises:
            BagError: If not even the list of topics is there.
        """
        self.path = path
        self._header = _read_header(path)
        with open_file(path) as file:
            self._file = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        size, expected = len(self._file), self._header.file_bytes
        self._links_left = size // self._header.page_bytes  # a page belongs to one row
        problem = f"{path.name} is cut off: it must have {expected} bytes, got {size}"
        rows = sorted(self._scan())
        try:
            self._topics = _topics(path, Counter(row.topic for row in rows))
        except sqlite3.Error as error:
            self.close()
            raise BagError(f"{problem}, without the list of its topics") from error
        self._rows = [row for row in rows if row.topic in self._topics]
        self._by_number = {row.number: row for row in self._rows}
        self.topics = list(self._topics.values())
        self.start_ns = self._rows[0].time_ns if self._rows else None
        self.end_ns = self._rows[-1].time_ns if self._rows else 0
        lost = round(len(self._rows) * (expected - size) / size)
        self.problems = [
            f"{problem}; {len(self._rows)} messages can be read, by the size about {lost} are lost"
        ]

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def messages(
        self, names: frozenset[str] | None, start: int, stop: int
    ) -> Iterator[StoredMessage]:
        """Yield messages in the order of time.

        Args:
            names: Topics to read; None: all.
            start: Earliest time, nanoseconds.
            stop: Time before which to end, nanoseconds.
        """
        for row in self._rows:
            wanted = names is None or self._topics[row.topic].name in names
            if wanted and start <= row.time_ns < stop:
                yield self.message_at(row.number, 0)

    def message_at(self, group: int, offset: int) -> StoredMessage:
        """Return the message at a place that `messages` gave: its row, and 0.

        Raises:
            BagError: If there is no message.
        """
        row = self._by_number.get(group)
        if row is None or offset:
            raise BagError(f"{self.path} has no message in row {group}")
        content = b"".join(self._file[begin:end] for begin, end in row.pieces)
        return StoredMessage(
            row.time_ns, self._topics[row.topic], content[row.data_at :], group, 0
        )

    def _scan(self) -> Iterator[_Row]:
        """Yield the complete rows of the table of messages."""
        page_bytes = self._header.page_bytes
        whole = len(self._file) // page_bytes * page_bytes
        first_bytes = np.frombuffer(self._file, np.uint8, whole)[::page_bytes]
        leaves = np.flatnonzero(first_bytes == _TABLE_LEAF).tolist()
        del first_bytes  # a view would keep the file open
        for leaf in leaves:
            page = leaf * page_bytes
            (count,) = struct.unpack_from(">H", self._file, page + 3)
            count = min(count, (page_bytes - 8) // 2)
            for cell in struct.unpack_from(f">{count}H", self._file, page + 8):
                try:
                    row = self._row(page + cell)
                except (IndexError, struct.error):
                    row = None  # damaged, it points beyond the cut
                if row is not None:
                    yield row

    def _row(self, cell: int) -> _Row | None:
        """Return the row at a byte of the file; None if it is incomplete or of another table."""
        size, after = _varint(self._file, cell)
        if size > len(self._file):
            return None
        number, begin = _varint(self._file, after)
        local = self._local_bytes(size)
        # A row of messages begins: length of this head, types of id (NULL), topic, time and data.
        head_end, at = _varint(self._file, begin)
        types = []
        while at < begin + min(head_end, 16):
            kind, at = _varint(self._file, at)
            types.append(kind)
        if len(types) != 4 or types[0] != 0 or types[3] < _FIRST_BLOB or types[3] % 2:
            return None
        topic_and_time = []
        for kind in types[1:3]:
            if kind not in _INTEGER_BYTES:
                return None
            stored = self._file[at : at + _INTEGER_BYTES[kind]]
            at += len(stored)
            topic_and_time.append(
                int.from_bytes(stored, "big", signed=True) if stored else int(kind == _ONE)
            )
        pieces = self._pieces(begin, local, size - local)
        if pieces is None:
            return None
        topic, time_ns = topic_and_time
        return _Row(time_ns, number, topic, at - begin, pieces)

    def _local_bytes(self, size: int) -> int:
        """Return how many of a row's bytes are in its own page."""
        used = self._header.used_bytes
        most, least = used - 35, (used - 12) * 32 // 255 - 23
        if size <= most:
            return size
        share = least + (size - least) % (used - 4)
        return share if share <= most else least

    def _pieces(self, begin: int, local: int, rest: int) -> tuple[tuple[int, int], ...] | None:
        """Return where a row's bytes lie, following its further pages; None if some are lost."""
        pieces = [(begin, begin + local)]
        link = begin + local  # where the number of the next page stands
        while rest > 0:
            (page,) = struct.unpack_from(">I", self._file, link)
            link = (page - 1) * self._header.page_bytes
            length = min(rest, self._header.used_bytes - 4)
            self._links_left -= 1
            if page < 1 or self._links_left < 0 or link + 4 + length > len(self._file):
                return None
            pieces.append((link + 4, link + 4 + length))
            rest -= length
        return tuple(pieces)


def _topics(path: Path, counts: Counter[int]) -> dict[int, BagTopic]:
    database = sqlite3.connect(f"file:{quote(str(path))}?mode=ro&immutable=1", uri=True)
    try:
        database.execute("PRAGMA writable_schema=ON")  # or the file's size is refused
        SqliteGuard(database, path, path.stat().st_size)
        return read_topics(database, counts)
    finally:
        database.close()


def _read_header(path: Path) -> _Header:
    """Read what a file says about itself: "The Database Header" of the format."""
    with open_file(path) as file:
        header = file.read(_HEADER_BYTES)
    if len(header) < _HEADER_BYTES or not header.startswith(b"SQLite format 3\0"):
        raise BagError(f"{path} cannot be read as a recording: it is no SQLite file")
    page_bytes, reserved = struct.unpack_from(">H", header, 16)[0], header[20]
    page_bytes = 65536 if page_bytes == 1 else page_bytes
    if page_bytes < 512 or page_bytes & (page_bytes - 1) or page_bytes - reserved < 480:
        raise BagError(f"{path} cannot be read as a recording: its header is damaged")
    (pages,) = struct.unpack_from(">I", header, 28)
    return _Header(page_bytes, page_bytes - reserved, pages * page_bytes)


def _varint(data: mmap.mmap, at: int) -> tuple[int, int]:
    """Return SQLite's number of one to nine bytes at a place, and the place behind it."""
    value = 0
    for place in range(at, at + 8):
        value = value << 7 | data[place] & 0x7F
        if data[place] < 0x80:
            return value, place + 1
    return value << 8 | data[at + 8], at + 9
