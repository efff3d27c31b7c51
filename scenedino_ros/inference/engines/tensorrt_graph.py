# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""A graph built and run by TensorRT.

It needs TensorRT, and follows the Python interface that versions 10 and 11 share.
"""

import os
import tempfile
from pathlib import Path
from typing import Any

import torch

from scenedino_ros.core.errors import InputError, SceneDinoError
from scenedino_ros.core.reporting import Report
from scenedino_ros.inference.engines.graph_engine import MOST_POINTS
from scenedino_ros.inference.engines.packages import require

_PURPOSE = "engine tensorrt"


def engine_path(onnx: Path) -> Path:
    """Return the path of an ONNX file's engine, which is specific to one GPU and one TensorRT.

    Raises:
        InputError: If TensorRT is not installed or there is no GPU.
    """
    trt = require("tensorrt", _PURPOSE)
    if not torch.cuda.is_available():
        raise InputError(f"{_PURPOSE} needs a GPU, but no usable one was found")
    gpu = torch.cuda.get_device_name().replace(" ", "-").replace("/", "-")
    return onnx.with_suffix(f".{gpu}.{trt.__version__}.engine")


def build(onnx: Path) -> None:
    """Build the engine of an ONNX file and put it beside it; takes minutes.

    Raises:
        InputError: If TensorRT is not installed or there is no GPU.
        SceneDinoError: If TensorRT cannot build it.
    """
    path = engine_path(onnx)
    trt = require("tensorrt", _PURPOSE)
    logger = trt.Logger(trt.Logger.WARNING)
    builder = trt.Builder(logger)
    network = builder.create_network(0)
    parser = trt.OnnxParser(network, logger)
    if not parser.parse_from_file(str(onnx)):
        errors = "; ".join(str(parser.get_error(i)) for i in range(parser.num_errors))
        raise SceneDinoError(f"TensorRT cannot read {onnx}: {errors}")
    config = builder.create_builder_config()
    profile = builder.create_optimization_profile()
    for number in range(network.num_inputs):
        tensor = network.get_input(number)
        if -1 in tensor.shape:
            sizes = (
                [count if size == -1 else size for size in tensor.shape]
                for count in (1, MOST_POINTS, MOST_POINTS)
            )
            profile.set_shape(tensor.name, *sizes)
    config.add_optimization_profile(profile)
    plan = builder.build_serialized_network(network, config)
    if plan is None:
        raise SceneDinoError(f"TensorRT cannot build {onnx}; see its messages above")
    handle, partial = tempfile.mkstemp(dir=onnx.parent, prefix=f".{path.name}.")
    with os.fdopen(handle, "wb") as file:
        file.write(plan)
    os.replace(partial, path)


def build_where_possible(folder: Path, report: Report) -> str:
    """Build the engines of all ONNX files of a folder where TensorRT and a GPU are available.

    Args:
        folder: Holds the graphs.
        report: Receives a few words on each long step.

    Returns:
        What was built, or why nothing was.

    Raises:
        SceneDinoError: If TensorRT cannot build an engine.
    """
    files = sorted(folder.glob("*.onnx"))
    try:
        names = [engine_path(path).name for path in files]
    except InputError as error:
        return f"not built: {error}"
    for path in files:
        report(f"building the TensorRT engine of {path.name}; this takes minutes")
        build(path)
    return ", ".join(names)


class TensorRtGraph:
    """A TensorRT engine. The host does not wait for it; the current CUDA stream does."""

    def __init__(self, onnx: Path, device: torch.device) -> None:
        """Load the engine of an ONNX file, see `build`.

        Args:
            onnx: The .onnx file.
            device: The GPU.

        Raises:
            InputError: If TensorRT is not installed or there is no GPU.
            SceneDinoError: If the engine cannot be loaded.
        """
        trt = require("tensorrt", _PURPOSE)
        path = engine_path(onnx)
        self._device = device
        self._runtime = trt.Runtime(trt.Logger(trt.Logger.WARNING))
        self._engine = self._runtime.deserialize_cuda_engine(path.read_bytes())
        if self._engine is None:
            raise SceneDinoError(f"TensorRT cannot load {path}; delete it")
        self._context = self._engine.create_execution_context()
        # In the default stream TensorRT makes the host wait.
        self._stream = torch.cuda.Stream(device)
        names = [self._engine.get_tensor_name(i) for i in range(self._engine.num_io_tensors)]
        self._outputs = {
            name: _TORCH_TYPES[self._engine.get_tensor_dtype(name).name]
            for name in names
            if self._engine.get_tensor_mode(name) == trt.TensorIOMode.OUTPUT
        }

    def run(self, inputs: dict[str, torch.Tensor], outputs: dict[str, torch.Tensor]) -> None:
        """Fill outputs; see `graph_engine.Graph`."""
        for name, tensor in inputs.items():
            self._context.set_input_shape(name, tuple(tensor.shape))
            self._context.set_tensor_address(name, tensor.data_ptr())
        everything: dict[str, Any] = dict(outputs)
        for name in self._outputs.keys() - outputs.keys():  # each needs memory
            shape = tuple(self._context.get_tensor_shape(name))
            everything[name] = torch.empty(shape, dtype=self._outputs[name], device=self._device)
        for name, tensor in everything.items():
            self._context.set_tensor_address(name, tensor.data_ptr())
        current = torch.cuda.current_stream(self._device)
        self._stream.wait_stream(current)
        if not self._context.execute_async_v3(self._stream.cuda_stream):
            raise SceneDinoError("TensorRT could not run the network; see its messages above")
        # So that it reads the outputs, and uses the memory of tensors again, only afterwards.
        current.wait_stream(self._stream)


_TORCH_TYPES = {"FLOAT": torch.float32, "INT32": torch.int32, "INT64": torch.int64}
