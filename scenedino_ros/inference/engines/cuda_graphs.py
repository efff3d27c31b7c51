# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""A function of tensors as one CUDA graph: the launches of some hundred kernels become one.

Source: https://docs.pytorch.org/docs/stable/notes/cuda.html#cuda-graphs
"""

from collections.abc import Callable

import torch

from scenedino_ros.core.reporting import Report, silent

_WARM_UPS = 3  # calls before the capture, in which libraries choose and allocate


class CudaGraph:
    """A function that is captured at its first call and replayed at every later one.

    Its arguments keep their shapes and types. All else that it reads, such as weights, keeps its
    place in memory, and no step of it depends on values. What cannot be captured runs as it is.
    """

    def __init__(
        self, function: Callable[..., torch.Tensor], device: torch.device, warn: Report = silent
    ) -> None:
        """Capture nothing yet.

        Args:
            function: Takes tensors on the device and returns one.
            device: The GPU.
            warn: Receives why the function cannot be captured.
        """
        self._function, self._device, self._warn = function, device, warn
        self._graph: torch.cuda.CUDAGraph | None = None
        self._can_capture = True
        self._inputs: tuple[torch.Tensor, ...] = ()
        self._output: torch.Tensor | None = None

    @property
    def is_captured(self) -> bool:
        """Whether calls replay a graph."""
        return self._graph is not None

    def __call__(self, *arguments: torch.Tensor) -> torch.Tensor:
        """Return what the function returns, in memory of its own. The host does not wait.

        Call it always with or always without inference mode: the buffers belong to one of them.
        """
        if self._graph is None and self._can_capture:
            try:
                self._capture(arguments)
            except RuntimeError as error:
                reason = str(error).strip().splitlines()[0]
                self._warn(f"the network runs without CUDA graph, it cannot be captured: {reason}")
                self._can_capture, self._graph = False, None
        if self._graph is None or self._output is None:
            return self._function(*arguments)
        for own, given in zip(self._inputs, arguments, strict=True):
            own.copy_(given)
        self._graph.replay()
        return self._output.clone()  # the next replay writes over it

    def _capture(self, arguments: tuple[torch.Tensor, ...]) -> None:
        self._inputs = tuple(argument.clone() for argument in arguments)
        current, side = torch.cuda.current_stream(self._device), torch.cuda.Stream(self._device)
        side.wait_stream(current)
        with torch.cuda.stream(side):
            for _ in range(_WARM_UPS):
                self._function(*self._inputs)
        current.wait_stream(side)
        graph = torch.cuda.CUDAGraph()
        # Other threads may use the GPU meanwhile.
        with torch.cuda.graph(graph, stream=side, capture_error_mode="thread_local"):
            self._output = self._function(*self._inputs)
        self._graph = graph
