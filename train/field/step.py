# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""The training step of stage 1: renders a field along ray patches with as little work as possible.

The result is that of `train.field.reference_step`, which follows the specification:

* The map of a wide decoder is computed only where samples read it (`train.field.sparse_decoder`).
* `embedding_bag` sums the four neighbours of a point; it reads and writes whole rows.
* Blending along a ray is linear. So hidden activations are blended, and the feature part of the
  last layer of the MLP runs once per ray instead of once per sample.
"""

from dataclasses import dataclass, fields, replace
from typing import NamedTuple, Protocol

import torch
from torch.nn import functional

from scenedino_ros.network.field import Projection, project
from scenedino_ros.network.folded import bilinear_taps
from scenedino_ros.network.model import SceneDino
from scenedino_ros.network.render import composite
from scenedino_ros.network.resnet import SkipDecoder
from train.field.losses import metre_opacity
from train.field.rays import RayPatches
from train.field.sparse_decoder import half_map, read_map


@dataclass(frozen=True)
class EncoderView:
    """The encoded images of B items, each in its own camera frame.

    Attributes:
        feature_map: (B, D, H', W'); B is 1 for a wide decoder.
        K_norm: (B, 3, 3) intrinsics for coordinates in [-1, 1].
        min_depth: Least depth of points, metres; nearer points and points behind get it.
    """

    feature_map: torch.Tensor
    K_norm: torch.Tensor
    min_depth: float


class Sources(Protocol):
    """The source views of ray patches."""

    def colors(
        self, points: torch.Tensor, visible: torch.Tensor, weights: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return `RenderedPatches.colors` and `RenderedPatches.unseen`.

        Args:
            points: (P * p * p * K, 3) samples, metres.
            visible: (P * p * p * K,) whether the encoded view sees them.
            weights: (P, p, p, K) rendering weights.
        """


@dataclass(frozen=True)
class SourceViews:
    """The images that the colours of all patches are taken from.

    Attributes:
        images: (S, 3, H, W) in [0, 1].
        K_norm: (S, 3, 3).
        T_cam_item: (S, 4, 4) points of the encoded camera's frame to these cameras, metres.
    """

    images: torch.Tensor
    K_norm: torch.Tensor
    T_cam_item: torch.Tensor

    def colors(
        self, points: torch.Tensor, visible: torch.Tensor, weights: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return colours and unseen weights, as `Sources` says."""
        found = project_world(points, self.K_norm, self.T_cam_item)
        colors, unseen = [], []
        shape = weights.shape
        for image, uv_norm, inside in zip(self.images, found.uv_norm, found.visible, strict=True):
            color = _look_up(image[None], uv_norm[None])
            colors.append(torch.matmul(weights.unsqueeze(-2), color.view(*shape, 3)).squeeze(-2))
            invalid = ~(inside & visible)
            unseen.append((weights.detach() * invalid.view(shape)).sum(dim=-1))
        return torch.stack(colors, dim=-2), torch.stack(unseen, dim=-1)


@dataclass(frozen=True)
class RenderedPatches:
    """Renderings of P ray patches.

    Attributes:
        distance: (P, p, p) metres along the ray.
        opacity: (P, p, p, K) opacity of one metre of the space at the samples, 0 to 1.
        weights: (P, p, p, K) of the samples.
        colors: (P, p, p, S, 3), one for each source view.
        unseen: (P, p, p, S) fraction of the weight of each pixel that a source view, or the
            encoded view, does not see.
        feature: (P, p, p, F) rendered features; F is 0 where the field has classes instead.
    """

    distance: torch.Tensor
    opacity: torch.Tensor
    weights: torch.Tensor
    colors: torch.Tensor
    unseen: torch.Tensor
    feature: torch.Tensor


@dataclass(frozen=True)
class PatchBatch:
    """Rendered patches of a batch with what the target views show.

    Attributes:
        rendered: P patches.
        colors: (P, p, p, 3) colours.
        target: (P, C) target features of the patches, unit vectors; NaN where unknown.
        token: (P, 2) row and column of each target token; meaningless unless aligned.
        hint_error: (P,) from `losses.hint_error`; 0 without hints.
        behind: (P,) from `losses.opacity_behind`; 0 without hints.
        classes: () from `losses.class_loss`, mean over the items; None without classes.
    """

    rendered: RenderedPatches
    colors: torch.Tensor
    target: torch.Tensor
    token: torch.Tensor
    hint_error: torch.Tensor
    behind: torch.Tensor
    classes: torch.Tensor | None = None


def concatenate(parts: list[RenderedPatches]) -> RenderedPatches:
    """Join patches whose numbers of source views differ; the missing ones count as unseen."""
    most = max(part.colors.shape[-2] for part in parts)
    padded = [
        replace(
            part,
            colors=functional.pad(part.colors, (0, 0, 0, most - part.colors.shape[-2])),
            unseen=functional.pad(part.unseen, (0, most - part.unseen.shape[-1]), value=1.0),
        )
        for part in parts
    ]
    names = [item.name for item in fields(RenderedPatches)]
    return RenderedPatches(*(torch.cat([getattr(p, name) for p in padded]) for name in names))


def project_world(
    points: torch.Tensor, K_norm: torch.Tensor, T_cam_world: torch.Tensor
) -> Projection:
    """Project (N, 3) world points into V cameras; the results are (V, N, ...)."""
    R, t = T_cam_world[:, :3, :3], T_cam_world[:, None, :3, 3]
    return project(points @ R.transpose(1, 2) + t, K_norm)


def is_wide(network: SceneDino) -> bool:
    """Return whether the map has more channels than the MLP's hidden layer it is read into.

    Only the decoder of transformers can be computed where it is read.
    """
    if isinstance(network.decoder, SkipDecoder):
        return False
    return network.config.decoder_width > network.config.hidden_dim


def training_map(network: SceneDino, taps: list[torch.Tensor]) -> torch.Tensor:
    """Return the (B, C, h, w) map that `render_patches` reads, half the size for a wide decoder.

    Args:
        network: The network.
        taps: Four (B, C, rows, columns) outputs of the encoder.
    """
    if is_wide(network):
        return half_map(network.decoder, taps)
    final: torch.Tensor = network.decoder(taps)
    return final


def render_patches(
    network: SceneDino,
    encoder: EncoderView,
    sources: Sources,
    rays: RayPatches,
    distances: torch.Tensor,
    flipped: torch.Tensor,
    *,
    feature_shapes: bool = True,
) -> RenderedPatches:
    """Render distances, colours and features along ray patches.

    The point MLP computes in the type of the map; cameras, distances and compositing stay in
    float32.

    Args:
        network: The network.
        encoder: The encoded views, with the maps of `training_map`.
        sources: Images that colours are taken from.
        rays: P patches of p x p rays, as many for each encoded view, one view after the other.
        distances: (P, p, p, K) of the samples, metres, ascending.
        flipped: () bool, whether the map is that of the flipped image.
        feature_shapes: Whether gradients of features reach densities.
    """
    samples = _samples(network, encoder, rays, distances, flipped)
    hidden, lin_out = samples.hidden, network.field.lin_out
    result = composite(samples.density, distances, opaque_end=True)
    if network.config.classes_in_field:
        feature = result.weights.new_zeros(*distances.shape[:-1], 0)  # see `render_classes`
    else:
        weights = result.weights if feature_shapes else result.weights.detach()
        blended = torch.matmul(
            weights.unsqueeze(-2).to(hidden.dtype), hidden.view(*distances.shape, -1)
        ).squeeze(-2)
        feature = functional.linear(blended.float(), lin_out.weight[1:], lin_out.bias[1:])
    colors, unseen = sources.colors(samples.points, samples.visible, result.weights)
    opacity = metre_opacity(samples.density)
    return RenderedPatches(result.distance, opacity, result.weights, colors, unseen, feature)


def render_classes(
    network: SceneDino,
    encoder: EncoderView,
    rays: RayPatches,
    distances: torch.Tensor,
    flipped: torch.Tensor,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Render the class probabilities of a field that predicts classes, as S4C does.

    Args: as for `render_patches`.

    Returns:
        (P, p, p, n) probabilities, those of the samples blended by their weights, and (P, p, p)
        the fraction of the weight of each pixel that the encoded view does not see.
    """
    samples = _samples(network, encoder, rays, distances, flipped)
    lin_out = network.field.lin_out
    with _autocast(samples.hidden):
        logits = functional.linear(samples.hidden, lin_out.weight[1:], lin_out.bias[1:])
    probability = logits.float().softmax(dim=-1).view(*distances.shape, -1)
    result = composite(samples.density, distances, opaque_end=True)
    outside = ~samples.visible.view(distances.shape)
    return result.blend(probability), (result.weights.detach() * outside).sum(dim=-1)


class _Samples(NamedTuple):
    """The N samples of rays: (N, 3) points, (N,) visibility and (N, hidden) activations.

    Their densities, 1/m, have the shape of the distances.
    """

    points: torch.Tensor
    visible: torch.Tensor
    hidden: torch.Tensor
    density: torch.Tensor


def _samples(
    network: SceneDino,
    encoder: EncoderView,
    rays: RayPatches,
    distances: torch.Tensor,
    flipped: torch.Tensor,
) -> _Samples:
    """Evaluate the first layers of the point MLP, and the density, along rays."""
    steps = distances.unsqueeze(-1) * rays.directions.unsqueeze(-2)
    points = rays.origins[:, None, None, None] + steps
    seen = project(points.view(len(encoder.K_norm), -1, 3), encoder.K_norm)
    depth = seen.depth.clamp(min=encoder.min_depth)
    mirror = seen.uv_norm.new_tensor([-1, 1])
    in_map = torch.where(flipped, seen.uv_norm * mirror, seen.uv_norm)
    code = network.code.for_camera(encoder.K_norm)(seen.uv_norm, depth)
    hidden = _hidden(network, encoder.feature_map, in_map, code)
    lin_out = network.field.lin_out
    with _autocast(hidden):
        logit = functional.linear(hidden, lin_out.weight[:1], lin_out.bias[:1])
    density = functional.softplus(logit.float()).view(distances.shape)
    return _Samples(points.view(-1, 3), seen.visible.view(-1), hidden, density)


def _autocast(like: torch.Tensor) -> torch.autocast:
    """Return the autocast context for layers to compute in the type of a tensor."""
    return torch.autocast(like.device.type, torch.bfloat16, enabled=like.dtype == torch.bfloat16)


def _hidden(
    network: SceneDino, feature_map: torch.Tensor, uv_norm: torch.Tensor, code: torch.Tensor
) -> torch.Tensor:
    """Return the (B * N, hidden) activations of the point MLP, given (B, N, 2) positions."""
    to_hidden, to_code = network.field.lin_in.weight.split(
        [network.config.decoder_width, code.shape[-1]], dim=1
    )
    if is_wide(network):
        read = read_map(network, feature_map[0], uv_norm[0])
    else:
        sampled = _look_up(feature_map, uv_norm)
        with _autocast(sampled):
            read = functional.linear(sampled, to_hidden)
    with _autocast(read):
        hidden = functional.linear(code.flatten(0, 1), to_code, network.field.lin_in.bias)
    return functional.relu(hidden + read)


def _look_up(maps: torch.Tensor, uv_norm: torch.Tensor) -> torch.Tensor:
    """Return the (B * N, C) values of (B, C, h, w) maps at (B, N, 2) positions, bilinearly."""
    n_maps, channels, height, width = maps.shape
    index, fraction = bilinear_taps(uv_norm.view(-1, 2), height, width)
    if n_maps > 1:
        first = torch.arange(n_maps, dtype=index.dtype, device=index.device) * (height * width)
        index = (index.view(n_maps, -1) + first.unsqueeze(-1)).view(-1, 4)
    rows = maps.permute(0, 2, 3, 1).reshape(-1, channels)
    return functional.embedding_bag(
        index, rows, per_sample_weights=fraction.to(rows.dtype), mode="sum"
    )
