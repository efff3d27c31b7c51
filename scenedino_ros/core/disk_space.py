# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Disk space: what a long step will write, and whether the disk has room for it."""

import errno
import os
import shutil
from pathlib import Path

from scenedino_ros.core.errors import InputError

_UNITS = ("bytes", "kB", "MB", "GB", "TB", "PB")


def bytes_in_words(count: float) -> str:
    """Return a number of bytes with a unit, such as ``112.1 GB`` (1 GB = 10^9 bytes)."""
    unit = 0
    while count >= 999.95 and unit < len(_UNITS) - 1:
        count /= 1000
        unit += 1
    return f"{count:.1f} {_UNITS[unit]}" if unit else f"{count:.0f} bytes"


def free_bytes(folder: Path) -> int:
    """Return the free space of the disk of a folder, which need not exist yet."""
    return shutil.disk_usage(existing_folder(folder)).free


def existing_folder(folder: Path) -> Path:
    """Return a folder, or its nearest parent that exists."""
    return next(path for path in (folder, *folder.absolute().parents) if path.exists())


def bytes_on_disk(folder: Path) -> int:
    """Return the bytes a folder's files occupy, sparse files without holes; 0: no folder."""
    files = folder.iterdir() if folder.is_dir() else ()
    return sum(file.stat().st_blocks * 512 for file in files if file.is_file())


def reserve(file: Path, start: int, length: int) -> None:
    """Take the disk space of a part of a file, so that writing it through a map cannot fail.

    A map of a file with holes ends the process (SIGBUS) where the disk is full.

    Args:
        file: An existing file.
        start: First byte of the part.
        length: Its length, bytes.

    Raises:
        OSError: If the disk has no room for it.
    """
    if length == 0 or not hasattr(os, "posix_fallocate"):  # absent on systems other than Linux
        return
    handle = os.open(file, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.posix_fallocate(handle, start, length)
    except OSError as error:
        if error.errno not in (errno.EOPNOTSUPP, errno.EINVAL):  # a file system that has no holes
            error.filename = str(file)
            raise
    finally:
        os.close(handle)


def check_space(folder: Path, needed: float, what: str, remedy: str) -> None:
    """Refuse a step that the disk has no room for.

    Args:
        folder: Where the step writes; need not exist yet.
        needed: Bytes that the step writes.
        what: Subject of the sentence, such as ``the frame store``.
        remedy: What the user can do, such as ``choose a smaller --image-size``.

    Raises:
        InputError: Saying how much is needed and how much is free.
    """
    free = free_bytes(folder)
    if needed > free:
        raise InputError(
            f"{what} will take about {bytes_in_words(needed)}, but only {bytes_in_words(free)} "
            f"are free in {folder}; {remedy}"
        )
