# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Time stamps inside serialized messages, read and replaced without decoding the message."""

import struct

from scenedino_ros.core.errors import InputError

# CDR begins with four bytes of which the second tells the byte order. In messages that begin with
# a std_msgs/Header, the stamp follows at once: seconds (int32), nanoseconds (uint32).
_STAMP_END = 12


def header_stamp_ns(data: bytes) -> int:
    """Return the stamp of a serialized message that begins with a Header, nanoseconds.

    Raises:
        InputError: If the bytes are no such message.
    """
    sec, nanosec = struct.unpack_from(_layout(data), data, 4)
    return sec * 1_000_000_000 + nanosec


def restamped(data: bytes, stamp_ns: int) -> bytes:
    """Return the serialized message with another stamp in its Header.

    Raises:
        InputError: If the bytes are no such message.
    """
    stamp = struct.pack(_layout(data), *divmod(stamp_ns, 1_000_000_000))
    return b"".join((data[:4], stamp, memoryview(data)[_STAMP_END:]))


def header_frame(data: bytes) -> str:
    """Return the frame_id of a serialized message that begins with a Header.

    Raises:
        InputError: If the bytes are no such message.
    """
    order = _layout(data)[0]
    try:
        (length,) = struct.unpack_from(order + "I", data, _STAMP_END)
        start = _STAMP_END + 4
        return bytes(data[start : start + length]).rstrip(b"\x00").decode()
    except (struct.error, UnicodeDecodeError) as error:
        raise InputError(f"a message of {len(data)} bytes has no readable header") from error


def _layout(data: bytes) -> str:
    if len(data) < _STAMP_END or data[0] != 0 or data[1] not in (0, 1):
        raise InputError(
            f"expected a serialized message that begins with a header, got {bytes(data[:4])!r}"
        )
    return "<iI" if data[1] else ">iI"
