# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Writes MCAP files as rosbag2 does; what was flushed survives the end of the process.

Format: https://mcap.dev/spec, with the ``ros2`` profile, which Foxglove and rosbag2 read. The
mcap package knows the records; its own writer cannot be told to put an unfinished chunk on disk.
"""

import os
import struct
import zlib
from collections import Counter, defaultdict
from pathlib import Path

import yaml
import zstandard
from mcap.data_stream import RecordBuilder
from mcap.opcode import Opcode
from mcap.records import (
    Channel,
    Chunk,
    ChunkIndex,
    DataEnd,
    Footer,
    Header,
    McapRecord,
    MessageIndex,
    Metadata,
    MetadataIndex,
    Schema,
    Statistics,
    SummaryOffset,
)

from scenedino_ros.recordings.rosbag2.mcap_records import MAGIC
from scenedino_ros.recordings.rosbag2.metadata import BagTopic, qos_text

_MESSAGE_RECORD = struct.Struct("<BQHIQQ")  # opcode, length, channel, sequence, two times
_MESSAGE_HEAD = 22  # bytes of a message record before its data
_CHUNK_BYTES = 1 << 20  # a chunk is closed when it is larger
_COMPRESSION_LEVEL = 1  # zstd's fastest ordinary level: a recorder must keep up with cameras


class McapWriter:
    """Writes one MCAP file with zstd chunks.

    Attributes:
        path: The file.
        stored: How many messages are in the file; those of the chunk that grows are not yet.
    """

    storage = "mcap"
    suffix = ".mcap"

    def __init__(self, path: Path) -> None:
        self.path = path
        # Without a buffer, a write that fails leaves nothing to be written later.
        self._file = path.open("xb", buffering=0)
        self.stored = 0
        self._schemas: dict[tuple[str, str], Schema] = {}
        self._channels: list[Channel] = []
        self._indexes: list[ChunkIndex] = []
        self._counts: Counter[int] = Counter()
        self._times: list[int] = []  # first and last of the file
        self._compressor = zstandard.ZstdCompressor(level=_COMPRESSION_LEVEL)
        self._begin_chunk()
        self._append(MAGIC + _bytes_of(Header(profile="ros2", library="scenedino_ros")))

    def add_topic(self, topic: BagTopic) -> int:
        """Add a topic and return its number."""
        key = (topic.type, topic.definition)
        if key not in self._schemas:
            schema = Schema(
                id=len(self._schemas) + 1,
                name=topic.type,
                encoding=topic.definition_format,
                data=topic.definition.encode(),
            )
            self._schemas[key] = schema
            self._chunk += _bytes_of(schema)
        channel = Channel(
            id=len(self._channels) + 1,
            topic=topic.name,
            message_encoding=topic.serialization,
            schema_id=self._schemas[key].id,
            metadata={
                "offered_qos_profiles": qos_text(topic.qos),
                "topic_type_hash": topic.type_hash,
            },
        )
        self._channels.append(channel)
        self._chunk += _bytes_of(channel)
        return channel.id

    def write(self, number: int, time_ns: int, data: bytes) -> None:
        """Write a message of the topic with the given number."""
        offset = len(self._chunk)
        length = _MESSAGE_HEAD + len(data)
        head = _MESSAGE_RECORD.pack(
            Opcode.MESSAGE, length, number, self._counts[number], time_ns, time_ns
        )
        self._chunk += b"".join((head, data))
        self._entries[number].append((time_ns, offset))
        self._counts[number] += 1
        if len(self._chunk) >= _CHUNK_BYTES:
            self.flush()

    def flush(self) -> None:
        """Hand every message written so far to the operating system."""
        if self._entries:
            self._end_chunk()

    def close(self, metadata: dict[str, object]) -> None:
        """Write what is left, then the index, and close the file.

        Args:
            metadata: What rosbag2 keeps about the recording, see `bag_metadata.metadata_map`.
        """
        if self._chunk:
            self._end_chunk()
        text = yaml.safe_dump(metadata, sort_keys=False)
        metadata_at = self._file.tell()
        self._append(_bytes_of(Metadata("rosbag2", {"serialized_metadata": text})))
        metadata_index = MetadataIndex(
            offset=metadata_at, length=self._file.tell() - metadata_at, name="rosbag2"
        )
        self._append(_bytes_of(DataEnd(data_section_crc=0)))
        self._append(self._summary(metadata_index) + MAGIC)
        os.fsync(self._file.fileno())
        self._file.close()

    def abandon(self) -> None:
        """Close the file as it is; a file that is open keeps its space on the disk."""
        self._file.close()

    def _begin_chunk(self) -> None:
        self._chunk = bytearray()
        self._entries: defaultdict[int, list[tuple[int, int]]] = defaultdict(list)

    def _end_chunk(self) -> None:
        """Write the pending records as a chunk, followed by an index of its messages."""
        times = [time_ns for entries in self._entries.values() for time_ns, _ in entries]
        first, last = (min(times), max(times)) if times else (0, 0)
        if times:
            self._times = [min([first, *self._times]), max([last, *self._times])]
        compressed = self._compressor.compress(self._chunk)
        chunk_at = self._file.tell()
        records = _bytes_of(
            Chunk(
                compression="zstd",
                data=compressed,
                message_start_time=first,
                message_end_time=last,
                uncompressed_crc=zlib.crc32(self._chunk),
                uncompressed_size=len(self._chunk),
            )
        )
        index_at = chunk_at + len(records)
        offsets = {}
        for number, entries in self._entries.items():
            offsets[number] = chunk_at + len(records)
            records += _bytes_of(MessageIndex(channel_id=number, records=entries))
        self._append(records)
        self.stored += sum(map(len, self._entries.values()))
        self._indexes.append(
            ChunkIndex(
                chunk_start_offset=chunk_at,
                chunk_length=index_at - chunk_at,
                compression="zstd",
                compressed_size=len(compressed),
                uncompressed_size=len(self._chunk),
                message_start_time=first,
                message_end_time=last,
                message_index_offsets=offsets,
                message_index_length=chunk_at + len(records) - index_at,
            )
        )
        self._begin_chunk()

    def _summary(self, metadata_index: MetadataIndex) -> bytes:
        """Return the summary section and the footer with its checksum."""
        statistics = Statistics(
            message_count=sum(self._counts.values()),
            schema_count=len(self._schemas),
            channel_count=len(self._channels),
            attachment_count=0,
            metadata_count=1,
            chunk_count=len(self._indexes),
            message_start_time=self._times[0] if self._times else 0,
            message_end_time=self._times[1] if self._times else 0,
            channel_message_counts=dict(self._counts),
        )
        groups: list[tuple[Opcode, list[McapRecord]]] = [
            (Opcode.SCHEMA, list(self._schemas.values())),
            (Opcode.CHANNEL, list(self._channels)),
            (Opcode.STATISTICS, [statistics]),
            (Opcode.CHUNK_INDEX, list(self._indexes)),
            (Opcode.METADATA_INDEX, [metadata_index]),
        ]
        summary_at = self._file.tell()
        summary, offsets = b"", []
        for opcode, records in groups:
            group = b"".join(map(_bytes_of, records))
            offsets.append(SummaryOffset(opcode, summary_at + len(summary), len(group)))
            summary += group
        offsets_at = summary_at + len(summary)
        summary += b"".join(_bytes_of(offset) for offset in offsets if offset.group_length)
        # The checksum covers the summary and the footer up to the checksum itself.
        unsigned = _bytes_of(Footer(summary_at, offsets_at, summary_crc=0))[:-4]
        return summary + _bytes_of(Footer(summary_at, offsets_at, zlib.crc32(summary + unsigned)))

    def _append(self, content: bytes) -> None:
        """Write whole records, or none of them where the disk is full."""
        end, rest = self._file.tell(), memoryview(content)
        try:
            while rest:
                rest = rest[self._file.write(rest) :]
        except OSError as error:
            self._file.truncate(end)
            self._file.seek(end)
            error.filename = str(self.path)
            raise


def _bytes_of(record: McapRecord) -> bytes:
    builder = RecordBuilder()
    record.write(builder)
    return builder.end()
