# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""A CUDA device that is not there: tensors without values, whose devices and shapes are checked.

PyTorch's fake tensors make most of an operation's checks and none of its arithmetic, so an
operation on tensors of different devices fails as it does on a real GPU; matrix products of
different types, which fake tensors let pass, fail here too. Where the course depends on values,
it is decided here: what could be true is, and half of what could be chosen is chosen.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from typing import Any
from unittest.mock import Mock, patch

import numpy as np
import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode

import scenedino_ros.inference.predictor
from scenedino_ros.checkpoints.checkpoint import Checkpoint
from scenedino_ros.inference import point_queries, view_renderer
from scenedino_ros.inference.engines import torch_engine
from train.field import resident_step

DEVICE = torch.device("cuda", 0)
_NONZERO = torch.ops.aten.nonzero.default
_SCALAR = torch.ops.aten._local_scalar_dense.default
_PRODUCTS = ("mm", "addmm", "bmm", "baddbmm", "mv", "addmv", "dot", "convolution")


class AbsentGpu(FakeTensorMode):
    """Fake tensors, with an answer to what only values could answer."""

    avoid_device_init = True

    def dispatch(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run an operation."""
        if func is _SCALAR:
            return 1.0 if args[0].is_floating_point() else 1
        if func is _NONZERO:
            rows = max(1, args[0].numel() // 2)
            return args[0].new_empty(rows, args[0].ndim, dtype=torch.int64)
        if func.__name__.split(".")[0].removesuffix("_") in _PRODUCTS:
            kinds = {value.dtype for value in args if isinstance(value, torch.Tensor)}
            if len(kinds) > 1:
                raise RuntimeError(f"{func} needs one type, got {sorted(map(str, kinds))}")
        return super().dispatch(func, types, args, kwargs)

    def checkpoint(self, checkpoint: Checkpoint) -> Checkpoint:
        """Return a checkpoint whose weights have no values."""
        state = {name: self.from_tensor(value) for name, value in checkpoint.state.items()}
        return replace(checkpoint, state=state)


class NoGraph:
    """Stands in for a `CudaGraph`: tensors without values cannot be captured."""

    is_captured = False

    def __init__(self, function: Callable[..., torch.Tensor], device: torch.device) -> None:
        assert device == DEVICE
        self._function = function

    def __call__(self, *arguments: torch.Tensor) -> torch.Tensor:
        assert all(argument.device == DEVICE for argument in arguments)
        return self._function(*arguments)


@contextmanager
def absent_gpu() -> Iterator[AbsentGpu]:
    """Pretend that there is a GPU, and that no tensor made or used inside has values."""
    replaced: tuple[tuple[Any, str, Any], ...] = (
        (scenedino_ros.inference.predictor, "choose_device", lambda _: DEVICE),
        (torch.cuda.amp.common, "amp_definitely_not_available", lambda: False),
        (torch.cuda, "is_bf16_supported", lambda *_: True),
        (torch.cuda, "current_stream", lambda _: Mock()),
        (torch_engine, "CudaGraph", NoGraph),
        (point_queries, "CudaGraph", NoGraph),
        (view_renderer, "CudaGraph", NoGraph),
        (resident_step, "CudaGraph", NoGraph),
        (torch.cuda, "get_device_properties", lambda _: Mock(total_memory=1 << 33)),
        (torch.cuda, "mem_get_info", lambda _: (1 << 33, 1 << 33)),
        (torch.Tensor, "pin_memory", lambda tensor: tensor),
        (torch.Tensor, "numpy", _numpy),
        (nn.Module, "_apply", _apply),
    )
    with ExitStack() as stack:
        for owner, name, stand_in in replaced:
            stack.enter_context(patch.object(owner, name, stand_in))
        # A tensor made outside counts as one of the CPU, where it is.
        yield stack.enter_context(AbsentGpu(allow_non_fake_inputs=True))


def _numpy(tensor: torch.Tensor) -> np.ndarray:
    if tensor.device.type != "cpu":
        raise TypeError(f"a tensor on {tensor.device} cannot become a numpy array")
    return np.zeros(tensor.shape, str(tensor.dtype).removeprefix("torch."))


def _apply(
    module: nn.Module, change: Callable[..., torch.Tensor], recurse: bool = True
) -> nn.Module:
    """Move or cast a module's tensors: PyTorch's own method cannot replace fake ones."""
    for part in module.modules() if recurse else (module,):
        for name, parameter in part._parameters.items():
            if parameter is not None:
                with torch.no_grad():
                    changed = change(parameter)
                part._parameters[name] = nn.Parameter(changed, parameter.requires_grad)
        for name, buffer in part._buffers.items():
            if buffer is not None:
                part._buffers[name] = change(buffer)
    return module


@torch.no_grad()
def backward(loss: torch.Tensor) -> None:
    """Do what `loss.backward()` does, node by node: PyTorch's engine asks for a driver.

    Raises:
        RuntimeError: If a gradient is on another device than what it is the gradient of.
    """
    arrived: dict[Any, dict[int, torch.Tensor]] = {loss.grad_fn: {0: torch.ones_like(loss)}}
    for node in _in_order(loss.grad_fn):
        given = arrived.pop(node, {})
        if hasattr(node, "variable"):  # a parameter
            node.variable.grad = given[0]
            continue
        call = getattr(node, "apply", node)  # functions written in Python have `apply`
        gradients = call(*(given.get(number) for number in range(len(node._input_metadata))))
        gradients = gradients if isinstance(gradients, tuple) else (gradients,)
        for (below, number), gradient in zip(node.next_functions, gradients, strict=True):
            if below is None or gradient is None:
                continue
            of = below._input_metadata[number]
            if gradient.device != of.device:
                raise RuntimeError(f"{below.name()} is on {of.device}, got {gradient.device}")
            gradient = gradient.sum_to_size(of.shape).to(of.dtype)  # as the engine does
            sums = arrived.setdefault(below, {})
            sums[number] = sums[number] + gradient if number in sums else gradient


def _in_order(root: Any) -> list[Any]:
    """Return the nodes below a root, each after all that hand it a gradient."""
    finished: list[Any] = []
    seen, stack = set(), [(root, False)]
    while stack:
        node, is_done = stack.pop()
        if is_done:
            finished.append(node)
        elif node not in seen:
            seen.add(node)
            stack.append((node, True))
            stack += [(below, False) for below, _ in node.next_functions if below is not None]
    return finished[::-1]
