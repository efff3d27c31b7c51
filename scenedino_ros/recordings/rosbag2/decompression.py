# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Decompresses zstd and lz4 up to a bound, whatever the sizes in the data say.

The libraries reserve the memory that a frame's header asks for; a flipped bit makes it gigabytes.
"""

import io
from pathlib import Path

import lz4.frame
import zstandard

from scenedino_ros.core.disk_space import bytes_in_words, free_bytes
from scenedino_ros.core.file_limits import decompression_bound, expansion_refused
from scenedino_ros.core.reading import UnreadableError, open_file

ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"
_PIECE = 1 << 20
_RESERVE = 256 << 20  # bytes of the disk that are left free


class ExpansionError(UnreadableError):
    """What is compressed has more bytes than `decompression_bound` allows."""


def decompress_zstd(data: bytes, most: int) -> bytes:
    """Return what a zstd frame holds; of a frame without its end, what is there.

    Args:
        data: The frame.
        most: Bound of the result, bytes.

    Raises:
        ExpansionError: If it holds more than is accepted.
        zstandard.ZstdError: If it is damaged.
    """
    bound = decompression_bound(len(data), most)
    result = bytearray()
    with zstandard.ZstdDecompressor().stream_reader(io.BytesIO(data)) as reader:
        while piece := reader.read(_PIECE):
            result += piece
            if len(result) > bound:
                raise ExpansionError(expansion_refused(len(data), bound))
    return bytes(result)


def decompress_lz4(data: bytes, most: int) -> bytes:
    """Return what an lz4 frame holds; of a frame without its end, what is there.

    Args:
        data: The frame.
        most: Bound of the result, bytes.

    Raises:
        ExpansionError: If it holds more than is accepted.
        RuntimeError: If it is damaged.
    """
    size, bound = len(data), decompression_bound(len(data), most)
    decompressor = lz4.frame.LZ4FrameDecompressor()
    result = bytearray()
    while not decompressor.eof:
        piece = decompressor.decompress(data, _PIECE)
        data = b""  # the decompressor keeps what it has not used
        result += piece
        if len(result) > bound:
            raise ExpansionError(expansion_refused(size, bound))
        if not piece and decompressor.needs_input:
            break
    return bytes(result)


def decompress_file(source: Path, target: Path) -> str:
    """Decompress a zstd file into another.

    Args:
        source: The file.
        target: Gets the content; of a damaged file, what comes before the damage.

    Returns:
        Why there is no more, empty where all is there.

    Raises:
        ExpansionError: If it holds more than is accepted, or than the disk has room for.
        OSError: If a file cannot be read or written.
    """
    with open_file(source) as compressed, target.open("wb") as sink:
        size = source.stat().st_size
        bound = decompression_bound(size)
        room = max(free_bytes(target.parent) - _RESERVE, 0)
        reader = zstandard.ZstdDecompressor().stream_reader(compressed, read_across_frames=True)
        written = 0
        try:
            while piece := reader.read(_PIECE):
                written += len(piece)
                if written > bound:
                    raise ExpansionError(expansion_refused(size, bound))
                if written > room:
                    raise ExpansionError(
                        f"the disk of {target.parent} has no room for it: {bytes_in_words(room)} "
                        "are enough for a part; set TMPDIR to a folder of another disk"
                    )
                sink.write(piece)
        except zstandard.ZstdError as error:
            return str(error)
    return ""
