# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Depths and features of the field, rendered from the position of the source camera."""

from collections import OrderedDict
from collections.abc import Callable
from typing import NamedTuple

import torch

from scenedino_ros.cameras.camera import PinholeCamera
from scenedino_ros.core.model_config import ModelConfig
from scenedino_ros.inference.device import Chunks
from scenedino_ros.inference.engines.cuda_graphs import CudaGraph
from scenedino_ros.inference.engines.engine import Engine, Points
from scenedino_ros.inference.engines.torch_engine import can_be_captured
from scenedino_ros.inference.grid_view import bytes_per_point, encode_depths, points_at
from scenedino_ros.inference.query import EncodedImage
from scenedino_ros.network.field import PositionalCode, project
from scenedino_ros.network.render import (
    composite,
    opacity_up_to,
    pixel_rays,
    sample_distances,
)


class Sampling(NamedTuple):
    """Where a ray is sampled.

    Attributes:
        n_samples: Samples per ray.
        spacing: How they are spaced, see `network.render.sample_distances`.
        jitter_seed: Seed of the samples' places within their intervals; None: the middles.
    """

    n_samples: int
    spacing: str
    jitter_seed: int | None


class Rays(NamedTuple):
    """The rays of R pixels and their samples; they depend on calibration and sampling only.

    Attributes:
        on_map: Where the rays pass through the map, as the engine takes it.
        along: (R,) depth along the optical axis per metre along the ray.
        distances: (S,) distances of the samples along all rays, metres, or (R, S).
        depth_code: (R, S, K / 3) depth's part of the code of the samples.
    """

    on_map: Points
    along: torch.Tensor
    distances: torch.Tensor
    depth_code: torch.Tensor

    def part(self, pixels: slice) -> "Rays":
        """Return the rays of some pixels, which share their distances."""
        on_map = Points(*(column[pixels] for column in self.on_map))
        return Rays(on_map, self.along[pixels], self.distances, self.depth_code[pixels])


class ViewRenderer:
    """Casts a ray through every pixel and blends the network's answers along it."""

    def __init__(
        self,
        engine: Engine,
        code: PositionalCode,
        config: ModelConfig,
        chunks: Chunks,
        n_views: int = 1,
    ) -> None:
        """Set what is rendered, and in how much memory.

        Args:
            engine: The network.
            code: Its positional code.
            config: Its configuration.
            chunks: Splits the rays so that they fit.
            n_views: Number of views whose rays are remembered, one for each camera that takes its
                turn: those that fit the memory budget.
        """
        self._engine, self._code, self._config, self._chunks = engine, code, config, chunks
        self._n_views = n_views
        self._captures = can_be_captured(engine, chunks.device)
        # By what they depend on; those that were used last come last.
        self._rays: OrderedDict[tuple[object, ...], Rays] = OrderedDict()
        # On a GPU, what is blended along remembered rays, with features and without, as a function
        # of the map.
        self._graphs: dict[tuple[tuple[object, ...], bool], CudaGraph] = {}

    def forget(self) -> None:
        """Free what is remembered of the last views."""
        self._rays.clear()
        self._graphs.clear()

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
        shape = camera.height, camera.width
        key = (encoded.camera.K.tobytes(), shape, sampling, encoded.map_size)
        known = self._rays.get(key)
        if known is not None:
            self._rays.move_to_end(key)
            cast: Callable[[slice], Rays] = known.part
        else:
            cast = self._caster(encoded, camera, sampling)
            code_bytes = 4 * shape[0] * shape[1] * sampling.n_samples * self._code.channels // 3
            if sampling.jitter_seed is None and code_bytes <= self._chunks.budget:
                while len(self._rays) >= self._n_views:
                    self._forget_oldest()  # frees old ones before the new ones are made
                self._rays[key] = cast(slice(None))
                cast = self._rays[key].part

        def blended(rows: torch.Tensor) -> torch.Tensor:
            return self._chunks.fill(
                shape[0] * shape[1],
                sampling.n_samples * bytes_per_point(self._config),
                lambda part: self._blend(rows, cast(part), wants_feature),
                2 + (self._config.feature_dim if wants_feature else 0),
            )

        if known is None or not self._captures:
            return blended(encoded.rows)
        # Not at the first use: a camera that changes has rays of its own for each image.
        graph = self._graphs.get((key, wants_feature))
        if graph is None:
            graph = self._graphs[key, wants_feature] = CudaGraph(blended, self._chunks.device)
        return graph(encoded.rows)

    def _forget_oldest(self) -> None:
        key, _ = self._rays.popitem(last=False)
        for wants_feature in (False, True):
            self._graphs.pop((key, wants_feature), None)

    def _caster(
        self, encoded: EncodedImage, camera: PinholeCamera, sampling: Sampling
    ) -> Callable[[slice], Rays]:
        """Return a function that casts the rays of some pixels of a camera."""
        near, far = self._config.depth_range
        device = encoded.rows.device
        K_norm = torch.from_numpy(encoded.camera.K_norm).float().to(device)
        code = self._code.for_camera(K_norm)
        directions = pixel_rays(K_norm, camera.height, camera.width).view(-1, 3)
        jitter: torch.Tensor | float = 0.5
        if sampling.jitter_seed is not None:
            draws = torch.Generator().manual_seed(sampling.jitter_seed)
            jitter = torch.rand(len(directions), sampling.n_samples, generator=draws)
        # (S,), or (R, S) where each ray has its own.
        distances = sample_distances(near, far, sampling.n_samples, jitter, sampling.spacing).to(
            device
        )

        def cast(part: slice) -> Rays:
            own = distances[part] if distances.ndim == 2 else distances
            found = project(directions[part].unsqueeze(0), K_norm.unsqueeze(0))
            along = directions[part, 2]
            depth = own * along.unsqueeze(1)  # (R, S)
            return Rays(
                points_at(found.uv_norm[0], found.depth[0], encoded.map_size, code),
                along,
                own,
                encode_depths(code, depth.flatten()).view(*depth.shape, -1).contiguous(),
            )

        return cast

    def _blend(self, rows: torch.Tensor, rays: Rays, wants_feature: bool) -> torch.Tensor:
        where = rows, rays.on_map, rays.depth_code
        if wants_feature:
            density, linear = self._engine.ray_samples(*where)
        else:
            density = self._engine.ray_density(*where)
        ray = composite(density, rays.distances)
        opacity = opacity_up_to(density, rays.distances, self._config.depth_range[1])
        seen = torch.stack([ray.distance * rays.along, opacity], dim=1)
        if not wants_feature:
            return seen
        blended = (ray.weights.unsqueeze(1).to(linear.dtype) @ linear).squeeze(1)
        return torch.cat([seen, self._engine.feature(blended, ray.weights.sum(dim=-1))], dim=1)
