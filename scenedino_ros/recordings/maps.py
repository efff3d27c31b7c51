# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Label and depth maps from the messages that carry them."""

import struct
from typing import Any

import numpy as np

from scenedino_ros.cameras.image_file import decode_image
from scenedino_ros.core.errors import InputError

_RAW_TYPES: dict[str, type[np.generic]] = {
    "mono8": np.uint8,
    "8UC1": np.uint8,
    "16UC1": np.uint16,
    "mono16": np.uint16,
    "32FC1": np.float32,
    "64FC1": np.float64,
}
# compressed_depth_image_transport puts a format and two numbers in front of the PNG.
_DEPTH_HEADER = struct.Struct("<iff")


def label_from_message(msg: Any) -> np.ndarray:
    """Return the (H, W) uint8 class ids of an Image (mono8) or CompressedImage (PNG).

    Raises:
        InputError: If the message holds anything but one byte per pixel.
    """
    values = _plane(msg)
    if values.dtype != np.uint8:
        raise InputError(f"a label map must have one byte per pixel, got {values.dtype}")
    return values


def depth_from_message(msg: Any) -> np.ndarray:
    """Return the (H, W) float32 z-depth in metres, 0 where unknown.

    Args:
        msg: An Image (16UC1 millimetres, 32FC1 or 64FC1 metres) or a CompressedImage (16-bit PNG
            of millimetres, or what compressed_depth_image_transport makes a PNG of).

    Raises:
        InputError: If the message holds anything else.
    """
    if "compressedDepth" in getattr(msg, "format", ""):
        values = _unpacked_depth(msg)
    else:
        values = _plane(msg)
    if values.dtype == np.uint16:
        return values.astype(np.float32) / 1000.0
    if values.dtype == np.float64:
        values = values.astype(np.float32)
    if values.dtype != np.float32:
        raise InputError(
            f"a depth map must be uint16 millimetres or float32 metres, got {values.dtype}"
        )
    return np.where(np.isfinite(values) & (values > 0), values, np.float32(0))


def _unpacked_depth(msg: Any) -> np.ndarray:
    """Return uint16 millimetres or float32 metres of compressed_depth_image_transport.

    Source: its codec; 32FC1 is kept as the quantised inverse ``a / depth + b``, 0 where unknown.
    """
    data = np.frombuffer(msg.data, dtype=np.uint8)
    refused = f"compressed depth must be a 16-bit PNG, got '{msg.format}' of {data.size} bytes"
    if data.size <= _DEPTH_HEADER.size:
        raise InputError(refused)
    try:
        values = decode_image(data[_DEPTH_HEADER.size :], "it")
    except InputError as error:
        raise InputError(f"{refused}: {error}") from error
    if values.ndim != 2 or values.dtype != np.uint16:
        raise InputError(refused)
    if not msg.format.startswith("32FC1"):
        return np.asarray(values)
    _, a, b = _DEPTH_HEADER.unpack_from(data.tobytes())
    inverse = values.astype(np.float32) - np.float32(b)
    known = (values > 0) & (inverse > 0)
    return np.where(known, np.float32(a) / np.where(known, inverse, 1), 0).astype(np.float32)


def _plane(msg: Any) -> np.ndarray:
    """Return the (H, W) values of a message of one channel."""
    data = np.frombuffer(msg.data, dtype=np.uint8)
    if hasattr(msg, "format"):
        values = decode_image(data, f"map ('{msg.format}')") if data.size else None
        if values is None or values.ndim != 2:
            raise InputError(
                f"a map must be an image of one channel, got '{msg.format}' of {data.size} bytes"
            )
        return np.asarray(values)
    kind = np.dtype(_RAW_TYPES.get(msg.encoding, "V"))
    if kind.itemsize == 0:
        raise InputError(f"a map must have one channel, got encoding '{msg.encoding}'")
    height, width, step = int(msg.height), int(msg.width), int(msg.step)
    if data.size != height * step or step < width * kind.itemsize:
        raise InputError(
            f"a map of {width} x {height} px of {msg.encoding} must have rows of "
            f"{width * kind.itemsize} bytes, got {data.size} bytes with step {step}"
        )
    order = kind.newbyteorder(">" if msg.is_bigendian else "<")
    plane: np.ndarray = np.ndarray((height, width), order, data, strides=(step, kind.itemsize))
    return plane.astype(kind)
