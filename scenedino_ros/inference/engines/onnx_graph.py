# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""A graph run by ONNX Runtime."""

from pathlib import Path

import numpy as np
import torch

from scenedino_ros.core.errors import InputError
from scenedino_ros.inference.engines.packages import require

_PURPOSE = "engine onnx"
_NUMPY_TYPES = {torch.float32: np.float32, torch.int32: np.int32, torch.int64: np.int64}


def onnxruntime_version() -> str:
    """Return the version of ONNX Runtime.

    Raises:
        InputError: If it is not installed.
    """
    return require("onnxruntime", _PURPOSE).__version__


def require_provider(device: torch.device) -> str:
    """Return the part of ONNX Runtime that runs graphs on a device.

    Raises:
        InputError: If ONNX Runtime is not installed, or not for this device.
    """
    known = require("onnxruntime", _PURPOSE).get_available_providers()
    provider = "CUDAExecutionProvider" if device.type == "cuda" else "CPUExecutionProvider"
    if provider not in known:
        raise InputError(
            "engine onnx on a GPU needs the Python package onnxruntime-gpu, got ONNX Runtime "
            f"with {', '.join(known)}"
        )
    return provider


class OnnxGraph:
    """An ONNX file, run where the tensors lie."""

    def __init__(self, path: Path, device: torch.device) -> None:
        """Load a graph.

        Args:
            path: The .onnx file.
            device: Where it runs.

        Raises:
            InputError: If ONNX Runtime is not installed, or not for this device.
        """
        ort = require("onnxruntime", _PURPOSE)
        provider = require_provider(device)
        options = ort.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        # Idle threads of one session must not keep the processor from the next one.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        self._device = device
        self._session = ort.InferenceSession(path, options, providers=[provider])
        self._run_options = ort.RunOptions()
        self._run_options.only_execute_path_to_fetches = True

    def run(self, inputs: dict[str, torch.Tensor], outputs: dict[str, torch.Tensor]) -> None:
        """Fill outputs, those that are asked for; see `graph_engine.Graph`."""
        binding = self._session.io_binding()
        for bind, tensors in ((binding.bind_input, inputs), (binding.bind_output, outputs)):
            for name, tensor in tensors.items():
                place = tensor.device.type, tensor.device.index or 0
                shape = tuple(tensor.shape)
                bind(name, *place, _NUMPY_TYPES[tensor.dtype], shape, tensor.data_ptr())
        if self._device.type == "cuda":  # ONNX Runtime works in a stream of its own
            torch.cuda.current_stream(self._device).synchronize()
        self._session.run_with_iobinding(binding, self._run_options)
