# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""The image part run by OpenVINO, points and classes by PyTorch."""

from pathlib import Path

import torch
from torch import nn

from scenedino_ros.core.errors import InputError
from scenedino_ros.inference.engines.graph_export import map_size
from scenedino_ros.inference.engines.openvino_graph import (
    OPENVINO_IMAGE,
    OpenVinoGraph,
    openvino_version,
)
from scenedino_ros.inference.engines.shared_weights import release_image_part
from scenedino_ros.inference.engines.torch_engine import TorchEngine
from scenedino_ros.network.model import SceneDino


class OpenVinoEngine(TorchEngine):
    """`TorchEngine` whose image part is a graph of OpenVINO.

    PyTorch evaluates the points: looking up rows of the map is not what OpenVINO is fast at.
    """

    def __init__(
        self, model: SceneDino, device: torch.device, precision: str, mode: str, folder: Path
    ) -> None:
        """Fold a network and replace its image part, whose weights are released.

        Args:
            model: The plain network; it has no image part afterwards.
            device: The processor.
            precision: ``float32``, ``bfloat16``, or ``int8`` for a graph that computes in it; its
                other operations and the points are float32.
            mode: Which head names the classes.
            folder: Holds the graph, see `openvino_graph.write_graph`.

        Raises:
            InputError: If OpenVINO is not installed, the processor has no bfloat16, or the device
                is a GPU.
            SceneDinoError: If OpenVINO cannot load the graph.
        """
        if device.type != "cpu":
            raise InputError(
                f"engine openvino runs on a processor, but the device is {device.type}"
            )
        arithmetic = "bfloat16" if precision == "bfloat16" else "float32"
        super().__init__(model, device, arithmetic, mode)
        self._graph = OpenVinoGraph(folder / OPENVINO_IMAGE, precision)
        self._map_shape = (*map_size(model.config), model.config.hidden_dim)
        self._description = f"OpenVINO {openvino_version()}, {precision}"
        self.network.tail = nn.Identity()
        release_image_part(model)

    def describe(self) -> str:
        """Return a few words on what runs the network."""
        return self._description

    def hidden_map(self, image: torch.Tensor) -> torch.Tensor:
        """Return the (H', W', hidden) map of a (1, 3, H, W) image in [-1, 1]."""
        result = torch.empty(self._map_shape)
        normalised = self.network.plain.encoder.normalise(image).contiguous()
        self._graph.run({"normalised": normalised}, {"map": result})
        return result.to(self._map_type)
