# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Resident memory of this process, and the return of freed memory to the system."""

import ctypes
import math
from pathlib import Path

MIB = 1 << 20  # bytes


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
