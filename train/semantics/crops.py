# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Points of 3D crops: samples inside matter around visible surface points."""

from collections.abc import Callable
from dataclasses import dataclass

import torch

N_BINS = 5
OVERSAMPLING = 4
DENSITY_THRESHOLD = 0.5  # 1/m
_MAX_DISTANCE = 100.0  # metres; pixels with farther distances have no surface


@dataclass(frozen=True)
class BallDraws:
    """Random draws of the points around surface points.

    Attributes:
        direction: (bins, 4 n, 3) normal draws.
        radius: (bins, 4 n, 1) uniform draws in [0, 1).
    """

    direction: torch.Tensor
    radius: torch.Tensor


def distance_bins(distance: torch.Tensor) -> torch.Tensor:
    """Return the (bins + 1,) distances that divide the surface pixels into equal bins."""
    levels = torch.linspace(0, 1, N_BINS + 1, device=distance.device, dtype=distance.dtype)
    return distance[distance < _MAX_DISTANCE].quantile(levels)


def surface_points(
    distance: torch.Tensor, rays: torch.Tensor, pick: Callable[[int, int], int]
) -> list[tuple[int, torch.Tensor]]:
    """Pick one surface point in each distance bin.

    Args:
        distance: (H, W) rendered distances, metres.
        rays: (H, W, 3) unit directions in the frame the field is queried in, from its origin.
        pick: Given a bin and the number of its pixels, returns which one to take.

    Returns:
        Bin and (3,) point for each bin with pixels strictly between its bounds.
    """
    edges = distance_bins(distance)
    flat, directions = distance.flatten(), rays.reshape(-1, 3)
    found = []
    for i, (low, high) in enumerate(zip(edges[:-1], edges[1:], strict=True)):
        inside = ((flat > low) & (flat < high)).nonzero().squeeze(1)
        if len(inside):
            chosen = inside[pick(i, len(inside))]
            found.append((i, directions[chosen] * flat[chosen]))
    return found


def ball_points(centre: torch.Tensor, radius: float, draws: BallDraws, i: int) -> torch.Tensor:
    """Return (4 n, 3) points uniform in a ball around a surface point, metres."""
    direction = draws.direction[i]
    unit = direction / direction.norm(dim=-1, keepdim=True)
    return centre + unit * radius * draws.radius[i] ** (1 / 3)


def solid_points(
    points: torch.Tensor,
    field: Callable[[torch.Tensor], tuple[torch.Tensor, torch.Tensor]],
    n_points: int,
) -> tuple[torch.Tensor, torch.Tensor] | None:
    """Keep points whose density exceeds the threshold.

    Args:
        points: (4 n, 3) candidates, metres.
        field: Maps points to (4 n,) densities, 1/m, and (4 n, F) features.
        n_points: How many to keep.

    Returns:
        The densities and features of the first ``n_points`` such points, or None if there are no
        more than ``n_points``.
    """
    density, feature = field(points)
    solid = (density > DENSITY_THRESHOLD).nonzero().squeeze(1)
    if len(solid) <= n_points:
        return None
    return density[solid[:n_points]], feature[solid[:n_points]]
