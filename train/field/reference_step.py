# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""The reference step of stage 1: the specification line by line, without any saving.

Training runs `train.field.step`; tests and the benchmark verify it against this one.
"""

from dataclasses import replace

import torch
from torch.nn import functional

from scenedino_ros.network.field import project, sample_map
from scenedino_ros.network.model import SceneDino
from scenedino_ros.network.render import composite
from train.field.data import GroupTensors, ItemTensors
from train.field.losses import metre_opacity, unseen_weight
from train.field.model import FieldTraining, rendered_views
from train.field.rays import RayPatches
from train.field.step import EncoderView, RenderedPatches, SourceViews, project_world


class ReferenceTraining(FieldTraining):
    """Same parameters and losses as `FieldTraining`, without its savings.

    Frozen encoder and target backbone run at every step, the decoder computes its whole map, which
    ``grid_sample`` reads, and the whole point MLP runs at every sample.
    """

    def maps(self, items: list[ItemTensors]) -> torch.Tensor:
        """Return the (B, D, H', W') maps of the items as `SceneDino.query` reads them."""
        images = torch.stack([item.image for item in items])
        flipped = torch.stack([item.flipped for item in items])[:, None, None, None]
        taps = self.network.encoder(torch.where(flipped, images.flip(-1), images))
        scales = self.settings.encoder.tap_scales
        maps = self.network.decoder([t * s for t, s in zip(taps, scales, strict=True)])
        return torch.where(flipped, maps.flip(-1), maps)

    def render_rays(
        self, feature_map: torch.Tensor, item: ItemTensors, group: GroupTensors, rays: RayPatches
    ) -> RenderedPatches:
        """Render the patches of a group as specified."""
        views = rendered_views(feature_map, item, group, self.settings.rays.min_depth)
        return render_patches_as_specified(
            self.network,
            *views,
            rays,
            self.distances(group.jitter),
            feature_shapes=self.settings.losses.feature_shapes,
        )

    def tokens(self, group: GroupTensors, shift: tuple[int, int]) -> torch.Tensor:
        """Run the target backbone; with a cache, views without cached tokens get NaN."""
        tokens = self.computed_tokens(group.targets.images, shift)
        return tokens.where(group.tokens.isfinite(), torch.nan) if group.tokens.numel() else tokens


def render_patches_as_specified(
    network: SceneDino,
    encoder: EncoderView,
    sources: SourceViews,
    rays: RayPatches,
    distances: torch.Tensor,
    *,
    feature_shapes: bool = True,
) -> RenderedPatches:
    """Render distances, colours and features along ray patches.

    Args:
        network: The network.
        encoder: The encoded view, with the map that `SceneDino.query` reads.
        sources: Images that colours are taken from.
        rays: P patches of p x p rays.
        distances: (P, p, p, K) of the samples, metres, ascending.
        feature_shapes: Whether gradients of features reach densities.
    """
    steps = distances.unsqueeze(-1) * rays.directions.unsqueeze(-2)
    points = (rays.origins[:, None, None, None] + steps).view(-1, 3)
    seen = project(points[None], encoder.K_norm)
    code = network.code.for_camera(encoder.K_norm[0])(
        seen.uv_norm[0], seen.depth[0].clamp(min=encoder.min_depth)
    )
    logit, feature = network.field(sample_map(encoder.feature_map, seen.uv_norm)[0], code)
    found = project_world(points, sources.K_norm, sources.T_cam_item)
    colors = sample_map(sources.images, found.uv_norm)  # (S, N, 3)
    invalid = ~(found.visible & seen.visible)  # (S, N)
    shape = distances.shape
    density = functional.softplus(logit).view(shape)
    result = composite(density, distances, opaque_end=True)
    fitted = result if feature_shapes else replace(result, weights=result.weights.detach())
    n_sources = len(colors)
    blended = result.blend(colors.permute(1, 0, 2).reshape(*shape, n_sources * 3))
    flags = invalid.T.reshape(*shape, n_sources).to(result.weights.dtype)
    return RenderedPatches(
        distance=result.distance,
        opacity=metre_opacity(density),
        weights=result.weights,
        colors=blended.unflatten(-1, (n_sources, 3)),
        unseen=unseen_weight(flags, result.weights),
        feature=fitted.blend(feature.view(*shape, -1)),
    )
