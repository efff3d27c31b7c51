# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Depths and features of the field, rendered from the position of the source camera."""

from typing import NamedTuple

import torch

from scenedino_ros.cameras.camera import PinholeCamera
from scenedino_ros.core.config import ModelConfig
from scenedino_ros.inference.device import Chunks
from scenedino_ros.inference.engines.engine import Engine
from scenedino_ros.inference.grid_view import bytes_per_point, points_at
from scenedino_ros.inference.query import EncodedImage
from scenedino_ros.network.field import PositionalCode, project
from scenedino_ros.network.render import composite, opacity_up_to, pixel_rays, sample_distances


class Sampling(NamedTuple):
    """Where a ray is sampled.

    Attributes:
        n_samples: Samples per ray, uniform in inverse depth.
        jitter_seed: Seed of the samples' places within their intervals; None: the middles.
    """

    n_samples: int
    jitter_seed: int | None


class ViewRenderer:
    """Casts a ray through every pixel and blends the network's answers along it."""

    def __init__(
        self, engine: Engine, code: PositionalCode, config: ModelConfig, chunks: Chunks
    ) -> None:
        """Set what is rendered, and in how much memory.

        Args:
            engine: The network.
            code: Its positional code.
            config: Its configuration.
            chunks: Splits the rays so that they fit.
        """
        self._engine, self._code, self._config, self._chunks = engine, code, config, chunks

    def blend(
        self, encoded: EncodedImage, camera: PinholeCamera, sampling: Sampling, wants_feature: bool
    ) -> torch.Tensor:
        """Render all pixels of a camera.

        Args:
            encoded: The encoded image.
            camera: The camera, at the position of the source camera.
            sampling: Where rays are sampled.
            wants_feature: Whether features are wanted.

        Returns:
            (h * w, 2) depths along the optical axis, metres, and opacities within the depth range,
            or (h * w, 2 + F) with features.
        """
        near, far = self._config.depth_range
        device = encoded.rows.device
        K_norm = torch.from_numpy(encoded.camera.K_norm).float().to(device)
        rays = pixel_rays(K_norm, camera.height, camera.width).view(-1, 3)
        jitter: torch.Tensor | float = 0.5
        if sampling.jitter_seed is not None:
            draws = torch.Generator().manual_seed(sampling.jitter_seed)
            jitter = torch.rand(len(rays), sampling.n_samples, generator=draws)
        # (S,), or (R, S) where each ray has its own.
        distances = sample_distances(near, far, sampling.n_samples, jitter).to(device)

        def blend(part: slice) -> torch.Tensor:
            own = distances[part] if distances.ndim == 2 else distances
            return self._blend(encoded, rays[part], own, K_norm, wants_feature)

        return self._chunks.fill(
            len(rays),
            sampling.n_samples * bytes_per_point(self._config),
            blend,
            2 + (self._config.feature_dim if wants_feature else 0),
        )

    def _blend(
        self,
        encoded: EncodedImage,
        rays: torch.Tensor,
        distances: torch.Tensor,
        K_norm: torch.Tensor,
        wants_feature: bool,
    ) -> torch.Tensor:
        points = rays.unsqueeze(1) * distances.unsqueeze(-1)  # (R, S, 3)
        found = project(points.view(1, -1, 3), K_norm.unsqueeze(0))
        where = points_at(found.uv_norm[0], found.depth[0], encoded.map_size, self._code)
        if wants_feature:
            density, linear = self._engine.samples(encoded.rows, where)
        else:
            density = self._engine.density(encoded.rows, where)
        shape = points.shape[:2]
        ray = composite(density.view(shape), distances)
        opacity = opacity_up_to(density.view(shape), distances, self._config.depth_range[1])
        seen = torch.stack([ray.distance * rays[:, 2], opacity], dim=1)
        if not wants_feature:
            return seen
        blended = ray.blend(linear.view(*shape, -1))
        return torch.cat([seen, self._engine.feature(blended, ray.weights.sum(dim=-1))], dim=1)
