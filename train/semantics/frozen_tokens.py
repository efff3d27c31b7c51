# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""The tokens of a frozen 2D backbone in the place of a rendered field: STEGO in the image.

Source: Hamilton et al., Unsupervised Semantic Segmentation by Distilling Feature Correspondences
(STEGO), ICLR 2022.
"""

import math
from collections.abc import Hashable

import torch
from torch.nn import functional

from scenedino_ros.network.field import sample_map
from scenedino_ros.network.model import SceneDino
from train.semantics.map_cache import MapCache


class FrozenTokens:
    """Encodes images into tokens; caches those of the latest images."""

    def __init__(self, model: SceneDino, cache_mb: int) -> None:
        """Take the encoder of a network, on the device it shall run on.

        Args:
            model: The network; nothing else of it is used.
            cache_mb: Memory of the device for cached tokens, MiB.
        """
        self._encoder = model.encoder
        self._cache = MapCache(cache_mb)

    @torch.no_grad()
    def view(self, key: Hashable, image: torch.Tensor, K_norm: torch.Tensor) -> "TokenView":
        """Return the tokens of an image; arguments as for `FrozenField.view`."""
        return TokenView(self._cache.get(key, lambda: self._encoder(image[None])[-1][0]))


class TokenView:
    """The tokens of one image."""

    def __init__(self, tokens: torch.Tensor) -> None:
        """Take the (C, rows, columns) unit tokens of an image."""
        self._tokens = tokens[None]

    @torch.no_grad()
    def features(self, uv_norm: torch.Tensor) -> torch.Tensor:
        """Return the (R, C) unit features at (R, 2) positions in the image, in [-1, 1]."""
        return functional.normalize(sample_map(self._tokens, uv_norm[None])[0], dim=-1)

    def rendered(
        self, uv_norm: torch.Tensor, jitter: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return features as `FieldView.rendered` does; there are no distances, nor samples."""
        feature = self.features(uv_norm)
        return feature.new_zeros(len(feature)), feature

    def window(self, n_points: int, size: float, left: float, top: float) -> torch.Tensor:
        """Return the features of a regular grid of points in a square window.

        Args:
            n_points: Number of points, a square number.
            size: Edge of the window, as a fraction of the height of the image.
            left: Place of the window between the left end of the image, 0, and the right one, 1.
            top: Place between the upper end, 0, and the lower one, 1.

        Returns:
            (points, C) unit features.
        """
        rows, columns = self._tokens.shape[-2:]
        edge = math.isqrt(n_points)
        steps = (2 * torch.arange(edge, device=self._tokens.device) + 1) / edge - 1
        width = min(1.0, size * rows / columns)
        x = steps * width + (2 * left - 1) * (1 - width)
        y = steps * size + (2 * top - 1) * (1 - size)
        grid = torch.stack(torch.meshgrid(y, x, indexing="ij")[::-1], dim=-1)
        return self.features(grid.view(-1, 2))
