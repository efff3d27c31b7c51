"""Volume rendering along camera rays, given any field."""

from collections.abc import Callable
from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class Composite:
    """What a ray sees.

    Attributes:
        weights: (..., S) share of each sample.
        alpha: (..., S) opacity of each segment.
        distance: (...) expected distance along the ray, metres.
    """

    weights: torch.Tensor
    alpha: torch.Tensor
    distance: torch.Tensor

    def blend(self, values: torch.Tensor) -> torch.Tensor:
        """Return the (..., C) weighted sum of (..., S, C) sample values."""
        return (self.weights.unsqueeze(-1) * values).sum(dim=-2)


def pixel_rays(K_norm: torch.Tensor, height: int, width: int) -> torch.Tensor:
    """Return the unit directions of the rays through all pixel centres.

    Args:
        K_norm: (3, 3) intrinsics for coordinates in [-1, 1].
        height: Rows of the image to render.
        width: Columns of the image to render.

    Returns:
        (height, width, 3) unit vectors in the optical frame, row-major.
    """
    options = {"device": K_norm.device, "dtype": K_norm.dtype}
    x = -1 + (2 * torch.arange(width, **options) + 1) / width
    y = -1 + (2 * torch.arange(height, **options) + 1) / height
    grid_y, grid_x = torch.meshgrid(y, x, indexing="ij")
    return ray_directions(K_norm, torch.stack([grid_x, grid_y], dim=-1))


def ray_directions(K_norm: torch.Tensor, uv_norm: torch.Tensor) -> torch.Tensor:
    """Return the unit directions of the rays through image positions.

    Args:
        K_norm: (..., 3, 3) intrinsics for coordinates in [-1, 1], one each for the leading
            dimensions of the positions, or one for all.
        uv_norm: (..., 2) positions in [-1, 1].

    Returns:
        (..., 3) unit vectors in the optical frame.
    """
    x = (uv_norm[..., 0] - K_norm[..., 0, 2]) / K_norm[..., 0, 0]
    y = (uv_norm[..., 1] - K_norm[..., 1, 2]) / K_norm[..., 1, 1]
    rays = torch.stack([x, y, torch.ones_like(x)], dim=-1)
    return rays / rays.norm(dim=-1, keepdim=True)


def sample_distances(
    near: float, far: float, n_samples: int, jitter: torch.Tensor | float = 0.5
) -> torch.Tensor:
    """Return distances along rays that are uniform in inverse depth.

    Args:
        near: First distance, metres.
        far: Last distance, metres.
        n_samples: Samples S per ray.
        jitter: Position inside each of the S intervals, in [0, 1): one number, or (..., S).

    Returns:
        (S,) or (..., S) distances, metres, ascending.
    """
    device = jitter.device if isinstance(jitter, torch.Tensor) else None
    steps = torch.arange(n_samples, dtype=torch.float32, device=device)
    s = (steps + jitter) / n_samples
    return 1 / ((1 - s) / near + s / far)


def composite(
    density: torch.Tensor, distances: torch.Tensor, *, opaque_end: bool = False
) -> Composite:
    """Composite samples front to back.

    Args:
        density: (..., S) volume density, 1/m.
        distances: (..., S) distances of the samples, metres, ascending.
        opaque_end: Force the last sample to be opaque, so that weights always sum to one.

    Returns:
        Weights, opacities and expected distance. Without `opaque_end` the last segment is 1e10 m
        long, which is opaque for any density above about 1e-9.

    Source: Max, Optical Models for Direct Volume Rendering, 1995, in the published discretisation.
    """
    delta = torch.diff(distances, dim=-1)
    delta = torch.cat([delta, torch.full_like(distances[..., :1], 1e10)], dim=-1)
    alpha = 1 - torch.exp(-delta.abs() * torch.relu(density))
    if opaque_end:
        alpha = torch.cat([alpha[..., :-1], torch.ones_like(alpha[..., :1])], dim=-1)
    through = torch.cumprod(1 - alpha + 1e-10, dim=-1)
    through = torch.cat([torch.ones_like(through[..., :1]), through[..., :-1]], dim=-1)
    weights = alpha * through
    return Composite(weights, alpha, (weights * distances).sum(dim=-1))


def opacity_up_to(density: torch.Tensor, distances: torch.Tensor, far: float) -> torch.Tensor:
    """Return how much of each ray's light is stopped before a distance.

    Unlike the weights of `composite`, whose last segment has no end, it is small where a ray meets
    nothing: what lies behind the distance does not count.

    Args:
        density: (..., S) volume density, 1/m.
        distances: (..., S) distances of the samples, metres, ascending.
        far: Distance at which the last segment ends, metres.

    Returns:
        (...) opacity in [0, 1].
    """
    end = torch.full_like(distances[..., :1], far)
    delta = torch.diff(distances, dim=-1, append=end)
    return 1 - torch.exp(-(delta.clamp(min=0) * torch.relu(density)).sum(dim=-1))


def render_rays(
    field: Callable[[torch.Tensor], tuple[torch.Tensor, torch.Tensor]],
    origins: torch.Tensor,
    directions: torch.Tensor,
    distances: torch.Tensor,
    *,
    opaque_end: bool = False,
) -> tuple[Composite, torch.Tensor]:
    """Render distance and feature along rays.

    Args:
        field: Maps (M, 3) points to (M,) densities in 1/m and (M, F) features.
        origins: (R, 3) or (3,) ray origins, metres.
        directions: (R, 3) unit vectors.
        distances: (S,) or (R, S) sample distances, metres.
        opaque_end: See `composite`.

    Returns:
        The composite of the R rays and their (R, F) blended features.
    """
    points = origins[..., None, :] + directions.unsqueeze(-2) * distances.unsqueeze(-1)
    density, feature = field(points.reshape(-1, 3))
    shape = points.shape[:-1]
    result = composite(density.view(shape), distances.expand(shape), opaque_end=opaque_end)
    return result, result.blend(feature.view(*shape, -1))
