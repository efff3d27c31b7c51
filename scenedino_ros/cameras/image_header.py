# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""The size of an image file, read from its header without decoding the pixels.

A few kilobytes of PNG or JPEG may stand for gigabytes of pixels, so the size is checked before
anything is decoded.
"""

import io
from typing import NamedTuple

from PIL import Image

from scenedino_ros.core.errors import InputError
from scenedino_ros.core.limits import IMAGE_PIXELS, check_image_size

# What OpenCV decodes beside PNG and JPEG, and whose header Pillow reads without the pixels.
_OTHERS = ("TIFF", "WEBP", "BMP", "DIB", "PPM", "JPEG2000", "GIF", "AVIF", "SUN")

_PNG = b"\x89PNG\r\n\x1a\n"
_JPEG = b"\xff\xd8"
_STANDALONE = (0x01, *range(0xD0, 0xD9))  # markers without a segment
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}  # markers whose segment has the size
_SCAN = 0xDA
_ORIENTATION = 0x0112  # tag of TIFF


class ImageSize(NamedTuple):
    """Columns and rows of an image, pixels."""

    width: int
    height: int


def image_size(content: bytes | memoryview, name: str) -> ImageSize:
    """Return the size that the header of an image file states.

    Args:
        content: The file.
        name: Name of the file in errors.

    Raises:
        InputError: If it has no header of a known kind, is a TIFF that shall be turned, or the
            image is larger than `check_image_size` allows.
    """
    data = memoryview(content)
    start = bytes(data[:24])
    if start.startswith(_PNG):
        size = _size_of_png(start) if _has_whole_chunks(data) else None
    elif start.startswith(_JPEG):
        size = _size_of_jpeg(data)
    else:
        size = _size_of_other(data, name)
    if size is None:
        known = start.startswith((_PNG, _JPEG))
        what = "is damaged or cut off" if known else "cannot be decoded"
        raise InputError(f"{name} of {len(data)} bytes must be a picture, but {what}")
    check_image_size(*size, name)
    return size


def _size_of_png(start: bytes) -> ImageSize | None:
    if start[12:16] != b"IHDR" or len(start) < 24:
        return None
    return ImageSize(int.from_bytes(start[16:20], "big"), int.from_bytes(start[20:], "big"))


def _has_whole_chunks(png: memoryview) -> bool:
    """Return whether no chunk of a PNG is longer than the file: decoders reserve that memory."""
    place = len(_PNG)
    while place + 8 <= len(png):
        if bytes(png[place + 4 : place + 8]) == b"IEND":
            return True
        place += 12 + int.from_bytes(png[place : place + 4], "big")  # length, kind, data, checksum
    return place <= len(png)


def _size_of_jpeg(data: memoryview) -> ImageSize | None:
    place = 2
    while place + 9 <= len(data) and data[place] == 0xFF:
        marker = data[place + 1]
        if marker == 0xFF:  # a fill byte
            place += 1
        elif marker in _STANDALONE:
            place += 2
        elif marker in _FRAMES:
            height, width = data[place + 5 : place + 7], data[place + 7 : place + 9]
            return ImageSize(int.from_bytes(width, "big"), int.from_bytes(height, "big"))
        elif marker == _SCAN:
            return None
        else:
            place += 2 + max(2, int.from_bytes(data[place + 2 : place + 4], "big"))
    return None


def _size_of_other(data: memoryview, name: str) -> ImageSize | None:
    try:
        with Image.open(io.BytesIO(data), formats=_OTHERS) as image:
            size = ImageSize(*image.size)
            orientation = image.getexif().get(_ORIENTATION, 1) if image.format == "TIFF" else 1
    except Image.DecompressionBombError as error:  # far beyond our bound
        raise InputError(
            f"{name} size must be at most {IMAGE_PIXELS} px in all, got a header of more"
        ) from error
    except Exception:  # a reader of damaged headers may raise anything
        return None
    if orientation != 1:  # OpenCV would turn this format alone
        raise InputError(f"{name} must be a TIFF of orientation 1, got {orientation}")
    return size
