# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""The network as three ONNX graphs: the image part, the point part and the classes."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from scenedino_ros.core.backbones import backbone_spec, patch_grid
from scenedino_ros.core.model_config import ModelConfig
from scenedino_ros.inference.engines.packages import require
from scenedino_ros.network.folded import FoldedSceneDino
from scenedino_ros.network.folded_head import FieldHead, FoldedHead

# File of each graph.
IMAGE, POINTS, CLASSES = "image.onnx", "points.onnx", "classes.onnx"

_EXAMPLE_POINTS = 8  # any number but 0 and 1, which the exporter would take for constants


class ImagePart(nn.Module):
    """``image`` (1, 3, H, W) RGB in [-1, 1] to ``map`` (H', W', hidden)."""

    def __init__(self, network: FoldedSceneDino) -> None:
        """Take the part of a folded network."""
        super().__init__()
        self.network = network

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """Return the map."""
        return self.network.hidden_map(image)[0]


class PointPart(nn.Module):
    """Points to ``density`` (N,), 1/m, and ``feature`` (N, F).

    Inputs are ``rows`` (H' * W', hidden), the image part's map, and what `engine.Points`
    holds: ``index`` (N, 4) int32, ``weight`` (N, 4) and ``code`` (N, K).
    """

    def __init__(self, network: FoldedSceneDino) -> None:
        """Take the part of a folded network."""
        super().__init__()
        self.network = network

    def forward(
        self, rows: torch.Tensor, index: torch.Tensor, weight: torch.Tensor, code: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return density and feature."""
        hidden = code @ self.network.code_weight
        for tap in range(4):
            hidden = hidden + rows.index_select(0, index[:, tap]) * weight[:, tap, None]
        hidden = torch.relu(hidden)
        feature = self.network.feature(self.network.blendable(hidden))
        return self.network.density(hidden), feature


class ClassPart(nn.Module):
    """``feature`` (N, F) to ``label`` (N,) int64 and ``confidence`` (N,) in [0, 1]."""

    def __init__(self, head: FoldedHead | FieldHead) -> None:
        """Take the head of a folded network."""
        super().__init__()
        self.head = head

    def forward(self, feature: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return label and confidence."""
        return self.head.name_classes(feature)


def write_graphs(network: FoldedSceneDino, folder: Path) -> None:
    """Write the graphs of a folded network, large weights in files beside them.

    Args:
        network: The network, on the CPU.
        folder: Existing folder.

    Raises:
        InputError: If the packages that write ONNX are not installed.
    """
    # PyTorch's compiler last: it makes its folder when it is imported, and where it cannot, the
    # exporter would wrap the reason in pages of its own.
    for package in ("onnx", "onnxscript", "torch._dynamo"):
        require(package, "writing ONNX graphs")
    config = network.plain.config
    n = torch.export.Dim.DYNAMIC
    image = torch.zeros(1, 3, *config.image_size)
    height, width = map_size(config)
    _write(ImagePart(network), {"image": image}, ("map",), folder / IMAGE)
    points = {
        "rows": torch.zeros(height * width, config.hidden_dim),
        "index": torch.zeros(_EXAMPLE_POINTS, 4, dtype=torch.int32),
        "weight": torch.zeros(_EXAMPLE_POINTS, 4),
        "code": torch.zeros(_EXAMPLE_POINTS, network.plain.code.channels),
    }
    varying = {"rows": None, "index": {0: n}, "weight": {0: n}, "code": {0: n}}
    _write(PointPart(network), points, ("density", "feature"), folder / POINTS, varying)
    if network.head is not None:
        feature = {"feature": torch.zeros(_EXAMPLE_POINTS, config.feature_dim)}
        names = ("label", "confidence")
        _write(ClassPart(network.head), feature, names, folder / CLASSES, {"feature": {0: n}})


def map_size(config: ModelConfig) -> tuple[int, int]:
    """Return (H', W') of the map of a network."""
    rows, columns = patch_grid(config.backbone, config.image_size)
    if backbone_spec(config.backbone).is_convolutional:
        return config.image_size
    scale = 8 * (1 + config.upsample_fusion) * (1 + config.upsample_tail)
    return scale * -(-rows // 2), scale * -(-columns // 2)


def _write(
    module: nn.Module,
    inputs: dict[str, torch.Tensor],
    outputs: Sequence[str],
    path: Path,
    varying: dict[str, dict[int, Any] | None] | None = None,
) -> None:
    with torch.no_grad():
        torch.onnx.export(
            module.eval(),
            tuple(inputs.values()),
            path,
            input_names=list(inputs),
            output_names=list(outputs),
            dynamic_shapes=varying,
            dynamo=True,
            external_data=True,
            verbose=False,
        )
