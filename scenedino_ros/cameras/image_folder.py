# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""A folder of images from any calibrated camera."""

import re
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import numpy as np

from scenedino_ros.cameras.from_msg import rgb_from_compressed
from scenedino_ros.cameras.image_file import decode_image
from scenedino_ros.cameras.image_header import ImageSize, image_size
from scenedino_ros.core.errors import InputError
from scenedino_ros.core.file_limits import MESSAGE_BYTES
from scenedino_ros.core.reading import read_bytes, reading

SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp", ".ppm", ".pgm")


@dataclass(frozen=True, eq=False)
class ImageFolder:
    """Images in the natural order of their names, of one size.

    Attributes:
        paths: Image files.
        width: Columns of the first one that can be read.
        height: Rows of it.
    """

    paths: tuple[Path, ...]
    width: int
    height: int


def image_files(folder: Path) -> list[Path]:
    """List the images of a folder in natural order: ``frame_2`` comes before ``frame_10``.

    Hidden files are skipped: some systems create ``._NAME`` for each file they copy.

    Raises:
        InputError: If the folder has no image.
    """
    files = list(folder.iterdir()) if folder.is_dir() else []
    images = [
        file
        for file in files
        if file.suffix.lower() in SUFFIXES and not file.name.startswith(".") and file.is_file()
    ]
    if not images:
        raise InputError(f"no images ({', '.join(SUFFIXES)}) in {folder}")
    return sorted(images, key=lambda file: (_natural(file.name), file.name))


def read_image_folder(folder: Path) -> ImageFolder:
    """List the images of a folder; the first readable one gives the size.

    Raises:
        InputError: If the folder has no image, or none can be read.
    """
    paths = image_files(Path(folder))
    for number, path in enumerate(paths, start=1):
        try:
            height, width = read_rgb(path).shape[:2]
            break
        except InputError as error:
            if number == len(paths):
                raise InputError(f"none of {len(paths)} images can be read; {error}") from error
    return ImageFolder(tuple(paths), width, height)


def _natural(name: str) -> list[tuple[int, str]]:
    """Return a key that compares the whole numbers in a name by value, and the rest as text."""
    parts = re.split("([0-9]+)", name.lower())
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in parts]


def read_pixels(path: Path) -> np.ndarray:
    """Return the pixels of an image file as they are stored, see `decode_image`.

    Raises:
        InputError: If the file cannot be read or is no image.
    """
    with reading(str(path)):
        content = np.frombuffer(read_bytes(path, MESSAGE_BYTES), np.uint8)
        return decode_image(content, str(path))


def read_size(path: Path) -> ImageSize:
    """Return the size of an image file, from its header.

    Raises:
        InputError: If the file cannot be read or is no image.
    """
    with reading(str(path)):
        return image_size(read_bytes(path, MESSAGE_BYTES), str(path))


def read_rgb(path: Path) -> np.ndarray:
    """Return an image file as (H, W, 3) uint8 RGB, as stored (EXIF rotation is not applied).

    Raises:
        InputError: If the file cannot be read or is no image.
    """
    with reading(f"image {path}"):
        content = read_bytes(path, MESSAGE_BYTES)
    message = SimpleNamespace(format=path.suffix[1:].lower(), data=content)
    try:
        return np.ascontiguousarray(rgb_from_compressed(message))
    except InputError as error:
        raise InputError(f"image {path}: {error}") from error
