# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""The losses of stage 1: colours, features and smoothness of rendered ray patches.

Source: SceneDINO (Jevtic, Reich et al., ICCV 2025) in its published configuration. Depth patches
are paired with their own image patches; the published code mixes them up for batches of more than
one item.
"""

import torch
from torch.nn import functional

from scenedino_ros.recordings.frame_store.store import NO_LABEL

_SSIM_WINDOW = (
    (0.0947, 0.1183, 0.0947),
    (0.1183, 0.1478, 0.1183),
    (0.0947, 0.1183, 0.0947),
)  # sums to 0.9998 as published; not renormalised
_C1, _C2 = 1e-4, 9e-4
_SSIM_SHARE = 0.85
_INVALID_WEIGHT = 0.9
_SEEN_WEIGHT = 0.5  # a source view sees a pixel if less of the weight than this is unseen
_LEAST_PROBABILITY = 1e-5  # added before the logarithm, as S4C does
_MAX_DISTANCE = 80.0  # metres
_THICKNESS = 4.0  # metres; about the length of a car


def structural_error(prediction: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Return the structural dissimilarity of image patches.

    Args:
        prediction: (B, 3, p, p) colours in [0, 1].
        target: (B, 3, p, p) colours in [0, 1].

    Returns:
        (B, 3, p, p) in [0, 0.5]: half of 1 - SSIM, clamped before it is halved.
    """
    window = prediction.new_tensor(_SSIM_WINDOW).expand(prediction.shape[1], 1, 3, 3)

    def local_mean(x: torch.Tensor) -> torch.Tensor:
        return functional.conv2d(x, window, padding=1, groups=x.shape[1])

    mean_x, mean_y = local_mean(prediction), local_mean(target)
    variance_x = local_mean(prediction**2) - mean_x**2
    variance_y = local_mean(target**2) - mean_y**2
    covariance = local_mean(prediction * target) - mean_x * mean_y
    numerator = (2 * mean_x * mean_y + _C1) * (2 * covariance + _C2)
    denominator = (mean_x**2 + mean_y**2 + _C1) * (variance_x + variance_y + _C2)
    return (1 - numerator / denominator).clamp(0, 1) / 2


def photometric_error(prediction: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Return the (B, p, p) mix of structural and absolute error of (B, 3, p, p) patches."""
    structural = structural_error(prediction, target).mean(dim=1)
    absolute = (prediction - target).abs().mean(dim=1)
    return _SSIM_SHARE * structural + (1 - _SSIM_SHARE) * absolute


def unseen_weight(invalid: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    """Return the fraction of the weight of each pixel that a source view does not see.

    Args:
        invalid: (..., K, S) 1 where a sample is outside a source view or the encoded view.
        weights: (..., K) rendering weights; gradients do not pass.

    Returns:
        (..., S) fractions in [0, 1].
    """
    return (weights.detach().unsqueeze(-1) * invalid).sum(dim=-2)


def invalid_pixels(unseen: torch.Tensor) -> torch.Tensor:
    """Return (...) bool, True where more than 0.9 of the weight is unseen in every source view."""
    return (unseen > _INVALID_WEIGHT).all(dim=-1)


def photometric_loss(
    rendered: torch.Tensor, target: torch.Tensor, unseen: torch.Tensor
) -> torch.Tensor:
    """Return the mean error against the best source view of each pixel.

    Args:
        rendered: (P, p, p, S, 3) colours rendered from each source view.
        target: (P, p, p, 3) colours.
        unseen: (P, p, p, S) from `unseen_weight`; invalid pixels count as zeros in the mean.
    """
    best = _source_errors(rendered, target).amin(dim=-1)
    return (best * ~invalid_pixels(unseen)).mean()


def mean_photometric_loss(
    rendered: torch.Tensor, target: torch.Tensor, unseen: torch.Tensor
) -> torch.Tensor:
    """Return the mean error against all source views that see more than half of a pixel.

    With few source views, far depth often has the least minimum, but not the least mean. Arguments
    as for `photometric_loss`; pixels that no source view sees are left out.
    """
    seen = (unseen < _SEEN_WEIGHT).to(rendered.dtype)
    error = _source_errors(rendered, target) * seen
    return error.sum() / seen.sum().clamp(min=1)


def _source_errors(rendered: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Return the (P, p, p, S) error of each source's colours."""
    n_sources = rendered.shape[-2]
    prediction = rendered.permute(0, 3, 4, 1, 2).flatten(0, 1)  # (P * S, 3, p, p)
    expected = target.permute(0, 3, 1, 2).repeat_interleave(n_sources, dim=0)
    error = photometric_error(prediction, expected)
    return error.unflatten(0, (-1, n_sources)).permute(0, 2, 3, 1)


def class_loss(
    probability: torch.Tensor,
    unseen: torch.Tensor,
    label: torch.Tensor,
    class_weights: tuple[float, ...] = (),
) -> torch.Tensor:
    """Return the cross entropy of rendered class probabilities.

    Pixels without a label, and those of which more than 0.9 of the weight lies out of the encoded
    view, are left out of the mean; the published code counts the latter as correct.

    Args:
        probability: (P, p, p, n) rendered probabilities.
        unseen: (P, p, p) fraction of the weight out of the encoded view.
        label: (P, p, p) int64 classes, 255 where unknown.
        class_weights: Weight of each of the n classes in the mean; empty: all alike.

    Source: S4C (Hayler et al., 3DV 2024, arXiv:2310.07522).
    """
    chosen = (label != NO_LABEL) & (unseen <= _INVALID_WEIGHT)
    label, probability = label[chosen], probability[chosen]
    weights = probability.new_tensor(class_weights or [1.0] * probability.shape[-1])[label]
    picked = probability.gather(-1, label.unsqueeze(-1)).squeeze(-1)
    error = -(picked + _LEAST_PROBABILITY).log()
    return (weights * error).sum() / weights.sum().clamp(min=1e-9)


def metre_opacity(density: torch.Tensor) -> torch.Tensor:
    """Return the opacity of one metre of space, 0 to 1.

    Colours give no gradient to occluded space, which a network leaves opaque unless a small loss
    empties it.

    Args:
        density: Any shape, 1/m.
    """
    return 1 - torch.exp(-density)


def hint_error(weights: torch.Tensor, distances: torch.Tensor, hint: torch.Tensor) -> torch.Tensor:
    """Return the mean error of rays against depth hints.

    The error is that of each sample, weighted, not that of the mean distance: a ray whose weight
    is half too near and half too far is wrong. It is clamped at a factor of e, because some hints
    are wrong.

    Args:
        weights: (P, p, p, K) rendering weights.
        distances: (P, p, p, K) of the samples, metres.
        hint: (P, p, p) distances, metres; 0 where there is none, and the error is 0.

    Returns:
        (P,) mean absolute logarithms.
    """
    known = hint > 0
    ratio = distances / torch.where(known, hint, 1).unsqueeze(-1)
    error = (weights * ratio.log().abs().clamp(max=1)).sum(dim=-1)
    return (error * known).mean(dim=(1, 2))


def opacity_behind(
    opacity: torch.Tensor, distances: torch.Tensor, hint: torch.Tensor
) -> torch.Tensor:
    """Return the opacity of the space well behind depth hints.

    On all samples, such a loss would make surfaces transparent; these samples are occluded by the
    surface of the hint. A surface that another view sees there is kept by the losses of that view.

    Args:
        opacity: (P, p, p, K) from `metre_opacity`.
        distances: (P, p, p, K) of the samples, metres.
        hint: (P, p, p) distances, metres; 0 where there is none, and no sample counts.

    Returns:
        (P,) sums over the samples behind, divided by the number of all samples.
    """
    behind = (hint > 0).unsqueeze(-1) & (distances > (hint + _THICKNESS).unsqueeze(-1))
    return (opacity * behind).mean(dim=(1, 2, 3))


def feature_loss(prediction: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Return one minus the mean cosine of (..., C) features.

    Undefined targets are left out; without any other the loss is 0. The published temperature
    scales both arguments of the cosine and so has no effect.
    """
    known = target.isfinite().all(dim=-1)
    # Replaced before the cosine: after it, NaN targets would give NaN gradients.
    defined = torch.where(known.unsqueeze(-1), target, 0)
    error = 1 - functional.cosine_similarity(prediction, defined, dim=-1)
    return (error * known).sum() / known.sum().clamp(min=1)


def edge_aware_roughness(
    values: torch.Tensor, image: torch.Tensor, temperature: float
) -> torch.Tensor:
    """Return how much a map changes between neighbouring pixels, less across edges of its image.

    Args:
        values: (B, C, p, p) map.
        image: (B, 3, p, p) colours in [0, 1].
        temperature: Factor on image differences: how much an edge reduces the result.

    Returns:
        (B, p, p); the last column (row) has no difference along x (y).
    """
    total = 0
    for dim, pad in ((-1, (0, 1)), (-2, (0, 0, 0, 1))):
        change = values.diff(dim=dim).abs().mean(dim=1)
        edge = image.diff(dim=dim).abs().mean(dim=1)
        total = total + functional.pad(change * torch.exp(-temperature * edge), pad)
    return total


def depth_roughness(distance: torch.Tensor, image: torch.Tensor) -> torch.Tensor:
    """Return the mean edge-aware roughness of relative inverse distance.

    Args:
        distance: (P, p, p) rendered distances, metres.
        image: (P, p, p, 3) colours of the same patches.
    """
    inverse = 1 / distance.clamp(1e-3, _MAX_DISTANCE)
    relative = inverse / inverse.mean(dim=(-2, -1), keepdim=True)
    return edge_aware_roughness(relative.unsqueeze(1), image.permute(0, 3, 1, 2), 1.0).mean()


def feature_roughness(feature: torch.Tensor, image: torch.Tensor) -> torch.Tensor:
    """Return the mean edge-aware roughness of features.

    Args:
        feature: (P, p, p, C) full features before downsampling.
        image: (P, p, p, 3) colours of the same patches.
    """
    return edge_aware_roughness(
        feature.permute(0, 3, 1, 2), image.permute(0, 3, 1, 2), 25.0
    ).mean()
