"""One stage-1 step for one item: what is rendered along ray patches, as specified."""

from dataclasses import dataclass
from typing import Protocol

import torch
from torch.nn import functional

from scenedino_ros.network.field import (
    MIN_DEPTH,
    PointField,
    PositionalCode,
    Projection,
    project,
    sample_map,
)
from scenedino_ros.network.render import composite
from train.field.losses import filling, unseen_share
from train.field.rays import RayPatches


class FieldNetwork(Protocol):
    """The parts of `SceneDino` a step needs after the encoder."""

    code: PositionalCode
    field: PointField


@dataclass(frozen=True)
class EncoderView:
    """The encoded image of an item.

    Attributes:
        feature_map: (1, D, H', W').
        K_norm: (3, 3) intrinsics for coordinates in [-1, 1].
        T_cam_world: (4, 4) world points to this camera, metres.
        min_depth: Points nearer to this camera's plane, or behind it, count as this far, metres.
    """

    feature_map: torch.Tensor
    K_norm: torch.Tensor
    T_cam_world: torch.Tensor
    min_depth: float = MIN_DEPTH


@dataclass(frozen=True)
class SourceViews:
    """The images colours are taken from.

    Attributes:
        images: (S, 3, H, W) in [0, 1].
        K_norm: (S, 3, 3).
        T_cam_world: (S, 4, 4).
    """

    images: torch.Tensor
    K_norm: torch.Tensor
    T_cam_world: torch.Tensor


@dataclass(frozen=True)
class RenderedPatches:
    """What the field shows along the rays of P patches.

    Attributes:
        distance: (P, p, p) metres along the ray.
        filled: (P, p, p, K) how filled the space at the samples is, 0 to 1.
        weights: (P, p, p, K) of the samples.
        colors: (P, p, p, S, 3), one for each source view.
        unseen: (P, p, p, S) share of each pixel's weight that a source view, or the encoder, does
            not see.
        feature: (P, p, p, F) rendered features.
    """

    distance: torch.Tensor
    filled: torch.Tensor
    weights: torch.Tensor
    colors: torch.Tensor
    unseen: torch.Tensor
    feature: torch.Tensor


def project_world(
    points: torch.Tensor, K_norm: torch.Tensor, T_cam_world: torch.Tensor
) -> Projection:
    """Project (N, 3) world points into V cameras; the results are (V, N, ...)."""
    R, t = T_cam_world[:, :3, :3], T_cam_world[:, None, :3, 3]
    return project(points @ R.transpose(1, 2) + t, K_norm)


def render_patches(
    network: FieldNetwork,
    encoder: EncoderView,
    sources: SourceViews,
    rays: RayPatches,
    distances: torch.Tensor,
) -> RenderedPatches:
    """Render depth, colours and features along ray patches.

    Args:
        network: Positional code and point MLP.
        encoder: The encoded image.
        sources: Images to take colours from.
        rays: P patches of p x p rays.
        distances: (P, p, p, K) of the samples, metres, ascending.
    """
    steps = distances.unsqueeze(-1) * rays.directions.unsqueeze(-2)
    points = (rays.origins[:, None, None, None] + steps).view(-1, 3)
    seen = project_world(points, encoder.K_norm[None], encoder.T_cam_world[None])
    code = network.code(seen.uv_norm[0], seen.depth[0].clamp(min=encoder.min_depth))
    logit, feature = network.field(sample_map(encoder.feature_map, seen.uv_norm)[0], code)
    found = project_world(points, sources.K_norm, sources.T_cam_world)
    colors = sample_map(sources.images, found.uv_norm)  # (S, N, 3)
    invalid = ~(found.visible & seen.visible)  # (S, N)
    shape = distances.shape
    density = functional.softplus(logit).view(shape)
    result = composite(density, distances, opaque_end=True)
    n_sources = len(colors)
    blended = result.blend(colors.permute(1, 0, 2).reshape(*shape, n_sources * 3))
    flags = invalid.T.reshape(*shape, n_sources).to(result.weights.dtype)
    return RenderedPatches(
        distance=result.distance,
        filled=filling(density),
        weights=result.weights,
        colors=blended.unflatten(-1, (n_sources, 3)),
        unseen=unseen_share(flags, result.weights),
        feature=result.blend(feature.view(*shape, -1)),
    )
