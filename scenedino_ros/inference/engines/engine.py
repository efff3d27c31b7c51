# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""What runs the network: one interface for its image part and its point part."""

from collections.abc import Callable
from typing import NamedTuple, Protocol

import torch

from scenedino_ros.network.model import SceneDino


class Points(NamedTuple):
    """N points, by where they fall in the map of an image and by their positional code.

    Attributes:
        index: (N, 4) int32 rows of the map, the four neighbours of each point.
        weight: (N, 4) their bilinear weights.
        code: (N, K) positional code.
    """

    index: torch.Tensor
    weight: torch.Tensor
    code: torch.Tensor


def points_on_rays(rays: Points, depth_code: torch.Tensor) -> Points:
    """Return the R * S points on rays, one after the other.

    Args:
        rays: R rays, by the point in the map through which they pass; the depth's part of their
            code does not count.
        depth_code: (R, S, K / 3) depth's part of the points' code.
    """
    n_samples = depth_code.shape[1]
    index, weight, code = (column.repeat_interleave(n_samples, 0) for column in rays)
    code[:, 2::3] = depth_code.flatten(0, 1)
    return Points(index, weight, code)


class Engine(Protocol):
    """A network on a device, for one prediction mode. All tensors are on that device.

    Images, codes, weights and answers are float32; maps and what `samples` returns to be blended
    have a type of the engine's choice.

    Attributes:
        concurrent: Whether several threads may ask for points at a time.
    """

    concurrent: bool

    def describe(self) -> str:
        """Return a few words on what runs the network."""

    def hidden_map(self, image: torch.Tensor) -> torch.Tensor:
        """Return the (H', W', hidden) map of a (1, 3, H, W) image in [-1, 1]."""

    def density(self, rows: torch.Tensor, points: Points) -> torch.Tensor:
        """Return the (N,) densities, 1/m, of points in a (H' * W', hidden) map."""

    def samples(self, rows: torch.Tensor, points: Points) -> tuple[torch.Tensor, torch.Tensor]:
        """Return (N,) densities and what is linear in the features, (N, P): it may be blended."""

    def ray_density(
        self, rows: torch.Tensor, rays: Points, depth_code: torch.Tensor
    ) -> torch.Tensor:
        """Return the (R, S) densities of points on rays, given as to `points_on_rays`."""

    def ray_samples(
        self, rows: torch.Tensor, rays: Points, depth_code: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return (R, S) densities and (R, S, P) as `samples` does for points on rays."""

    def feature(self, blended: torch.Tensor, total: torch.Tensor | None = None) -> torch.Tensor:
        """Return (..., F) features of what `samples` returned, blended or not.

        Args:
            blended: (..., P) second answer of `samples`.
            total: (...) sums of the blending weights; None where nothing was blended.
        """

    def classify(self, feature: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return (N,) class ids and (N,) confidences in [0, 1] of (N, F) features."""


# Makes an engine of a network, for a device, precision and mode.
MakeEngine = Callable[[SceneDino, torch.device, str, str], Engine]
