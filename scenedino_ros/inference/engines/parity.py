# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Differences between the answers of two engines."""

from dataclasses import asdict, dataclass

import torch

from scenedino_ros.core.errors import SceneDinoError
from scenedino_ros.core.model_config import ModelConfig
from scenedino_ros.inference.engines.engine import Engine, Points
from scenedino_ros.inference.engines.torch_engine import TorchEngine
from scenedino_ros.network.field import PositionalCode
from scenedino_ros.network.folded import bilinear_taps

_POINTS = 4096
_CLEAR = 1e-4  # a class is clear if its score leads by more than this


@dataclass(frozen=True)
class Deviation:
    """Largest differences on one random image and random points.

    Attributes:
        map: Of the image part, relative to the largest value.
        density: Of points, relative to the largest density.
        feature: Of points, relative to the largest value.
        labels: Points whose class is clear but differs.
        points: Points compared.
    """

    map: float
    density: float
    feature: float
    labels: int
    points: int

    def check(self, limit: float) -> None:
        """Refuse differences above a limit.

        Args:
            limit: Of each relative difference.

        Raises:
            SceneDinoError: Naming what differs.
        """
        for name in ("map", "density", "feature"):
            value = getattr(self, name)
            if not value <= limit:  # refuses NaN too
                raise SceneDinoError(
                    f"the {name} must be within {limit:.0e} of PyTorch's, got {value:.1e}"
                )
        if self.labels:
            raise SceneDinoError(
                f"classes must be those of PyTorch, got others at {self.labels} of {self.points} "
                "points"
            )

    def describe(self) -> str:
        """Return the figures in one line."""
        return (
            f"largest deviation from PyTorch: map {self.map:.1e}, density {self.density:.1e}, "
            f"feature {self.feature:.1e}; other classes at {self.labels} of {self.points} points"
        )

    def to_dict(self) -> dict[str, float]:
        """Return the figures as plain values."""
        return asdict(self)


@torch.inference_mode()
def compare(
    reference: TorchEngine, other: Engine, config: ModelConfig, code: PositionalCode
) -> Deviation:
    """Compare the answers of two engines to the same random input.

    Args:
        reference: PyTorch on the same device.
        other: The engine to judge.
        config: Architecture of the network.
        code: Its positional code, on the same device.
    """
    device = code.frequencies.device
    draws = torch.Generator().manual_seed(0)
    image = (torch.rand(1, 3, *config.image_size, generator=draws) * 2 - 1).to(device)
    ours, theirs = reference.hidden_map(image), other.hidden_map(image)
    rows = ours.flatten(0, 1)
    near, far = config.depth_range
    uv_norm = (torch.rand(_POINTS, 2, generator=draws) * 2.4 - 1.2).to(device)
    depth = (near / 2 + torch.rand(_POINTS, generator=draws) * (far - near / 2)).to(device)
    points = Points(*bilinear_taps(uv_norm, *ours.shape[:2]), code(uv_norm, depth))
    density, blended = reference.samples(rows, points)
    feature = reference.feature(blended)
    their_density, their_blended = other.samples(rows, points)
    their_feature = other.feature(their_blended)
    differing = 0
    head = reference.network.head
    if head is not None:
        best = head.scores(feature).topk(2, dim=-1).values
        clear = best[:, 0] - best[:, 1] > _CLEAR
        changed = reference.classify(feature)[0] != other.classify(their_feature)[0]
        differing = int((clear & changed).sum())
    return Deviation(
        _relative(theirs, ours),
        _relative(their_density, density),
        _relative(their_feature, feature),
        differing,
        _POINTS,
    )


def _relative(found: torch.Tensor, expected: torch.Tensor) -> float:
    return float((found - expected).abs().max() / expected.abs().max())
