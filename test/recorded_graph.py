# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""A stand-in for CUDA graphs on a CPU: it records operations and runs them again in place.

As on a GPU, a replay reads and writes the memory of the capture and nothing else of Python runs.
What needs a value on the host during a capture is an error, as it is there.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

_NEEDS_VALUES = (torch.ops.aten._local_scalar_dense.default, torch.ops.aten.nonzero.default)


class Recorder(TorchDispatchMode):
    """Records every operation with its arguments and results."""

    def __init__(self, calls: list[tuple[Any, ...]]) -> None:
        super().__init__()
        self._calls = calls

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        chosen = func is torch.ops.aten.index.Tensor and args[1]
        if func in _NEEDS_VALUES or (chosen and any(_is_mask(index) for index in chosen)):
            raise RuntimeError("operation not permitted when stream is capturing\nmore")
        result = func(*args, **(kwargs or {}))
        self._calls.append((func, args, kwargs or {}, result))
        return result


def _is_mask(index: torch.Tensor | None) -> bool:
    return index is not None and index.dtype == torch.bool


class RecordedGraph:
    """What stands in for `torch.cuda.CUDAGraph`."""

    replays = 0

    def __init__(self) -> None:
        self.calls: list[tuple[Any, ...]] = []

    def replay(self) -> None:
        type(self).replays += 1
        for func, args, kwargs, results in self.calls:
            again = func(*args, **kwargs)
            for place, value in zip(tree_leaves(results), tree_leaves(again), strict=True):
                if isinstance(place, torch.Tensor) and place.data_ptr() != value.data_ptr():
                    place.copy_(value)


class _Stream:
    def __init__(self, device: Any = None) -> None:
        pass

    def wait_stream(self, other: "_Stream") -> None:
        pass


@contextmanager
def _recording(graph: RecordedGraph, **_: Any) -> Iterator[None]:
    with Recorder(graph.calls):
        yield


def use_recorded_graphs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let CUDA graphs be recorded and replayed on the CPU."""
    replaced: dict[str, Callable[..., Any] | type] = {
        "Stream": _Stream,
        "current_stream": _Stream,
        "stream": lambda stream: nullcontext(),
        "CUDAGraph": RecordedGraph,
        "graph": _recording,
    }
    for name, stand_in in replaced.items():
        monkeypatch.setattr(torch.cuda, name, stand_in)
    monkeypatch.setattr(RecordedGraph, "replays", 0)
