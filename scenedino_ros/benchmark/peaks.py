# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""How fast this machine multiplies matrices and moves memory at best, by measurement."""

import functools
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch

from scenedino_ros.core.memory import MIB

TF32 = "tf32"  # float32 rounded for a GPU's matrix units, as its convolutions take it
_SECONDS = 0.4  # of each measurement, after one run that is not counted
_SIZES = (512, 1024, 2048)  # rows of square matrices on a CPU
_GPU_SIZES = (2048, 4096, 8192)
_LEAST, _MOST = 192 * MIB, 1024 * MIB  # bytes of the arrays that are moved
_CACHES = Path("/sys/devices/system/cpu/cpu0/cache")


@dataclass(frozen=True)
class Peaks:
    """The best of several runs.

    Attributes:
        rates: Operations per second of matrix products by precision; a product and its sum are
            two operations.
        bandwidth: Bytes per second between memory and processor, read and written.
        array_bytes: Bytes of the arrays that were moved.
        cache_bytes: Size of the last-level cache as the system reports it; 0: unknown.
    """

    rates: dict[str, float]
    bandwidth: float
    array_bytes: int
    cache_bytes: int


def measure_peaks(device: torch.device) -> Peaks:
    """Measure the peaks of a device, on a CPU with the threads in use, in about two seconds."""
    rates = {
        name: _product_rate(device, dtype)
        for name, dtype in (("float32", torch.float32), ("bfloat16", torch.bfloat16))
    }
    if device.type == "cuda":
        matmul = torch.backends.cuda.matmul
        before, matmul.allow_tf32 = matmul.allow_tf32, True
        rates[TF32] = _product_rate(device, torch.float32)
        matmul.allow_tf32 = before
    cache = _cache_bytes(device)
    total = min(max(_LEAST, 2 * cache), _MOST)
    return Peaks(rates, _bandwidth(device, total), total, cache)


def _product_rate(device: torch.device, dtype: torch.dtype) -> float:
    best = 0.0
    sizes = _SIZES if device.type == "cpu" else _GPU_SIZES
    for size in sizes:
        a, b = (torch.ones(size, size, dtype=dtype, device=device) for _ in range(2))
        out = torch.empty_like(a)
        seconds = _shortest(functools.partial(torch.mm, a, b, out=out), device, len(sizes))
        best = max(best, 2 * size**3 / seconds)
    return best


def _bandwidth(device: torch.device, total: int) -> float:
    """Return bytes per second of a copy or of a = b + 3 c, the faster of the two."""
    a, b, c = (torch.ones(total // 12, device=device) for _ in range(3))
    triad = 3 * a.nbytes / _shortest(lambda: torch.add(b, c, alpha=3.0, out=a), device, 2)
    return max(triad, 2 * a.nbytes / _shortest(lambda: a.copy_(b), device, 2))


def _shortest(run: Callable[[], object], device: torch.device, parts: int) -> float:
    """Return the shortest time of some runs, seconds.

    Args:
        run: What is timed.
        device: Where it runs.
        parts: Number of measurements that share the time.
    """
    run()
    shortest, end = float("inf"), time.perf_counter() + _SECONDS / parts
    while shortest == float("inf") or time.perf_counter() < end:
        shortest = min(shortest, _seconds(run, device))
    return shortest


def _seconds(run: Callable[[], object], device: torch.device) -> float:
    if device.type == "cpu":
        start = time.perf_counter()
        run()
        return time.perf_counter() - start
    first, last = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    first.record()
    run()
    last.record()
    last.synchronize()
    return first.elapsed_time(last) / 1000


def _cache_bytes(device: torch.device) -> int:
    """Return the size of the last-level cache as the system reports it; 0: unknown."""
    if device.type == "cuda":
        return int(torch.cuda.get_device_properties(device).L2_cache_size)
    sizes = [path.read_text().strip() for path in _CACHES.glob("index*/size")]
    units = {"K": 1 << 10, "M": 1 << 20}
    return max(
        (int(text[:-1]) * units[text[-1]] for text in sizes if text[-1:] in units), default=0
    )
