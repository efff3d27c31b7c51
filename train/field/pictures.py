# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Pictures of a field during training: renderings beside what they are compared with."""

from dataclasses import replace

import numpy as np
import torch
from torch.nn import functional

from scenedino_ros.core.labels import CITYSCAPES19
from scenedino_ros.inference.feature_colors import FeatureColors
from scenedino_ros.viewing.pictures import color_depth
from train.field.data import GroupTensors, ItemTensors
from train.field.encoded_view import every_nth, render_encoded
from train.field.model import FieldTraining
from train.field.rays import PatchDraws, patch_rays
from train.field.views import Views

_DOWNSCALE = 4
_SAMPLES = 32
_CHUNK = 32  # patches at a time


@torch.no_grad()
def field_pictures(training: FieldTraining, item: ItemTensors) -> dict[str, np.ndarray]:
    """Render the encoded view and a target view of an item.

    Args:
        training: The network.
        item: Any item.

    Returns:
        (h, w, 3) uint8 RGB pictures, with renderings on the left: ``image``, the encoded image;
        ``depth`` beside the ground truth, where the drive has any; ``features`` beside the tokens
        of the backbone, in the same colours, or ``classes`` beside the class map where the field
        has classes; ``colors`` of a target view beside its image, black where no source view sees
        them.
    """
    view = render_encoded(training, item, _DOWNSCALE)
    depth = [color_depth(view.depth.cpu().numpy())]
    if item.depth.numel():
        depth.append(color_depth(every_nth(item.depth, _DOWNSCALE).cpu().numpy()))
    semantic = (
        {"classes": _classes(item, view.feature)}
        if training.network.config.classes_in_field
        else {"features": _features(training, item, view.feature.cpu())}
    )
    return {
        "image": _bytes((item.image.permute(1, 2, 0) + 1) / 2),
        "depth": np.concatenate(depth, axis=1),
        **semantic,
        "colors": _bytes(torch.cat(_rendered_and_seen(training, item), dim=1)),
    }


def _features(training: FieldTraining, item: ItemTensors, rendered: torch.Tensor) -> np.ndarray:
    """Return colours of the (h, w, C) features beside those of the target tokens."""
    features = [rendered, *_tokens(training, item, rendered.shape[:2])]
    colors = FeatureColors(features[0].flatten(0, 1))
    colored = [colors(part.flatten(0, 1)).view(*part.shape[:2], 3) for part in features]
    picture: np.ndarray = torch.cat(colored, dim=1).numpy()
    return picture


def _classes(item: ItemTensors, probability: torch.Tensor) -> np.ndarray:
    """Return colours of the (h, w, n) classes beside the class map of the encoded image."""
    palette = CITYSCAPES19.palette
    maps = [probability.argmax(dim=-1).cpu().numpy()]
    for group in item.classes[:1]:
        label = group.labels[0].cpu()  # the encoded image comes first, where it has a map
        stride = max(1, label.shape[0] // probability.shape[0])
        maps.append(every_nth(label, stride).numpy())
    return np.concatenate([palette[m] for m in maps if m.shape == maps[0].shape], axis=1)


def _tokens(training: FieldTraining, item: ItemTensors, size: torch.Size) -> list[torch.Tensor]:
    """Return the (h, w, C) target tokens of the encoded image, enlarged, where there are any."""
    if item.taps.numel():
        tokens = item.taps[3].float()[None]
    elif training.target is not None:
        tokens = training.computed_tokens((item.image[None] + 1) / 2, (0, 0))
    else:
        return []
    return [functional.interpolate(tokens, size, mode="nearest")[0].permute(1, 2, 0).cpu()]


def _rendered_and_seen(
    training: FieldTraining, item: ItemTensors
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the colours of a rendered view and of its image, (h, w, 3) in [0, 1]."""
    group, patch = item.groups[-1], training.settings.rays.patch
    scale = _scale(item.image.shape[-2], group.targets.images.shape[-2], patch)
    target = _smaller(Views(*(part[:1] for part in _parts(group.targets))), scale)
    rows, columns = (edge // patch for edge in target.images.shape[-2:])
    seen = target.images[0, :, : rows * patch, : columns * patch].permute(1, 2, 0)
    shape = (rows, columns, patch, patch, 3)
    feature_map = training.maps([item])
    device = feature_map.device
    corner = torch.cartesian_prod(torch.arange(rows), torch.arange(columns)).to(device) * patch
    parts = []
    for row, column in (chunk.unbind(-1) for chunk in corner.split(_CHUNK)):
        draws = PatchDraws(torch.zeros_like(row), row, column)
        middle = torch.full((len(row), patch, patch, _SAMPLES), 0.5, device=device)
        small = replace(
            group, targets=target, sources=_smaller(group.sources, scale), jitter=middle
        )
        parts.append(_blended_colors(training, feature_map, item, small, draws))
    rendered = torch.cat(parts).view(shape).permute(0, 2, 1, 3, 4).reshape(seen.shape)
    return rendered, seen


def _blended_colors(
    training: FieldTraining,
    feature_map: torch.Tensor,
    item: ItemTensors,
    group: GroupTensors,
    draws: PatchDraws,
) -> torch.Tensor:
    """Return the (P, p, p, 3) mean colours of the source views, as far as they see each pixel."""
    targets = group.targets
    size = (targets.images.shape[-2], targets.images.shape[-1])
    patch = training.settings.rays.patch
    rays = patch_rays(draws, targets.K_norm, targets.T_item_cam, size, patch, aligned=False)
    with torch.autocast(feature_map.device.type, enabled=False):
        rendered = training.render_rays(feature_map, item, group, rays)
    fraction = (1 - rendered.unseen).clamp(0, 1)
    total = fraction.sum(dim=-1, keepdim=True)
    mean = (rendered.colors * fraction.unsqueeze(-1)).sum(dim=-2) / total.clamp(min=1e-6)
    return mean * (total > 0.1)


def _scale(full: int, height: int, patch: int) -> int:
    """Return the factor that averages views down to a quarter, but not below a patch."""
    scale = max(1, height * _DOWNSCALE // full)
    while scale > 1 and height // scale < patch:
        scale //= 2
    return scale


def _smaller(views: Views, scale: int) -> Views:
    return replace(views, images=functional.avg_pool2d(views.images, scale))


def _parts(views: Views) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    return views.images, views.K_norm, views.T_item_cam


def _bytes(picture: torch.Tensor) -> np.ndarray:
    """Return a picture in [0, 1] as uint8."""
    scaled: np.ndarray = (picture * 255).round().clamp(0, 255).to(torch.uint8).cpu().numpy()
    return scaled
