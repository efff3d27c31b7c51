"""How much memory this process holds, and how freed memory is given back."""

import ctypes
import math
from pathlib import Path

MIB = 1 << 20  # bytes


def peak_resident_memory() -> float:
    """Return the most memory this process has held at once, MiB; NaN where only Linux would tell.

    Not what getrusage tells: there a child process begins with the peak of its parent.
    """
    return _status_memory("VmHWM")


def resident_memory() -> float:
    """Return the memory this process holds now, MiB; NaN where only Linux would tell."""
    return _status_memory("VmRSS")


def _status_memory(field: str) -> float:
    try:
        status = Path("/proc/self/status").read_text(encoding="ascii")
    except OSError:
        return math.nan
    fields = dict(line.split(":", 1) for line in status.splitlines())
    return int(fields[field].split()[0]) / 1024


def return_freed_memory() -> None:
    """Give the system back what was freed, where the C library does so on demand (glibc).

    Left alone, it keeps gaps between what is in use: a hundred MiB after a large image.
    """
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim:
        trim(0)
