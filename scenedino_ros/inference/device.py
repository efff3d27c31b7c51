# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""The device of a network, and computation in chunks that fit its memory."""

import functools
import gc
import math
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch

from scenedino_ros.core.config import DEVICES
from scenedino_ros.core.errors import DeviceMemoryError, InputError, OutOfMemoryError
from scenedino_ros.core.memory import MIB, is_out_of_memory

_MIN_CHUNK = 1024
_CPU_BUDGET = 128 * MIB
_GPU_SHARE = 16  # of a GPU's memory; every chunk costs it a hundred launches
_PARTS = 4  # of the memory budget, at least; on a processor each thread has one for its chunk


def choose_device(name: str) -> torch.device:
    """Return the device of that name; ``auto`` takes the GPU where there is one.

    Raises:
        InputError: If a GPU is asked for and there is none.
    """
    if name not in DEVICES:
        raise InputError(f"device must be auto, cpu or cuda, got '{name}'")
    available = torch.cuda.is_available()
    if name == "cuda" and not available:
        raise InputError("device is cuda, but no usable GPU was found; use cpu or auto")
    return torch.device("cuda" if available and name != "cpu" else "cpu")


def device_name(device: torch.device) -> str:
    """Return the kind of a device, and the card's name of a GPU."""
    if device.type == "cuda":
        return f"cuda ({torch.cuda.get_device_name(device)})"
    return device.type


def chunk_bytes(memory_budget: int, device: torch.device) -> int:
    """Return the working memory of one chunk of points, bytes.

    Args:
        memory_budget: The parameter ``model.memory_budget``, MiB; 0: 128 MiB on a processor, a
            sixteenth of a GPU's memory.
        device: Where the points are computed.
    """
    if memory_budget:
        return memory_budget * MIB
    if device.type == "cuda":
        return torch.cuda.get_device_properties(device).total_memory // _GPU_SHARE
    return _CPU_BUDGET


def device_memory(device: torch.device) -> dict[str, float]:
    """Return a GPU's memory in MiB, allocated now and at the peak; empty for the CPU."""
    if device.type != "cuda":
        return {}
    return {
        "allocated": torch.cuda.memory_allocated(device) / MIB,
        "peak": torch.cuda.max_memory_allocated(device) / MIB,
    }


def return_unused_memory(device: torch.device) -> None:
    """Give a GPU's memory that PyTorch holds, but no tensor uses, back to the driver."""
    if device.type == "cuda":
        gc.collect()  # an engine and its CUDA graph hold each other
        torch.cuda.empty_cache()


def memory_error(work: str, error: Exception) -> OutOfMemoryError:
    """Return our error for one of exhausted memory: `DeviceMemoryError` if it is the GPU's.

    Args:
        work: What needs the memory.
        error: As a library or this package raised it.
    """
    of_device = isinstance(error, torch.OutOfMemoryError | DeviceMemoryError)
    kind = DeviceMemoryError if of_device else OutOfMemoryError
    return kind(f"{work}: {error}" if str(error) else work)


def to_numpy(*tensors: torch.Tensor) -> list[np.ndarray]:
    """Return tensors as arrays; a GPU copies all of them before anybody waits."""
    copies = [tensor.to("cpu", non_blocking=True) for tensor in tensors]
    for device in {tensor.device for tensor in tensors if tensor.is_cuda}:
        torch.cuda.current_stream(device).synchronize()
    return [copy.numpy() for copy in copies]


class Chunks:
    """Computes long tensors chunk by chunk within a memory budget.

    Attributes:
        device: Where results live.
        budget: Working memory, bytes.
    """

    def __init__(self, device: torch.device, budget: int, *, concurrent: bool = False) -> None:
        """Set the budget.

        Args:
            device: Where results live.
            budget: Working memory, bytes.
            concurrent: Whether a processor's threads may each compute a chunk.
        """
        self.device = device
        self.budget = budget
        self._concurrent = concurrent

    def fill(
        self,
        count: int,
        bytes_each: int,
        compute: Callable[[slice], torch.Tensor],
        columns: int = 0,
    ) -> torch.Tensor:
        """Fill a (count,) or (count, columns) float32 tensor chunk by chunk.

        If memory is exhausted, the chunk is halved and computed again.

        Args:
            count: Rows.
            bytes_each: Working memory of one row.
            compute: Returns the rows of a slice.
            columns: Width of a row; 0 for a flat tensor.

        Raises:
            OutOfMemoryError: If even the smallest chunk does not fit.
        """
        shape = (count, columns) if columns else (count,)
        result = torch.empty(shape, device=self.device)
        threads = torch.get_num_threads() if self.device.type == "cpu" else 1
        # A processor's chunks should not push each other out of its caches.
        parts = 1 if self.device.type == "cuda" else max(_PARTS, threads)
        chunk = max(_MIN_CHUNK, self.budget // (parts * bytes_each))
        if not self._concurrent or threads == 1 or count < threads * chunk:
            self._fill_in_turn(result, chunk, compute)
            return result
        # Equal parts, as many for each thread: none ends with a part while the others wait.
        chunk = math.ceil(count / (threads * math.ceil(count / (threads * chunk))))
        try:
            self._fill_in_threads(result, chunk, compute, threads)
        except Exception as error:  # exhausted memory comes as many types
            if not is_out_of_memory(error):
                raise
            self._fill_in_turn(result, max(_MIN_CHUNK, chunk // 2), compute)
        return result

    def _fill_in_threads(
        self,
        result: torch.Tensor,
        chunk: int,
        compute: Callable[[slice], torch.Tensor],
        threads: int,
    ) -> None:
        """Fill a tensor by threads that take the next chunk as soon as they are done with one.

        If other processes hold up one of them, the others take over its chunks. PyTorch's own
        threads share each operation instead, and all of them wait for the last.
        """
        inference = torch.is_inference_mode_enabled()  # of this thread

        def fill(part: slice) -> None:
            with torch.inference_mode(inference):
                result[part] = compute(part)

        starts = range(0, len(result), chunk)
        parts = [slice(start, min(start + chunk, len(result))) for start in starts]
        for _ in _threads(threads).map(fill, parts):
            pass  # raises what a thread raised

    def _fill_in_turn(
        self, result: torch.Tensor, chunk: int, compute: Callable[[slice], torch.Tensor]
    ) -> None:
        start = 0
        while start < len(result):
            part = slice(start, min(start + chunk, len(result)))
            try:
                result[part] = compute(part)
            except Exception as error:  # exhausted memory comes as many types
                if not is_out_of_memory(error):
                    raise
                if self.device.type == "cuda":
                    torch.cuda.empty_cache()
                if chunk <= _MIN_CHUNK:
                    work = f"{chunk} points need more memory than the device has left"
                    raise memory_error(work, error) from error
                chunk = max(_MIN_CHUNK, chunk // 2)
                continue
            start = part.stop


@functools.cache
def _threads(count: int) -> ThreadPoolExecutor:
    """Return threads in which PyTorch starts none of its own."""
    return ThreadPoolExecutor(count, "points", initializer=torch.set_num_threads, initargs=(1,))
