# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""The folded network run by PyTorch."""

import torch
from torch import nn

from scenedino_ros.core.config import PRECISIONS
from scenedino_ros.core.errors import InputError
from scenedino_ros.inference.engines.cuda_graphs import CudaGraph
from scenedino_ros.inference.engines.engine import Engine, Points
from scenedino_ros.network.folded import FoldedSceneDino
from scenedino_ros.network.model import SceneDino


class TorchEngine:
    """The folded network, run by PyTorch."""

    concurrent = True

    def __init__(self, model: SceneDino, device: torch.device, precision: str, mode: str) -> None:
        """Fold a network and move it to a device; it must not be trained afterwards.

        Args:
            model: The plain network.
            device: Where it runs.
            precision: ``float32`` or ``bfloat16``, for everything but positions, their codes,
                densities from their logits, and the scores of classes. On a CPU ``bfloat16``
                holds for the image part and the head; points gain nothing by it there.
            mode: Which head names the classes.

        Raises:
            InputError: If there is no such precision.
        """
        if precision not in PRECISIONS:
            raise InputError(f"precision must be float32 or bfloat16, got '{precision}'")
        self.network = FoldedSceneDino(model, mode)
        if precision == "bfloat16":
            # Rounded once here, not for every image.
            for part in (model.encoder, model.decoder, self.network.tail.first):
                _round_weights(part)
            # Copies of the rest release the checkpoint's file and its float32 weights.
            self.network.apply(_own_tensors)
        self.network.to(device)
        self._device, self._precision = device, precision
        low = torch.bfloat16 if precision == "bfloat16" else torch.float32
        self._map_type = torch.float32 if device.type == "cpu" else low
        self._head_type = low
        self._image_graph = CudaGraph(self._whole_map, device) if device.type == "cuda" else None

    def describe(self) -> str:
        """Return a few words on what runs the network."""
        graph = self._image_graph
        how = ", CUDA graph" if graph is not None and graph.is_captured else ""
        return f"PyTorch {torch.__version__}, {self._precision}{how}"

    def hidden_map(self, image: torch.Tensor) -> torch.Tensor:
        """Return the (H', W', hidden) map of a (1, 3, H, W) image in [-1, 1]."""
        if self._image_graph is not None:
            return self._image_graph(image)
        with self._arithmetic():
            return self.network.hidden_map_in_strips(image, self._map_type)[0]

    def _whole_map(self, image: torch.Tensor) -> torch.Tensor:
        with self._arithmetic():
            return self.network.hidden_map(image)[0].to(self._map_type)

    def _arithmetic(self) -> torch.autocast:
        low = self._precision == "bfloat16"
        return torch.autocast(self._device.type, torch.bfloat16, enabled=low)

    def density(self, rows: torch.Tensor, points: Points) -> torch.Tensor:
        """Return the (N,) densities, 1/m, of points in a (H' * W', hidden) map."""
        return self.network.density(self.network.hidden(rows, *points))

    def samples(self, rows: torch.Tensor, points: Points) -> tuple[torch.Tensor, torch.Tensor]:
        """Return (N,) densities and (N, P) values that may be blended."""
        hidden = self.network.hidden(rows, *points)
        return self.network.density(hidden), self.network.blendable(hidden)

    def ray_density(
        self, rows: torch.Tensor, rays: Points, depth_code: torch.Tensor
    ) -> torch.Tensor:
        """Return the (R, S) densities of points on rays, given as to `points_on_rays`."""
        return self.network.density(self.network.hidden_on_rays(rows, *rays, depth_code))

    def ray_samples(
        self, rows: torch.Tensor, rays: Points, depth_code: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return (R, S) densities and (R, S, P) values of points on rays."""
        hidden = self.network.hidden_on_rays(rows, *rays, depth_code)
        return self.network.density(hidden), self.network.blendable(hidden)

    def feature(self, blended: torch.Tensor, total: torch.Tensor | None = None) -> torch.Tensor:
        """Return (..., F) features of what `samples` returned, blended or not."""
        return self.network.feature(blended, total)

    def classify(self, feature: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return (N,) class ids and (N,) confidences in [0, 1] of (N, F) features.

        Raises:
            InputError: If the network has no semantic head.
        """
        if self.network.head is None:
            raise InputError("classes need a network with a semantic head, this one has none")
        return self.network.head.name_classes(feature.to(self._head_type))


def can_be_captured(engine: Engine, device: torch.device) -> bool:
    """Return whether calls of an engine on a device may become part of a CUDA graph.

    Graphs of ONNX Runtime and TensorRT run in streams of their own.
    """
    return device.type == "cuda" and isinstance(engine, TorchEngine)


def _own_tensors(layer: nn.Module) -> None:
    for parameter in layer.parameters(recurse=False):
        parameter.data = parameter.data.clone()
    for name, buffer in layer.named_buffers(recurse=False):
        setattr(layer, name, buffer.clone())


def _round_weights(part: nn.Module) -> None:
    for layer in part.modules():
        if isinstance(layer, nn.Linear | nn.Conv2d | nn.ConvTranspose2d):
            layer.to(torch.bfloat16)
