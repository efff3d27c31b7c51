# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Resident memory of this process, its exhaustion, and the return of freed memory."""

import ctypes
import errno
import math
from pathlib import Path

from scenedino_ros.core.errors import OutOfMemoryError, SceneDinoError

MIB = 1 << 20  # bytes

_DONTNEED = 4  # MADV_DONTNEED of Linux
# Words by which libraries report that memory is exhausted, in exceptions of no class of its own:
# PyTorch (processor and GPU), C++, OpenCV, ONNX Runtime, cuBLAS.
_EXHAUSTED = (
    *("can't allocate memory", "cannot allocate memory", "failed to allocate", "out of memory"),
    *("not enough memory", "insufficient memory", "bad_alloc", "bad allocation", "alloc_failed"),
)


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether an exception, of whatever library, means that memory is exhausted."""
    if isinstance(error, MemoryError | OutOfMemoryError):
        return True
    if isinstance(error, SceneDinoError) or not isinstance(error, Exception):
        return False
    if isinstance(error, OSError):
        return error.errno == errno.ENOMEM
    text = str(error).lower()
    return any(words in text for words in _EXHAUSTED)


def peak_resident_memory() -> float:
    """Return the peak resident memory of this process, MiB; NaN on systems other than Linux.

    getrusage does not serve: there, a child process starts with the peak of its parent.
    """
    return _status_memory("VmHWM")


def resident_memory() -> float:
    """Return the resident memory of this process, MiB; NaN on systems other than Linux."""
    return _status_memory("VmRSS")


def _status_memory(field: str) -> float:
    try:
        status = Path("/proc/self/status").read_text(encoding="ascii")
    except OSError:
        return math.nan
    fields = dict(line.split(":", 1) for line in status.splitlines())
    return int(fields[field].split()[0]) / 1024


def return_freed_memory() -> None:
    """Return freed memory to the system, where the C library does so on demand (glibc).

    Otherwise it keeps the gaps between blocks in use: a hundred MiB after a large image.
    """
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim:
        trim(0)


def release_pages(file: Path) -> None:
    """Stop counting the pages of a file that this process only reads through a memory map.

    Whoever reads them again gets them from the file. It does nothing on systems other than Linux.
    """
    try:
        maps = Path("/proc/self/maps").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return
    library = ctypes.CDLL(None)
    for line in maps.splitlines():
        fields = line.split(maxsplit=5)
        # Private or writable pages may differ from the file.
        if fields[5:] == [str(file.resolve())] and fields[1] == "r--s":
            start, end = (int(address, 16) for address in fields[0].split("-"))
            library.madvise(ctypes.c_void_p(start), ctypes.c_size_t(end - start), _DONTNEED)
