"""The losses of stage 1: colours, features and smoothness of rendered ray patches.

Source: SceneDINO (Jevtic, Reich et al., ICCV 2025) in its published configuration; the pairing of
depth and image patches follows the intention, not the published code, which mixes them up for
batches of more than one item.
"""

import torch
from torch.nn import functional

_SSIM_WINDOW = (
    (0.0947, 0.1183, 0.0947),
    (0.1183, 0.1478, 0.1183),
    (0.0947, 0.1183, 0.0947),
)  # sums to 0.9998 as published; not renormalised
_C1, _C2 = 1e-4, 9e-4
_SSIM_SHARE = 0.85
_INVALID_WEIGHT = 0.9
_MAX_DISTANCE = 80.0  # metres


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


def invalid_pixels(invalid: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    """Return the pixels no source view can explain.

    Args:
        invalid: (..., S, V) 1 where a sample cannot be seen from a view, or from the encoder.
        weights: (..., S) rendering weights; gradients do not pass.

    Returns:
        (...) bool, True where in every view more than 0.9 of the weight is invalid.
    """
    share = (weights.detach().unsqueeze(-1) * invalid).sum(dim=-2)
    return (share > _INVALID_WEIGHT).all(dim=-1)


def photometric_loss(
    rendered: torch.Tensor, target: torch.Tensor, invalid: torch.Tensor
) -> torch.Tensor:
    """Return the mean error against the best source view of each pixel.

    Args:
        rendered: (P, p, p, V, 3) colours rendered from each source view.
        target: (P, p, p, 3) colours.
        invalid: (P, p, p) bool; such pixels count as zeros in the mean.
    """
    n_views = rendered.shape[-2]
    prediction = rendered.permute(0, 3, 4, 1, 2).flatten(0, 1)  # (P * V, 3, p, p)
    truth = target.permute(0, 3, 1, 2).repeat_interleave(n_views, dim=0)
    error = photometric_error(prediction, truth).unflatten(0, (-1, n_views)).amin(dim=1)
    return (error * ~invalid).mean()


def feature_loss(prediction: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Return one minus the mean cosine of (..., C) features; undefined ones are left out.

    The published temperature scales both arguments of the cosine and so has no effect.
    """
    return (1 - functional.cosine_similarity(prediction, target, dim=-1)).nanmean()


def edge_aware_roughness(
    values: torch.Tensor, image: torch.Tensor, temperature: float
) -> torch.Tensor:
    """Return how much a map changes where its image does not.

    Args:
        values: (B, C, p, p) map.
        image: (B, 3, p, p) colours in [0, 1].
        temperature: How much an edge in the image excuses.

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
