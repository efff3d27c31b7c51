# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""The frozen field of stage 1, rendered from the camera of the encoded image.

All samples of a ray project to the same pixel, so the feature map is read once per ray, not once
per sample. The other savings are those of `scenedino_ros.network.folded`.
"""

from collections.abc import Callable, Hashable

import torch
from torch.nn import functional

from scenedino_ros.network.field import project
from scenedino_ros.network.folded import FoldedSceneDino, bilinear_taps
from scenedino_ros.network.model import SceneDino
from scenedino_ros.network.render import composite, ray_directions, sample_distances
from train.semantics.map_cache import MapCache

_CHUNK_SAMPLES = 1 << 18  # points whose hidden layer is in memory at one time
_ENCODE_MODE = "direct_kmeans"  # any mode: no head is folded


class FrozenField:
    """Encodes images into fields; caches the maps of the latest images."""

    def __init__(self, model: SceneDino, cache_mb: int) -> None:
        """Fold a network; it must not be trained afterwards.

        Args:
            model: Network on the device it shall run on; its semantic head is not used.
            cache_mb: Memory of the device for cached maps, MiB.
        """
        self._network = FoldedSceneDino(model, _ENCODE_MODE).eval()
        self._cache = MapCache(cache_mb)

    @torch.no_grad()
    def view(self, key: Hashable, image: torch.Tensor, K_norm: torch.Tensor) -> "FieldView":
        """Return the field of an image.

        Args:
            key: The same for the same image.
            image: (3, H, W) RGB in [-1, 1].
            K_norm: (3, 3) intrinsics for coordinates in [-1, 1].
        """
        found = self._cache.get(key, lambda: self._network.hidden_map(image[None])[0])
        return FieldView(self._network, found, K_norm)


class FieldView:
    """The field of one image; all points in the optical frame of its camera, metres."""

    def __init__(
        self, network: FoldedSceneDino, hidden_map: torch.Tensor, K_norm: torch.Tensor
    ) -> None:
        """Take an encoded image.

        Args:
            network: The folded network.
            hidden_map: (H', W', hidden) float32 map from `FoldedSceneDino.hidden_map`.
            K_norm: (3, 3) intrinsics for coordinates in [-1, 1].
        """
        self._network, self.K_norm = network, K_norm
        self._code = network.plain.code.for_camera(K_norm)
        self._map_size = hidden_map.shape[:2]
        self._rows = hidden_map.flatten(0, 1)

    def rays(self, uv_norm: torch.Tensor) -> torch.Tensor:
        """Return the (R, 3) unit directions of the rays through (R, 2) positions in [-1, 1]."""
        return ray_directions(self.K_norm, uv_norm)

    @torch.no_grad()
    def points(self, points_cam: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return (N,) densities, 1/m, and (N, F) features of (N, 3) points."""
        found = project(points_cam[None], self.K_norm[None])
        uv_norm, depth = found.uv_norm[0], found.depth[0]
        code = self._code(uv_norm, depth)
        taps = bilinear_taps(uv_norm, *self._map_size)
        hidden = self._network.hidden(self._rows, *taps, code)
        return self._network.density(hidden), self._network.feature(hidden)

    def distances(self, uv_norm: torch.Tensor, jitter: torch.Tensor) -> torch.Tensor:
        """Return the (R,) rendered distances along rays; arguments as for `rendered`."""
        return self._render(uv_norm, jitter, wants_feature=False)[:, 0]

    def rendered(
        self, uv_norm: torch.Tensor, jitter: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Render rays through pixels.

        Args:
            uv_norm: (R, 2) positions in the image, in [-1, 1].
            jitter: (R, K) position of each sample in its interval, in [0, 1).

        Returns:
            (R,) distances along the rays, metres, and (R, F) rendered features.
        """
        result = self._render(uv_norm, jitter, wants_feature=True)
        return result[:, 0], result[:, 1:]

    @torch.no_grad()
    def _render(
        self, uv_norm: torch.Tensor, jitter: torch.Tensor, *, wants_feature: bool
    ) -> torch.Tensor:
        def part(uv_norm: torch.Tensor, jitter: torch.Tensor) -> torch.Tensor:
            return self._render_part(uv_norm, jitter, wants_feature=wants_feature)

        return in_chunks(part, max(1, _CHUNK_SAMPLES // jitter.shape[-1]), uv_norm, jitter)

    def _render_part(
        self, uv_norm: torch.Tensor, jitter: torch.Tensor, *, wants_feature: bool
    ) -> torch.Tensor:
        network, samples = self._network, jitter.shape[-1]
        distances = sample_distances(*network.plain.code.depth_range, samples, jitter)
        depth = distances * self.rays(uv_norm)[:, 2:]
        index, weight = bilinear_taps(uv_norm, *self._map_size)
        pixel = functional.embedding_bag(index, self._rows, per_sample_weights=weight, mode="sum")
        code = self._code(uv_norm[:, None].expand(-1, samples, -1), depth)  # (R, K, n)
        hidden = torch.relu_((code @ network.code_weight).add_(pixel[:, None]))
        ray = composite(network.density(hidden), distances, opaque_end=True)
        if not wants_feature:
            return ray.distance[:, None]
        feature = network.feature(ray.blend(hidden), ray.weights.sum(dim=-1))
        return torch.cat([ray.distance[:, None], feature], dim=1)


def in_chunks(
    compute: Callable[..., torch.Tensor], size: int, *arguments: torch.Tensor
) -> torch.Tensor:
    """Return the result of `compute`, called on parts of at most `size` rows."""
    parts = zip(*(argument.split(size) for argument in arguments), strict=True)
    return torch.cat([compute(*part) for part in parts])


def grid_positions(height: int, width: int) -> torch.Tensor:
    """Return the (height * width, 2) centres of a grid's cells over an image, in [-1, 1]."""
    y = -1 + (2 * torch.arange(height) + 1) / height
    x = -1 + (2 * torch.arange(width) + 1) / width
    return torch.stack(torch.meshgrid(y, x, indexing="ij")[::-1], dim=-1).view(-1, 2)
