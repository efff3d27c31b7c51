# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Reads the header of a serialized message without decoding the rest: images are large."""

import struct

from scenedino_ros.core.errors import InputError

# A std_msgs/Header is a stamp and a string; see tf_cdr for the bytes before it.
_BYTE_ORDERS = {b"\x00\x00": ">", b"\x00\x01": "<"}
_STAMP = slice(4, 12)


def header_from_cdr(data: bytes) -> tuple[int, str]:
    """Read the header that a message begins with.

    Args:
        data: CDR bytes with their 4-byte encapsulation header, either byte order, of a message
            whose first field is a std_msgs/Header.

    Returns:
        Stamp in nanoseconds, and frame_id.

    Raises:
        InputError: If the encoding is another one, or the bytes end early.
    """
    order = _BYTE_ORDERS.get(bytes(data[:2]))
    if order is None:
        raise InputError(f"a message must be in plain CDR, got the header {bytes(data[:4])!r}")
    try:
        sec, nanosec, length = struct.unpack_from(order + "iII", data, 4)
        if 16 + length > len(data):
            raise struct.error(f"a name of {length} bytes reaches past the end")
        frame = bytes(data[16 : 16 + length]).rstrip(b"\x00").decode()
    except (struct.error, UnicodeDecodeError) as error:
        raise InputError(
            f"the header of a message of {len(data)} bytes is damaged: {error}"
        ) from None
    return sec * 1_000_000_000 + nanosec, frame


def without_stamp(data: bytes) -> bytes:
    """Return a serialized message without its stamp: equal for messages with the same content."""
    return data[: _STAMP.start] + data[_STAMP.stop :]
