# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Reads MCAP files, also those of an interrupted recorder.

The mcap package parses the records of the format (https://mcap.dev/spec). Unlike its reader, this
one also reads files without an index, without an end, or with an incomplete chunk.
"""

import heapq
import itertools
import os
import struct
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import NamedTuple

from mcap.data_stream import ReadDataStream
from mcap.opcode import Opcode
from mcap.records import Channel, ChunkIndex, Schema, Statistics

from scenedino_ros.core.errors import BagError
from scenedino_ros.core.file_limits import WAITING_BYTES
from scenedino_ros.core.printable import printable
from scenedino_ros.core.reading import open_file, reading, reason_of
from scenedino_ros.recordings.rosbag2.mcap_records import (
    MAGIC,
    MESSAGE,
    RECORD,
    messages_in,
    records_in,
    records_of_chunk,
)
from scenedino_ros.recordings.rosbag2.metadata import BagTopic, StoredMessage, parse_qos, type_name

_FOOTER_BYTES = RECORD.size + 20 + len(MAGIC)
_RUN_BYTES = 4 << 20  # messages outside chunks are read in runs of about this size


class Span(NamedTuple):
    """Where in the file a group of records lies.

    Attributes:
        start_ns: Time of its first message.
        end_ns: Time of its last message.
        offset: Of the chunk record, or of the first record outside chunks.
        length: Bytes from there.
        is_chunk: A chunk record, not a run of records.
        channels: Channels with messages in it; empty: not known.
    """

    start_ns: int
    end_ns: int
    offset: int
    length: int
    is_chunk: bool
    channels: frozenset[int] = frozenset()


@dataclass
class _Contents:
    """What a file holds: its topics by channel, their counts, and where the messages lie."""

    schemas: dict[int, Schema]
    channels: dict[int, Channel]
    counts: Counter[int]
    spans: list[Span]
    start_ns: int | None = None
    end_ns: int = 0

    @classmethod
    def empty(cls) -> "_Contents":
        return cls({}, {}, Counter(), [])

    def add(self, opcode: int, body: bytes) -> None:
        """Add a schema or a channel."""
        stream = ReadDataStream(BytesIO(body))
        if opcode == Opcode.SCHEMA:
            schema = Schema.read(stream)
            self.schemas[schema.id] = schema
        elif opcode == Opcode.CHANNEL:
            channel = Channel.read(stream)
            self.channels[channel.id] = channel

    def count(self, channel: int, time_ns: int) -> None:
        """Count a message."""
        self.counts[channel] += 1
        self.start_ns = time_ns if self.start_ns is None else min(self.start_ns, time_ns)
        self.end_ns = max(self.end_ns, time_ns)


class McapFile:
    """An MCAP file opened for reading.

    Attributes:
        path: The file.
        topics: One entry per channel.
        start_ns: Time of the first message; None: there are none.
        end_ns: Time of the last message.
        problems: Sentences on what is damaged or missing.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.problems: list[str] = []
        self._file = open_file(path)
        try:
            with reading(str(path), BagError):
                self._size = os.fstat(self._file.fileno()).st_size
                if self._file.read(len(MAGIC)) != MAGIC:
                    raise BagError(
                        f"{path} is not an MCAP file: it does not begin with MCAP's mark"
                    )
                contents = self._indexed() or self._scanned()
                self._topics = {
                    number: _topic_of(channel, contents.schemas, contents.counts[number])
                    for number, channel in contents.channels.items()
                }
        except BaseException:
            self._file.close()
            raise
        self._spans = sorted(contents.spans)
        self._span_at = {span.offset: span for span in self._spans}
        self._loaded: tuple[int, bytes] = (-1, b"")
        self.topics = list(self._topics.values())
        self.start_ns, self.end_ns = contents.start_ns, contents.end_ns

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
        wanted = {
            number: topic
            for number, topic in self._topics.items()
            if names is None or topic.name in names
        }
        waiting: list[tuple[int, int, StoredMessage]] = []
        held = 0  # bytes
        serial = itertools.count()
        for span in self._spans:
            # Chunks may overlap in time: whatever is older than this one can go out.
            while waiting and (waiting[0][0] < span.start_ns or held > WAITING_BYTES):
                if waiting[0][0] >= span.start_ns:
                    self._report(f"{self.path.name}: messages are not in the order of time")
                held -= len(waiting[0][2].data)
                yield heapq.heappop(waiting)[2]
            if span.end_ns < start or span.start_ns >= stop:
                continue
            if span.channels and span.channels.isdisjoint(wanted):
                continue
            records = self._load(span)
            for begin, end in messages_in(records):
                number, _, time_ns, _ = MESSAGE.unpack_from(records, begin)
                if number in wanted and start <= time_ns < stop:
                    data = records[begin + MESSAGE.size : end]
                    stored = StoredMessage(time_ns, wanted[number], data, span.offset, begin)
                    held += len(data)
                    heapq.heappush(waiting, (time_ns, next(serial), stored))
        while waiting:
            yield heapq.heappop(waiting)[2]

    def message_at(self, group: int, offset: int) -> StoredMessage:
        """Return the message at a place that `messages` gave.

        The group read last stays in memory, because neighbours in time are neighbours in the file.

        Args:
            group: Where its span begins in the file.
            offset: Of its body in the (decompressed) span.

        Raises:
            BagError: If there is no message.
        """
        span = self._span_at.get(group)
        if span is not None and self._loaded[0] != group:
            self._loaded = (group, self._load(span))
        _, records = self._loaded
        if span is None or not RECORD.size <= offset <= len(records) - MESSAGE.size:
            raise BagError(f"{self.path} has no message {offset} bytes into the group at {group}")
        _, length = RECORD.unpack_from(records, offset - RECORD.size)
        number, _, time_ns, _ = MESSAGE.unpack_from(records, offset)
        data = records[offset + MESSAGE.size : offset + length]
        return StoredMessage(time_ns, self._topics[number], data, group, offset)

    def _indexed(self) -> _Contents | None:
        """Return the contents according to the file's summary, None if that is incomplete."""
        if self._size < len(MAGIC) + _FOOTER_BYTES:
            return None
        self._file.seek(-_FOOTER_BYTES, os.SEEK_END)
        footer = self._file.read(_FOOTER_BYTES)
        opcode, length = RECORD.unpack_from(footer)
        if not footer.endswith(MAGIC) or opcode != Opcode.FOOTER or length != 20:
            return None
        (summary_start,) = struct.unpack_from("<Q", footer, RECORD.size)
        if not len(MAGIC) <= summary_start < self._size - _FOOTER_BYTES:
            return None
        self._file.seek(summary_start)
        summary = self._file.read(self._size - _FOOTER_BYTES - summary_start)
        contents, chunks, statistics = _Contents.empty(), [], None
        try:
            for opcode, begin, end in records_in(summary):
                body = summary[begin:end]
                contents.add(opcode, body)
                if opcode == Opcode.CHUNK_INDEX:
                    chunks.append(ChunkIndex.read(ReadDataStream(BytesIO(body))))
                elif opcode == Opcode.STATISTICS:
                    statistics = Statistics.read(ReadDataStream(BytesIO(body)))
        except Exception:  # a damaged index can raise anything; the records are read instead
            return None
        if statistics is None or not _is_complete(contents, chunks, statistics, summary_start):
            return None
        contents.counts.update(statistics.channel_message_counts)
        contents.spans = [
            Span(
                chunk.message_start_time,
                chunk.message_end_time,
                chunk.chunk_start_offset,
                chunk.chunk_length,
                True,
                frozenset(chunk.message_index_offsets),
            )
            for chunk in chunks
        ]
        if statistics.message_count:
            contents.start_ns = statistics.message_start_time
            contents.end_ns = statistics.message_end_time
        return contents

    def _scanned(self) -> _Contents:
        """Return the contents by reading the file from its start, up to where it is cut off."""
        contents = _Contents.empty()
        position, finished = len(MAGIC), False
        run: _Run | None = None
        while position < self._size and not finished:
            self._file.seek(position)
            head = self._file.read(RECORD.size)
            if len(head) < RECORD.size:
                break
            opcode, length = RECORD.unpack(head)
            end = position + RECORD.size + length
            if opcode == Opcode.CHUNK:
                self._scan_chunk(contents, Span(0, 0, position, end - position, True))
            if opcode == 0 or end > self._size:
                break
            if opcode in (Opcode.SCHEMA, Opcode.CHANNEL):
                self._add(contents, opcode, self._file.read(length), position)
            elif opcode == Opcode.MESSAGE and length >= MESSAGE.size:
                number, _, time_ns, _ = MESSAGE.unpack(self._file.read(MESSAGE.size))
                contents.count(number, time_ns)
                run = run or _Run(position, time_ns, time_ns)
                run.extend(end, time_ns)
            if run and (opcode != Opcode.MESSAGE or end - run.offset > _RUN_BYTES):
                contents.spans.append(run.span())
                run = None
            finished = opcode in (Opcode.DATA_END, Opcode.FOOTER)
            position = end
        if run:
            contents.spans.append(run.span())
        count = sum(contents.counts.values())
        if not finished and position < self._size:
            self.problems.append(
                f"{self.path.name} is cut off: of its {self._size} bytes those from byte "
                f"{position} on cannot be read; {count} messages could be read, and only a "
                "metadata.yaml contains how many there were"
            )
        elif not finished:
            self.problems.append(
                f"{self.path.name} was not closed by its recorder; {count} messages could be read"
            )
        return contents

    def _scan_chunk(self, contents: _Contents, span: Span) -> None:
        """Add the contents of a chunk; of a chunk that is cut off, its first part."""
        records = self._load(span)
        times = []
        for opcode, begin, end in records_in(records):
            if opcode == Opcode.MESSAGE and end - begin >= MESSAGE.size:
                number, _, time_ns, _ = MESSAGE.unpack_from(records, begin)
                contents.count(number, time_ns)
                times.append(time_ns)
            else:
                self._add(contents, opcode, records[begin:end], span.offset)
        if times:
            contents.spans.append(span._replace(start_ns=min(times), end_ns=max(times)))

    def _add(self, contents: _Contents, opcode: int, body: bytes, position: int) -> None:
        """Add a schema or a channel, and note one that is damaged."""
        try:
            contents.add(opcode, body)
        except Exception as error:  # a damaged record can raise anything
            self._report(
                f"{self.path.name}: a topic or type at byte {position} is left out, because its "
                f"record is damaged ({reason_of(error)})"
            )

    def _load(self, span: Span) -> bytes:
        """Return the records of a span, decompressed; b"" if they are damaged."""
        self._file.seek(span.offset)
        # A file object reserves what it is asked for, and a length may be damaged.
        raw = self._file.read(min(span.length, self._size - span.offset))
        if not span.is_chunk:
            return raw
        try:
            return records_of_chunk(raw)
        except ValueError as error:
            self._report(
                f"{self.path.name}: the chunk at byte {span.offset} is left out, because it "
                f"cannot be read ({error})"
            )
            return b""

    def _report(self, problem: str) -> None:
        if problem not in self.problems:
            self.problems.append(problem)


@dataclass
class _Run:
    """A run of message records outside chunks."""

    offset: int
    start_ns: int
    end_ns: int
    end: int = 0

    def extend(self, end: int, time_ns: int) -> None:
        self.end = end
        self.start_ns, self.end_ns = min(self.start_ns, time_ns), max(self.end_ns, time_ns)

    def span(self) -> Span:
        return Span(self.start_ns, self.end_ns, self.offset, self.end - self.offset, False)


def _is_complete(
    contents: _Contents, chunks: list[ChunkIndex], statistics: Statistics, data_end: int
) -> bool:
    """Return whether a summary lists all that its statistics count."""
    channels = contents.channels
    places = sorted((c.chunk_start_offset, c.chunk_length) for c in chunks)
    ends = [len(MAGIC), *(start + length for start, length in places)]
    return (
        len(chunks) == statistics.chunk_count
        and (bool(chunks) or not statistics.message_count)
        and len(channels) == statistics.channel_count
        and sum(statistics.channel_message_counts.values()) == statistics.message_count
        and all(c.schema_id == 0 or c.schema_id in contents.schemas for c in channels.values())
        and ends[-1] <= data_end
        # Chunks that overlap would be read again and again.
        and all(end <= start for end, (start, _) in zip(ends, places, strict=False))
    )


def _topic_of(channel: Channel, schemas: dict[int, Schema], count: int) -> BagTopic:
    schema = schemas.get(channel.schema_id)
    known = schema is not None and schema.encoding in ("ros2msg", "ros2idl") and schema.data
    return BagTopic(
        name=printable(channel.topic),
        type=printable(type_name(schema.name)) if schema else "",
        count=count,
        qos=parse_qos(channel.metadata.get("offered_qos_profiles")),
        definition=schema.data.decode(errors="replace") if schema and known else "",
        definition_format=schema.encoding if schema and known else "",
        type_hash=channel.metadata.get("topic_type_hash", ""),
        serialization=printable(channel.message_encoding),
    )
