# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""The records of MCAP files (https://mcap.dev/spec) in a buffer, and the chunks that hold them."""

import struct
import zlib
from collections.abc import Iterator

from mcap.opcode import Opcode

from scenedino_ros.core.file_limits import CHUNK_BYTES
from scenedino_ros.core.reading import reason_of
from scenedino_ros.recordings.rosbag2.decompression import decompress_lz4, decompress_zstd

MAGIC = b"\x89MCAP0\r\n"
RECORD = struct.Struct("<BQ")  # opcode, length of what follows
MESSAGE = struct.Struct("<HIQQ")  # channel, sequence, log time, publish time
_CHUNK = struct.Struct("<QQQII")  # first and last time, size, checksum, length of codec's name


def records_in(records: bytes) -> Iterator[tuple[int, int, int]]:
    """Yield (opcode, begin, end) of the bodies of the complete records in a buffer."""
    position = 0
    while position + RECORD.size <= len(records):
        opcode, length = RECORD.unpack_from(records, position)
        begin = position + RECORD.size
        position = begin + length
        if position > len(records):
            return
        yield opcode, begin, position


def messages_in(records: bytes) -> Iterator[tuple[int, int]]:
    """Yield (begin, end) of the bodies of the complete message records in a buffer."""
    for opcode, begin, end in records_in(records):
        if opcode == Opcode.MESSAGE and end - begin >= MESSAGE.size:
            yield begin, end


def records_of_chunk(chunk: bytes) -> bytes:
    """Return the records in a chunk record, decompressed.

    Of a chunk that the end of the file cuts off, these are the first ones.

    Raises:
        ValueError: If it is no chunk, or its size, checksum or compression is wrong.
    """
    if chunk[:1] != bytes([Opcode.CHUNK]):
        raise ValueError("there is no chunk there")
    try:
        head = _CHUNK.unpack_from(chunk, RECORD.size)
        data_at = RECORD.size + _CHUNK.size + head[4] + 8
        codec = chunk[data_at - 8 - head[4] : data_at - 8].decode()
        (size,) = struct.unpack_from("<Q", chunk, data_at - 8)
        data = chunk[data_at : data_at + size]
        records = _decompress(data, codec)
    except Exception as error:  # damaged data makes a decompressor raise anything
        raise ValueError(reason_of(error)) from error
    if len(data) < size:
        return records
    if len(records) != head[2] or (head[3] and zlib.crc32(records) != head[3]):
        raise ValueError("its size or checksum is wrong")
    return records


def _decompress(data: bytes, codec: str) -> bytes:
    """Return the records in compressed data; of data whose end is missing, the first ones."""
    if codec == "zstd":
        return decompress_zstd(data, CHUNK_BYTES)
    if codec == "lz4":
        return decompress_lz4(data, CHUNK_BYTES)
    if codec:
        raise ValueError(f"unknown compression '{codec}'")
    return data
