# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""What stage 1 trains: the network without semantic head, from the items of a batch to losses."""

from dataclasses import fields, replace

import torch
from torch import nn

from scenedino_ros.checkpoints.checkpoint import Checkpoint
from scenedino_ros.checkpoints.hub import locate_backbone
from scenedino_ros.checkpoints.pretrained import RANDOM, TargetEncoder, load_backbone
from scenedino_ros.core.backbones import backbone_spec, patch_grid
from scenedino_ros.core.errors import InputError
from scenedino_ros.core.labels import CITYSCAPES19
from scenedino_ros.core.model_config import ModelConfig
from scenedino_ros.network.model import SceneDino
from scenedino_ros.network.render import sample_distances
from scenedino_ros.network.resnet import SkipDecoder
from train.field.data import FieldBatch, GroupTensors, ItemTensors
from train.field.downsampler import PatchSalience
from train.field.losses import (
    class_loss,
    depth_roughness,
    feature_loss,
    feature_roughness,
    hint_error,
    mean_photometric_loss,
    opacity_behind,
    photometric_loss,
)
from train.field.rays import (
    RayPatches,
    patch_colors,
    patch_mean,
    patch_rays,
    shift_image,
)
from train.field.settings import FieldSettings
from train.field.step import (
    EncoderView,
    PatchBatch,
    RenderedPatches,
    SourceViews,
    concatenate,
    render_classes,
    render_patches,
    training_map,
)

_PROJECTION = "decoder.reassemble_blocks.projects.{}.weight"
_PHOTOMETRIC = {"minimum": photometric_loss, "mean": mean_photometric_loss}


class FieldTraining(nn.Module):
    """Computes losses from the items of a batch.

    Attributes:
        network: The network without a semantic head; that of S4C predicts classes in its field.
    """

    def __init__(self, settings: FieldSettings, target: nn.Module | None) -> None:
        """Build with random weights; the caller loads those of the encoder.

        Args:
            settings: Model, losses and rays.
            target: Frozen backbone from (B, 3, H, W) images in [-1, 1] to unit tokens; None if the
                items have cached tokens.
        """
        super().__init__()
        self.settings = settings
        self.network = SceneDino(_without_head(settings.model))
        self.network.encoder.requires_grad_(settings.encoder.trainable)
        with torch.no_grad():
            self.network.field.lin_out.bias[0] = settings.optimiser.density_bias
        self.target = target
        width = backbone_spec(settings.model.backbone).width
        if settings.losses.downsampler == "salience":
            self.downsampler = PatchSalience(width, settings.rays.patch)
        if settings.losses.artifacts:
            grid = patch_grid(settings.target_backbone, settings.model.image_size)
            self.artifact = nn.Parameter(0.001 * torch.randn(width, *grid))

    def forward(self, batch: FieldBatch) -> dict[str, torch.Tensor]:
        """Return the scalar losses of a batch; ``total`` is minimised.

        Only encoder, decoder and point MLP compute in the run's precision; autocast around a
        projection would move points by pixels.
        """
        with torch.autocast(self.network.encoder.mean.device.type, enabled=False):
            return self.losses(self.render_batch(batch), batch.phase)

    def render_batch(self, batch: FieldBatch) -> PatchBatch:
        """Encode the items of a batch and render their patches."""
        return self.render(batch.items)

    def render(self, items: list[ItemTensors]) -> PatchBatch:
        """Encode the items and render their patches."""
        maps = self.maps(items)
        parts = [
            self._render_group(feature_map[None], item, group)
            for feature_map, item in zip(maps, items, strict=True)
            for group in item.groups
        ]
        return PatchBatch(
            rendered=concatenate([part.rendered for part in parts]),
            colors=torch.cat([part.colors for part in parts]),
            target=torch.cat([part.target for part in parts]),
            token=torch.cat([part.token for part in parts]),
            hint_error=torch.cat([part.hint_error for part in parts]),
            behind=torch.cat([part.behind for part in parts]),
            classes=self._class_loss(maps, items),
        )

    def _class_loss(self, maps: torch.Tensor, items: list[ItemTensors]) -> torch.Tensor | None:
        """Return the mean loss of rendered classes of the items that have class maps."""
        if not self.network.config.classes_in_field:
            return None
        found = []
        for feature_map, item in zip(maps, items, strict=True):
            for group in item.classes:
                size = (group.labels.shape[1], group.labels.shape[2])
                rays = patch_rays(
                    group.draws,
                    group.K_norm,
                    group.T_item_cam,
                    size,
                    self.settings.rays.patch,
                    aligned=False,
                )
                rendered = render_classes(
                    self.network,
                    encoder_view(feature_map[None], item, self.settings.rays.min_depth),
                    rays,
                    self.distances(group.jitter),
                    item.flipped,
                )
                label = patch_colors(group.labels.unsqueeze(1), rays).squeeze(-1).long()
                found.append(class_loss(*rendered, label, self.settings.losses.class_weights))
        return torch.stack(found).mean() if found else maps.new_zeros((), dtype=torch.float32)

    def maps(self, items: list[ItemTensors]) -> torch.Tensor:
        """Return the (B, C, h, w) maps of the items that `render_rays` reads."""
        flipped = torch.stack([item.flipped for item in items])[:, None, None, None]
        with self.mixed(items[0].image.device):
            return training_map(self.network, self._taps(items, flipped))

    def map_of_taps(self, taps: list[torch.Tensor]) -> torch.Tensor:
        """Return the (B, C, h, w) maps of four (B, C, rows, columns) taps, as `maps` does."""
        with self.mixed(taps[0].device):
            return training_map(self.network, self._scaled_taps(taps))

    def mixed(self, device: torch.device) -> torch.autocast:
        """Return the context in which encoder and decoder compute in the run's precision."""
        enabled = self.settings.run.precision == "bf16-mixed"
        return torch.autocast(device.type, torch.bfloat16, enabled=enabled)

    def whole_map(self, item: ItemTensors) -> torch.Tensor:
        """Return the (1, D, H', W') map of an item as `SceneDino.query` reads it, in float32."""
        flipped = item.flipped.view(1, 1, 1, 1)
        maps: torch.Tensor = self.network.decoder(self._taps([item], flipped))
        return torch.where(flipped, maps.flip(-1), maps)

    def _taps(self, items: list[ItemTensors], flipped: torch.Tensor) -> list[torch.Tensor]:
        """Return the four scaled taps of the input of the encoder, cached or computed."""
        if items[0].taps.numel():
            taps = list(torch.stack([item.taps.float() for item in items]).unbind(1))
        else:
            images = torch.stack([item.image for item in items])
            taps = self.network.encoder(torch.where(flipped, images.flip(-1), images))
        return self._scaled_taps(taps)

    def _scaled_taps(self, taps: list[torch.Tensor]) -> list[torch.Tensor]:
        if isinstance(self.network.decoder, SkipDecoder):
            return taps
        scales = self.settings.encoder.tap_scales
        return [
            (tap * scale).contiguous(memory_format=torch.channels_last)
            for tap, scale in zip(taps, scales, strict=True)
        ]

    def _render_group(
        self, feature_map: torch.Tensor, item: ItemTensors, group: GroupTensors
    ) -> PatchBatch:
        targets, patch, shift = group.targets, self.settings.rays.patch, item.shift
        aligned = self.settings.rays.aligned
        height, width = targets.images.shape[-2:]
        rays = patch_rays(
            group.draws,
            targets.K_norm,
            targets.T_item_cam,
            (height, width),
            patch,
            shift,
            aligned=aligned,
        )
        rendered = self.render_rays(feature_map, item, group, rays)
        if self.network.config.classes_in_field:
            target = rendered.distance.new_zeros(len(rendered.distance), 0)
        elif aligned:
            rows, columns = rays.token.unbind(-1)
            target = self.tokens(group, shift)[rays.view, :, rows, columns]
        else:
            target = patch_mean(self.tokens(group, shift), rays)
        colors = patch_colors(targets.images, rays)
        against_hints = self._against_hints(rendered, group, rays)
        return PatchBatch(rendered, colors, target, rays.token, *against_hints)

    def _against_hints(
        self, rendered: RenderedPatches, group: GroupTensors, rays: RayPatches
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the (P,) errors against the hints of a group, and the opacity behind them."""
        if not group.hints.numel():
            nothing = rendered.distance.new_zeros(len(rendered.distance))
            return nothing, nothing
        hint = patch_colors(group.hints.unsqueeze(1), rays).squeeze(-1)
        distances = self.distances(group.jitter)
        return (
            hint_error(rendered.weights, distances, hint),
            opacity_behind(rendered.opacity, distances, hint),
        )

    def render_rays(
        self, feature_map: torch.Tensor, item: ItemTensors, group: GroupTensors, rays: RayPatches
    ) -> RenderedPatches:
        """Render patches of a group, given its item's (1, C, h, w) map."""
        views = rendered_views(feature_map, item, group, self.settings.rays.min_depth)
        distances = self.distances(group.jitter)
        return render_patches(
            self.network,
            *views,
            rays,
            distances,
            item.flipped,
            feature_shapes=self.settings.losses.feature_shapes,
        )

    def distances(self, jitter: torch.Tensor) -> torch.Tensor:
        """Return the (..., K) distances, metres, of samples at places in their intervals."""
        return sample_distances(
            *self.network.code.depth_range, jitter.shape[-1], jitter, self.settings.rays.spacing
        )

    def tokens(self, group: GroupTensors, shift: tuple[int, int]) -> torch.Tensor:
        """Return the (L, C, rows, columns) target tokens of a group's target views."""
        if group.tokens.numel():
            return group.tokens
        return self.computed_tokens(group.targets.images, shift)

    def computed_tokens(self, images: torch.Tensor, shift: tuple[int, int]) -> torch.Tensor:
        """Run the target backbone on (L, 3, H, W) images in [0, 1] under a grid shift."""
        if self.target is None:
            raise RuntimeError("items without cached targets need a target backbone")
        with torch.no_grad():
            tokens: torch.Tensor = self.target(2 * shift_image(images, shift) - 1)
        return tokens

    def losses(self, batch: PatchBatch, phase: int) -> dict[str, torch.Tensor]:
        """Compare rendered patches with the images and tokens of target views, in float32."""
        weights, rendered = self.settings.losses, batch.rendered
        feature_weight = weights.feature[phase % len(weights.feature)]
        photometric = _PHOTOMETRIC[weights.photometric]
        terms = {"photometric": photometric(rendered.colors, batch.colors, rendered.unseen)}
        total = terms["photometric"]
        if not self.network.config.classes_in_field:
            full = self.network.expansion(rendered.feature).float()
            terms["feature"] = feature_loss(self._prediction(full, batch.token), batch.target)
            total = total + feature_weight * terms["feature"]
        if batch.classes is not None:
            terms["classes"] = batch.classes
            total = total + weights.classes * terms["classes"]
        if weights.hint:
            terms["hint"] = batch.hint_error.mean()
            total = total + weights.hint * terms["hint"]
        if weights.behind:
            terms["behind"] = batch.behind.mean()
            total = total + weights.behind * terms["behind"]
        if weights.depth_roughness:
            terms["depth_roughness"] = depth_roughness(rendered.distance, batch.colors)
            total = total + weights.depth_roughness * terms["depth_roughness"]
        if weights.feature_roughness:
            terms["feature_roughness"] = feature_roughness(full, batch.colors)
            total = total + weights.feature_roughness * terms["feature_roughness"]
        filled_weight = weights.filled[phase % len(weights.filled)]
        if filled_weight:
            terms["filled"] = rendered.opacity.mean()
            total = total + filled_weight * terms["filled"]
        return {"total": total, **terms}

    def _prediction(self, full: torch.Tensor, token: torch.Tensor) -> torch.Tensor:
        """Return the (P, C) features predicted for the patches' tokens."""
        if self.settings.losses.downsampler == "mean":
            return full.mean(dim=(1, 2))
        predicted: torch.Tensor = self.downsampler(full)
        if self.settings.losses.artifacts:
            rows, columns = token.unbind(-1)
            predicted = predicted + self.artifact[:, rows, columns].T
        return predicted

    def start_from(self, checkpoint: Checkpoint) -> None:
        """Load a trained decoder, point network and expansion; the encoder is not changed.

        Args:
            checkpoint: Its network must be that of the run, but for semantic head, image size and
                canonical focal length.

        Raises:
            InputError: If it is not.
        """
        expected = self.network.config
        found = replace(
            _without_head(checkpoint.config),
            image_size=expected.image_size,
            canonical_focal=expected.canonical_focal,
        )
        names = (item.name for item in fields(found))
        for name, wanted, got in ((n, getattr(expected, n), getattr(found, n)) for n in names):
            if wanted != got:
                raise InputError(f"start must have the run's model.{name}, {wanted}, got {got}")
        state = {
            name: tensor.float()
            for name, tensor in checkpoint.state.items()
            if name.startswith(("decoder.", "field.", "expansion."))
        }
        for name, scale in self._scaled().items():
            state[name] /= scale
        self.network.load_state_dict({**self.network.state_dict(), **state})

    def checkpoint(self, provenance: dict[str, str]) -> Checkpoint:
        """Return the network; the weights of the decoder include the scales of the taps."""
        state = {
            name: tensor.detach().clone() for name, tensor in self.network.state_dict().items()
        }
        for name, scale in self._scaled().items():
            state[name] *= scale
        return Checkpoint(self.network.config, CITYSCAPES19, state, provenance)

    def _scaled(self) -> dict[str, float]:
        """Return the weights that read scaled taps, by name, with the scales."""
        if isinstance(self.network.decoder, SkipDecoder):
            return {}
        scales = self.settings.encoder.tap_scales
        return {_PROJECTION.format(i): scale for i, scale in enumerate(scales)}


def _without_head(config: ModelConfig) -> ModelConfig:
    """Return the configuration of a network without its semantic head, as stage 1 trains it."""
    return config if config.classes_in_field else replace(config, n_classes=0, n_clusters=0)


def encoder_view(feature_map: torch.Tensor, item: ItemTensors, min_depth: float) -> EncoderView:
    """Return the encoded view of an item, given its (1, C, h, w) map."""
    return EncoderView(feature_map, item.K_norm[None], min_depth)


def rendered_views(
    feature_map: torch.Tensor, item: ItemTensors, group: GroupTensors, min_depth: float
) -> tuple[EncoderView, SourceViews]:
    """Return the views of a group in the frame of the item's encoded camera."""
    T_cam_item = torch.linalg.inv(group.sources.T_item_cam)
    return (
        encoder_view(feature_map, item, min_depth),
        SourceViews(group.sources.images, group.sources.K_norm, T_cam_item),
    )


def load_encoder(training: FieldTraining, settings: FieldSettings) -> None:
    """Load the initial weights of the encoder."""
    load_backbone(training.network.encoder, locate_backbone(settings.encoder.weights))


def target_encoder(settings: FieldSettings, *, stored: bool = False) -> TargetEncoder:
    """Return the frozen backbone of the target features, in the precision of the run.

    Args:
        settings: The run.
        stored: Its weights will come from the run's state.
    """
    precision = torch.bfloat16 if settings.run.precision == "bf16-mixed" else torch.float32
    names = settings.encoder.target_weights or (settings.encoder.weights,)
    sources = [RANDOM if stored else locate_backbone(name) for name in names]
    return TargetEncoder(settings.target_backbone, settings.model.image_size, sources, precision)
