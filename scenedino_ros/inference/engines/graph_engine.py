# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""The network as graphs that something other than PyTorch runs."""

from collections.abc import Sequence
from typing import Protocol

import torch

from scenedino_ros.core.model_config import ModelConfig
from scenedino_ros.inference.engines.engine import Points, points_on_rays

# Points that a graph takes at a time.
MOST_POINTS = 1 << 15


class Graph(Protocol):
    """A graph with named inputs and outputs."""

    def run(self, inputs: dict[str, torch.Tensor], outputs: dict[str, torch.Tensor]) -> None:
        """Fill outputs; all tensors are contiguous and on the graph's device."""


class GraphEngine:
    """An `Engine` made of the three graphs."""

    concurrent = False  # a graph shares each operation among threads of its own

    def __init__(
        self,
        graphs: Sequence[Graph],
        config: ModelConfig,
        map_size: tuple[int, int],
        device: torch.device,
        description: str,
    ) -> None:
        """Use graphs.

        Args:
            graphs: The image part, the point part and, with a semantic head, the classes; see
                `graph_export`.
            config: Architecture of the network.
            map_size: (H', W') of its map.
            device: Where the graphs run.
            description: A few words on what runs them.
        """
        self._image, self._points, *self._classes = graphs
        self._map_shape = (*map_size, config.hidden_dim)
        self._feature_dim = config.feature_dim
        self._device = device
        self._description = description

    def describe(self) -> str:
        """Return a few words on what runs the network."""
        return self._description

    def hidden_map(self, image: torch.Tensor) -> torch.Tensor:
        """Return the (H', W', hidden) map of a (1, 3, H, W) image in [-1, 1]."""
        found = torch.empty(self._map_shape, device=self._device)
        self._image.run({"image": image.contiguous()}, {"map": found})
        return found

    def density(self, rows: torch.Tensor, points: Points) -> torch.Tensor:
        """Return the (N,) densities, 1/m, of points in a (H' * W', hidden) map."""
        density = torch.empty(len(points.index), device=self._device)
        self._run_points(rows, points, {"density": density})
        return density

    def samples(self, rows: torch.Tensor, points: Points) -> tuple[torch.Tensor, torch.Tensor]:
        """Return (N,) densities and (N, F) features."""
        density = torch.empty(len(points.index), device=self._device)
        feature = torch.empty(len(points.index), self._feature_dim, device=self._device)
        self._run_points(rows, points, {"density": density, "feature": feature})
        return density, feature

    def ray_density(
        self, rows: torch.Tensor, rays: Points, depth_code: torch.Tensor
    ) -> torch.Tensor:
        """Return the (R, S) densities of points on rays, given as to `points_on_rays`."""
        return self.density(rows, points_on_rays(rays, depth_code)).view(depth_code.shape[:2])

    def ray_samples(
        self, rows: torch.Tensor, rays: Points, depth_code: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return (R, S) densities and (R, S, F) features of points on rays."""
        density, feature = self.samples(rows, points_on_rays(rays, depth_code))
        shape = depth_code.shape[:2]
        return density.view(shape), feature.view(*shape, -1)

    def feature(self, blended: torch.Tensor, total: torch.Tensor | None = None) -> torch.Tensor:
        """Return (..., F) features, which is what `samples` returns and what was blended."""
        return blended

    def classify(self, feature: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return (N,) class ids and (N,) confidences in [0, 1] of (N, F) features."""
        label = torch.empty(len(feature), dtype=torch.int64, device=self._device)
        confidence = torch.empty(len(feature), device=self._device)
        feature = feature.contiguous()
        for part in _parts(len(feature)):
            outputs = {"label": label[part], "confidence": confidence[part]}
            self._classes[0].run({"feature": feature[part]}, outputs)
        return label, confidence

    def _run_points(
        self, rows: torch.Tensor, points: Points, outputs: dict[str, torch.Tensor]
    ) -> None:
        whole = {name: value.contiguous() for name, value in points._asdict().items()}
        for part in _parts(len(points.index)):
            inputs = {name: value[part] for name, value in whole.items()}
            found = {name: value[part] for name, value in outputs.items()}
            self._points.run({"rows": rows, **inputs}, found)


def _parts(count: int) -> list[slice]:
    return [slice(start, start + MOST_POINTS) for start in range(0, count, MOST_POINTS)]
