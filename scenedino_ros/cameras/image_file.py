# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Decodes image files (JPEG, PNG, TIFF, ...), from cameras or from folders; encodes PNG.

Decoders silently fill missing parts of a JPEG with grey, and some refuse a JPEG that only lacks
its end mark, which many cameras omit. Therefore this module checks that a JPEG has all its rows:
it decodes the file again with other bytes before the end mark. They change the pixels that were
missing, and no others.
"""

import io

import cv2
import numpy as np
from PIL import Image

from scenedino_ros.cameras.image_header import image_size
from scenedino_ros.core.errors import InputError

_START, _END, _SCAN = b"\xff\xd8", b"\xff\xd9", b"\xff\xda"
_PROGRESSIVE = (0xC2, 0xC6, 0xCA, 0xCE)
_STANDALONE = (0x01, *range(0xD0, 0xD9))  # markers without a segment
_PNG, _PNG_END = b"\x89PNG\r\n\x1a\n", b"\0\0\0\0IEND\xaeB`\x82"
# No 0xFF, which would begin a marker; long enough to fill a block whatever the code words are.
_OTHER_BYTES = bytes(range(7, 251, 3)) * 4
_FILL = 128  # value of missing blocks after decoding, in every channel


def decode_image(content: np.ndarray, name: str) -> np.ndarray:
    """Return the pixels of an image file as they are stored; EXIF rotation is not applied.

    Args:
        content: (N,) uint8, the file.
        name: Name of the file in errors.

    Returns:
        (H, W) grey, (H, W, 3) BGR or (H, W, 4) BGRA, of 8 or 16 bits.

    Raises:
        InputError: If the file is empty, is not an image, is too large (see `image_size`), or
            lacks rows.
    """
    if content.size == 0:
        raise InputError(f"{name} is empty, got 0 bytes")
    data = content.tobytes()
    size = image_size(data, name)
    whole, is_jpeg = data, data.startswith(_START)
    if is_jpeg:
        end, doubtful = _end_of_jpeg(data)
        if end < 0:
            end, doubtful = len(data), True
            whole = data.rstrip(b"\xff") + _END  # a last 0xFF is half of a marker
    elif data.startswith(_PNG) and _PNG_END[4:8] not in data:
        whole = data + _PNG_END
    try:
        pixels = cv2.imdecode(np.frombuffer(whole, np.uint8), cv2.IMREAD_UNCHANGED)
    except cv2.error as error:
        raise InputError(
            f"{name} of {content.size} bytes cannot be decoded: {error.err}"
        ) from error
    if pixels is None:
        known = data.startswith((_START, _PNG))
        what = ", but is damaged or cut off" if known else ", but cannot be decoded"
        raise InputError(f"{name} of {content.size} bytes must be a picture{what}")
    if pixels.shape[1::-1] != size:
        raise InputError(
            f"{name} must have the size of its header, {size.width} x {size.height} px, got "
            f"{pixels.shape[1]} x {pixels.shape[0]} px"
        )
    if pixels.dtype not in (np.uint8, np.uint16):
        raise InputError(f"{name} must have 8 or 16 bits per value, got {pixels.dtype}")
    if is_jpeg and (doubtful or (pixels[-1, -1] == _FILL).all()):
        rows = _rows_of_jpeg(data[:end])
        if rows < pixels.shape[0]:
            raise InputError(
                f"{name} of {content.size} bytes must hold {pixels.shape[0]} rows of pixels, but "
                f"is cut off after {rows}"
            )
    return pixels


def encode_png(pixels: np.ndarray) -> bytes:
    """Return the PNG file of (H, W) grey or (H, W, 3) BGR pixels, of 8 or 16 bits.

    Raises:
        InputError: If it cannot be encoded.
    """
    encoded, content = cv2.imencode(".png", np.ascontiguousarray(pixels))
    if not encoded:
        raise InputError(f"a picture of shape {pixels.shape} cannot be encoded as PNG")
    return content.tobytes()


def _end_of_jpeg(data: bytes) -> tuple[int, bool]:
    """Return the position of the first image's end mark (-1: none), and if it is progressive.

    Segments before the first scan, such as a thumbnail, are skipped.
    """
    place, progressive = 2, False
    while data[place : place + 1] == b"\xff" and place + 4 <= len(data):
        marker = data[place + 1]
        if marker == 0xFF:  # a fill byte
            place += 1
            continue
        if marker in _STANDALONE:
            place += 2
            continue
        progressive = progressive or marker in _PROGRESSIVE
        if data[place : place + 2] == _SCAN:
            return data.find(_END, place), progressive
        place += 2 + int.from_bytes(data[place + 2 : place + 4], "big")
    return -1, progressive


def _rows_of_jpeg(body: bytes) -> int:
    """Return the number of rows from the top that do not depend on bytes after the file's own.

    Args:
        body: A JPEG without its end mark.
    """
    body = body.rstrip(b"\xff")
    try:
        # Pillow, because libjpeg in OpenCV prints a warning about the other bytes.
        first, second = (
            np.asarray(Image.open(io.BytesIO(body + more + _END))) for more in (b"", _OTHER_BYTES)
        )
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return 0
    changed = (first != second).reshape(len(first), -1).any(axis=1)
    return int(changed.argmax()) if changed.any() else len(first)
