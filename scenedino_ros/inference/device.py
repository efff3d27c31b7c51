# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""The device of a network, and computation in chunks that fit its memory."""

from collections.abc import Callable

import numpy as np
import torch

from scenedino_ros.core.config import DEVICES
from scenedino_ros.core.errors import DeviceMemoryError, InputError
from scenedino_ros.core.memory import MIB

_MIN_CHUNK = 1024
_CACHE_SHARE = 4  # of the memory budget, what a processor's chunk takes to stay in its caches


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
        torch.cuda.empty_cache()


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

    def __init__(self, device: torch.device, budget: int) -> None:
        """Set the budget.

        Args:
            device: Where results live.
            budget: Working memory, bytes.
        """
        self.device = device
        self.budget = budget

    def fill(
        self,
        count: int,
        bytes_each: int,
        compute: Callable[[slice], torch.Tensor],
        columns: int = 0,
    ) -> torch.Tensor:
        """Fill a (count,) or (count, columns) float32 tensor chunk by chunk.

        If the device runs out of memory, the chunk is halved and computed again.

        Args:
            count: Rows.
            bytes_each: Working memory of one row.
            compute: Returns the rows of a slice.
            columns: Width of a row; 0 for a flat tensor.

        Raises:
            DeviceMemoryError: If even the smallest chunk does not fit.
        """
        shape = (count, columns) if columns else (count,)
        result = torch.empty(shape, device=self.device)
        share = 1 if self.device.type == "cuda" else _CACHE_SHARE
        chunk = max(_MIN_CHUNK, self.budget // (share * bytes_each))
        start = 0
        while start < count:
            part = slice(start, min(start + chunk, count))
            try:
                result[part] = compute(part)
            except torch.OutOfMemoryError as error:
                torch.cuda.empty_cache()
                if chunk <= _MIN_CHUNK:
                    raise DeviceMemoryError(
                        f"{chunk} points need more memory than the device has left: {error}"
                    ) from error
                chunk = max(_MIN_CHUNK, chunk // 2)
                continue
            start = part.stop
        return result
