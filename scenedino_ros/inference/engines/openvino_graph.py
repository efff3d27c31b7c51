# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""The image part as a graph of OpenVINO, run on the processor."""

import functools
import warnings
from pathlib import Path
from typing import Any

import torch
from torch import nn

from scenedino_ros.core.errors import InputError, SceneDinoError
from scenedino_ros.core.memory import release_pages
from scenedino_ros.inference.engines.packages import require_openvino
from scenedino_ros.network.folded import FoldedSceneDino

# File of the graph; its weights lie beside it in a file that ends with .bin.
OPENVINO_IMAGE = "image.xml"
# In int8: values that share a scale, of weights and of what a layer reads. With 32 the layers take
# a quarter longer; 128 are hardly faster than 64, and less accurate.
ROUNDED_TOGETHER = 64

_PURPOSE = "engine openvino"


def openvino_version() -> str:
    """Return the version of OpenVINO.

    Raises:
        InputError: If it is not installed.
    """
    version: str = require_openvino(_PURPOSE).__version__
    return version.split("-")[0]


@functools.cache
def openvino_core() -> Any:
    """Return the only core of the process, which lives as long as the process does.

    A core gives the thread that makes it an alternate signal stack, and unmaps that at its own
    end. If another thread ends it, as where that thread collects garbage, the next signal ends the
    process without a word.

    Raises:
        InputError: If OpenVINO is not installed.
    """
    return require_openvino(_PURPOSE).Core()


def has_bfloat16() -> bool:
    """Return whether OpenVINO can compute in bfloat16 on this processor.

    Raises:
        InputError: If OpenVINO is not installed.
    """
    return "BF16" in openvino_core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")


class NormalisedImagePart(nn.Module):
    """``normalised`` (1, 3, h, w), see `Encoder.normalise`, to ``map`` (H', W', hidden).

    PyTorch resizes with antialiasing, which takes OpenVINO a quarter of the time of its graph.
    """

    def __init__(self, network: FoldedSceneDino) -> None:
        """Take the part of a folded network."""
        super().__init__()
        self.network = network

    def forward(self, normalised: torch.Tensor) -> torch.Tensor:
        """Return the map."""
        taps = self.network.plain.encoder.taps(normalised)
        return self.network.upsampled(self.network.fuse_taps(taps))[0]


def image_graph(network: FoldedSceneDino) -> Any:
    """Return the image part of a folded network as a graph of OpenVINO, with float32 weights.

    Args:
        network: The network, on the CPU.

    Raises:
        InputError: If OpenVINO is not installed.
    """
    ov = require_openvino(_PURPOSE)
    image = torch.zeros(1, 3, *network.plain.encoder.input_size)
    with torch.no_grad(), warnings.catch_warnings():
        # PyTorch warns that its tracer is superseded; the successor takes ten times as long.
        warnings.simplefilter("ignore")
        part = NormalisedImagePart(network).eval()
        # Whoever writes the graph compares its answers with PyTorch's: no need to trace it twice.
        traced = torch.jit.trace(part, image, check_trace=False)
        graph = ov.convert_model(torch.jit.freeze(traced), example_input=image)
    graph.reshape(list(image.shape))
    graph.input(0).set_names({"normalised"})
    graph.output(0).set_names({"map"})
    return graph


def write_graph(graph: Any, folder: Path) -> None:
    """Write a graph in OpenVINO's format into an existing folder; its weights keep their types."""
    ov = require_openvino(_PURPOSE)
    ov.save_model(graph, folder / OPENVINO_IMAGE, compress_to_fp16=False)


class OpenVinoGraph:
    """A graph in OpenVINO's format, run on the processor by as many threads as PyTorch uses."""

    def __init__(self, path: Path, precision: str) -> None:
        """Load a graph.

        Args:
            path: The .xml file.
            precision: ``float32`` or ``bfloat16``; or ``int8`` for a graph of
                `int8_graph.write_int8`, where all else is float32.

        Raises:
            InputError: If OpenVINO is not installed, or the processor has no bfloat16.
            SceneDinoError: If OpenVINO cannot read or compile the graph.
        """
        self._ov = require_openvino(_PURPOSE)
        if precision == "bfloat16" and not has_bfloat16():
            raise InputError(f"{_PURPOSE} in bfloat16 needs a processor with bfloat16 arithmetic")
        settings = {
            # OpenVINO takes bfloat16 where the processor has it, unless a precision is named.
            "INFERENCE_PRECISION_HINT": "bf16" if precision == "bfloat16" else "f32",
            "INFERENCE_NUM_THREADS": torch.get_num_threads(),
            "NUM_STREAMS": 1,
            # Threads of several processes must not be bound to the same cores.
            "ENABLE_CPU_PINNING": False,
        }
        if precision == "int8":
            settings["DYNAMIC_QUANTIZATION_GROUP_SIZE"] = ROUNDED_TOGETHER
        try:
            compiled = openvino_core().compile_model(path, "CPU", settings)
        except RuntimeError as error:
            raise SceneDinoError(f"OpenVINO cannot load {path}: {error}") from error
        self._request = compiled.create_infer_request()
        self._weights: Path | None = path.with_suffix(".bin")

    def run(self, inputs: dict[str, torch.Tensor], outputs: dict[str, torch.Tensor]) -> None:
        """Fill outputs; see `graph_engine.Graph`."""
        for name, tensor in {**inputs, **outputs}.items():
            shared = self._ov.Tensor(tensor.numpy(), shared_memory=True)
            self._request.set_tensor(name, shared)
        self._request.infer()
        if self._weights:
            release_pages(self._weights)  # OpenVINO keeps them mapped, and has its own copy now
            self._weights = None
