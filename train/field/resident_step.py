# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""The training step of stage 1 for images that are on the device: all items of a batch at once.

The result is that of `train.field.step` on the same views, copies and draws. One item at a time, a
GPU would mostly wait for the next of thousands of small operations.
"""

from dataclasses import dataclass

import torch

from scenedino_ros.inference.engines.cuda_graphs import CudaGraph
from scenedino_ros.network.field import project
from train.field.chosen_views import ChosenViews
from train.field.data import FieldBatch
from train.field.losses import hint_error, opacity_behind
from train.field.model import FieldTraining
from train.field.rays import PatchDraws, patch_pixels, patch_rays
from train.field.resident import ResidentBatch, ResidentFrames
from train.field.setting_groups import RaySettings
from train.field.step import EncoderView, PatchBatch, render_patches


@dataclass(frozen=True)
class DrawnRays:
    """The rays of B items with n patches each.

    Attributes:
        group: (B, n) place of each patch's target view among those of its item.
        row: (B, n) first row in the image at its level of the pyramid.
        column: (B, n) first column.
        jitter: (B, n, p, p, K) position of each sample in its interval, in [0, 1).
    """

    group: torch.Tensor
    row: torch.Tensor
    column: torch.Tensor
    jitter: torch.Tensor


def draw_rays(views: ChosenViews, rays: RaySettings, generator: torch.Generator) -> DrawnRays:
    """Draw patches anywhere in the windows of the items, as many in each target view."""
    n_items, n_targets = views.targets.shape
    device = views.targets.device
    group = torch.arange(rays.patches, device=device) % n_targets
    place = torch.rand((2, n_items, rays.patches), generator=generator, device=device)
    top, left, rows, columns = views.window.unsqueeze(-1).unbind(1)
    shape = (n_items, rays.patches, rays.patch, rays.patch, views.samples)
    return DrawnRays(
        group.expand(n_items, -1),
        top + (place[0] * rows).long().minimum(rows - 1),
        left + (place[1] * columns).long().minimum(columns - 1),
        torch.rand(shape, generator=generator, device=device),
    )


@dataclass(frozen=True)
class ResidentSources:
    """The source views of P patches, as `train.field.step.Sources`.

    Attributes:
        frames: The images.
        view: (P, S) views; -1 where there is none.
        K_norm: (P, S, 3, 3).
        T_cam_item: (P, S, 4, 4) points of the encoded camera's frame to these cameras, metres.
        level: (P,) level of the pyramid.
        mirrored: (P,) bool.
    """

    frames: ResidentFrames
    view: torch.Tensor
    K_norm: torch.Tensor
    T_cam_item: torch.Tensor
    level: torch.Tensor
    mirrored: torch.Tensor

    def colors(
        self, points: torch.Tensor, visible: torch.Tensor, weights: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return colours and unseen weights, as `Sources` says."""
        n_patches, n_sources = self.view.shape
        R, t = self.T_cam_item[..., :3, :3], self.T_cam_item[..., None, :3, 3]
        seen_from = points.view(n_patches, 1, -1, 3) @ R.transpose(-1, -2) + t
        found = project(seen_from, self.K_norm)
        uv_norm = found.uv_norm.clone()  # images are stored as they are, not mirrored
        uv_norm[..., 0] *= torch.where(self.mirrored, -1.0, 1.0)[:, None, None]
        exists = self.view >= 0
        color = self.frames.blended_colors(
            self.view.clamp(min=0).flatten(),
            self.level.repeat_interleave(n_sources),
            uv_norm.flatten(0, 1),
        ).view(n_patches, n_sources, *weights.shape[1:], 3)
        color = color * exists[:, :, None, None, None, None]
        blended = torch.matmul(weights[:, None, :, :, None], color).squeeze(-2)
        invalid = ~(found.visible & visible.view(n_patches, 1, -1) & exists.unsqueeze(-1))
        unseen = (weights.detach().unsqueeze(1) * invalid.view(color.shape[:-1])).sum(dim=-1)
        return blended.permute(0, 2, 3, 1, 4), unseen.permute(0, 2, 3, 1)


class ResidentTraining(FieldTraining):
    """Computes losses from batches whose images are on the device, and from any others."""

    _graph: CudaGraph | None = None

    def render_batch(self, batch: FieldBatch | ResidentBatch) -> PatchBatch:
        """Encode the items and render their patches."""
        if not isinstance(batch, ResidentBatch):
            return super().render_batch(batch)
        rays = draw_rays(batch.views, self.settings.rays, batch.generator)
        return self.render_drawn(batch.frames, batch.views, rays)

    def render_drawn(
        self, frames: ResidentFrames, views: ChosenViews, drawn: DrawnRays
    ) -> PatchBatch:
        """Encode the items and render patches of them."""
        settings, patch = self.settings, self.settings.rays.patch
        n_items, n_patches = drawn.group.shape
        item = torch.arange(n_items, device=drawn.group.device).unsqueeze(-1)
        level = views.level.repeat_interleave(n_patches)
        mirrored = views.mirrored.repeat_interleave(n_patches)
        view = views.targets[item, drawn.group].flatten()
        height, width = (size[:, None, None] for size in frames.sizes(level))
        K_norm, T_item_cam = _cameras(frames, views, views.targets)
        rays = patch_rays(
            PatchDraws(
                torch.arange(len(view), device=view.device),
                drawn.row.flatten(),
                drawn.column.flatten(),
            ),
            K_norm[item, drawn.group].flatten(0, 1),
            T_item_cam[item, drawn.group].flatten(0, 1),
            (height, width),
            patch,
            aligned=False,
        )
        distances = self.distances(drawn.jitter.flatten(0, 1))
        rendered = render_patches(
            self.network,
            EncoderView(
                self._maps(frames.copies(views)),
                _encoded_K_norm(frames, views),
                settings.rays.min_depth,
            ),
            _sources(frames, views, drawn),
            rays,
            distances,
            torch.zeros((), dtype=torch.bool, device=view.device),
            feature_shapes=settings.losses.feature_shapes,
        )
        rows, columns = patch_pixels(rays.pixel, patch)
        at = (view[:, None, None], level[:, None, None])
        flips = mirrored[:, None, None]
        hint = frames.hint(*at, rows, columns, flips)
        as_stored = torch.where(flips, width - 1 - columns, columns)
        sign = torch.where(flips, -1.0, 1.0)
        uv_norm = rays.uv_norm.flatten(1, 2) * torch.cat([sign, torch.ones_like(sign)], dim=-1)
        return PatchBatch(
            rendered=rendered,
            colors=frames.colors(*at, rows, as_stored),
            target=frames.tokens(view, uv_norm),
            token=rays.token,
            hint_error=hint_error(rendered.weights, distances, hint),
            behind=opacity_behind(rendered.opacity, distances, hint),
        )

    def _maps(self, images: torch.Tensor) -> torch.Tensor:
        """Return the (B, C, h, w) maps of (B, 3, H, W) images in [-1, 1], as `maps` does."""
        if images.is_cuda:  # launching the kernels of the encoder takes longer than they do
            self._graph = self._graph or CudaGraph(self._encode, images.device)
            taps = self._graph(images)
        else:
            taps = self._encode(images)
        return self.map_of_taps(list(taps.unbind(1)))

    @torch.no_grad()
    def _encode(self, images: torch.Tensor) -> torch.Tensor:
        """Return the (B, 4, C, rows, columns) float32 taps of the frozen encoder."""
        with self.mixed(images.device):
            taps = self.network.encoder(images)
        return torch.stack([tap.float() for tap in taps], dim=1)


def _cameras(
    frames: ResidentFrames, views: ChosenViews, view: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the (..., 3, 3) intrinsics and (..., 4, 4) poses of (B, ...) views of the items.

    Poses are in the frame of the encoded view, and mirrored with it.
    """
    ones = (1,) * (view.ndim - 1)
    sign = torch.where(views.mirrored, -1.0, 1.0).view(-1, *ones)
    K_norm = frames.K_norm[view]
    K_norm[..., 0, 2] *= sign
    T_item_world = torch.linalg.inv_ex(frames.T_world_cam[views.encoder]).inverse
    T_item_cam = T_item_world.view(-1, *ones, 4, 4) @ frames.T_world_cam[view]
    T_item_cam[..., 0, :] *= sign.unsqueeze(-1)
    T_item_cam[..., :, 0] *= sign.unsqueeze(-1)
    return K_norm, T_item_cam.float()


def _encoded_K_norm(frames: ResidentFrames, views: ChosenViews) -> torch.Tensor:
    """Return the (B, 3, 3) intrinsics of what the encoder sees."""
    K_norm = frames.K_norm[views.encoder]
    K_norm[:, 0, 2] *= torch.where(views.mirrored, -1.0, 1.0)
    K_norm[:, :2, 2] -= views.center
    K_norm[:, :2] *= views.zoom.unsqueeze(-1)
    return K_norm


def _sources(frames: ResidentFrames, views: ChosenViews, drawn: DrawnRays) -> ResidentSources:
    """Return the source views of each patch."""
    n_items, n_patches = drawn.group.shape
    item = torch.arange(n_items, device=drawn.group.device).unsqueeze(-1)
    K_norm, T_item_cam = _cameras(frames, views, views.sources.clamp(min=0))
    T_cam_item = torch.linalg.inv_ex(T_item_cam).inverse
    return ResidentSources(
        frames,
        views.sources[item, drawn.group].flatten(0, 1),
        K_norm[item, drawn.group].flatten(0, 1),
        T_cam_item[item, drawn.group].flatten(0, 1),
        views.level.repeat_interleave(n_patches),
        views.mirrored.repeat_interleave(n_patches),
    )
