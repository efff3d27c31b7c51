# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Serializes and reads `tf2_msgs/TFMessage` (CDR) without the package tf2_msgs."""

import struct
from collections.abc import Iterable

from scenedino_ros.core.errors import InputError
from scenedino_ros.recordings.transforms import StampedTransform

# The definition is one line, `geometry_msgs/TransformStamped[] transforms`. In OMG's CDR
# every primitive is aligned to its size, counted from after the 4-byte header (of DDS-RTPS).
_BYTE_ORDERS = {b"\x00\x00": ">", b"\x00\x01": "<"}
_HEADER_LITTLE_ENDIAN = b"\x00\x01\x00\x00"


def transforms_from_cdr(data: bytes) -> list[StampedTransform]:
    """Read a serialized TFMessage.

    Args:
        data: CDR bytes with their 4-byte encapsulation header, either byte order.

    Returns:
        Its transforms, in the order of the message; names and numbers are not checked here.

    Raises:
        InputError: If the encoding is another one, or the bytes end early.
    """
    order = _BYTE_ORDERS.get(bytes(data[:2]))
    if order is None:
        raise InputError(f"a TFMessage must be in plain CDR, got the header {bytes(data[:4])!r}")
    body = memoryview(data)[4:]
    transforms = []
    try:
        (count,) = struct.unpack_from(order + "I", body, 0)
        offset = 4
        for _ in range(count):
            sec, nanosec = struct.unpack_from(order + "iI", body, offset)
            parent, offset = _read_string(body, offset + 8, order)
            child, offset = _read_string(body, _aligned(offset, 4), order)
            offset = _aligned(offset, 8)
            numbers = struct.unpack_from(order + "7d", body, offset)
            offset += 56
            stamp_ns = sec * 1_000_000_000 + nanosec
            transforms.append(StampedTransform(parent, child, stamp_ns, numbers[:3], numbers[3:]))
    except (struct.error, UnicodeDecodeError) as error:
        raise InputError(f"a TFMessage of {len(data)} bytes is damaged: {error}") from None
    return transforms


def cdr_from_transforms(transforms: Iterable[StampedTransform]) -> bytes:
    """Write a serialized TFMessage.

    Args:
        transforms: The content of the message, in this order.

    Returns:
        Little-endian CDR bytes with their encapsulation header, ready to publish or record.

    Raises:
        InputError: If a stamp does not fit into the message's 32-bit seconds.
    """
    transforms = list(transforms)
    body = bytearray(struct.pack("<I", len(transforms)))
    for transform in transforms:
        sec, nanosec = divmod(transform.stamp_ns, 1_000_000_000)
        if not -(2**31) <= sec < 2**31:
            raise InputError(f"a stamp must fit into 32-bit seconds, got {sec} s")
        body += struct.pack("<iI", sec, nanosec)
        for name in (transform.parent, transform.child):
            text = name.encode() + b"\x00"
            body += bytes(_aligned(len(body), 4) - len(body))
            body += struct.pack("<I", len(text)) + text
        body += bytes(_aligned(len(body), 8) - len(body))
        body += struct.pack("<7d", *transform.translation, *transform.rotation)
    return _HEADER_LITTLE_ENDIAN + bytes(body)


def _read_string(body: memoryview, offset: int, order: str) -> tuple[str, int]:
    (length,) = struct.unpack_from(order + "I", body, offset)
    end = offset + 4 + length
    if end > len(body):
        raise struct.error(f"a name of {length} bytes reaches past the end")
    return bytes(body[offset + 4 : end]).rstrip(b"\x00").decode(), end


def _aligned(offset: int, size: int) -> int:
    return -(-offset // size) * size
