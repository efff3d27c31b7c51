# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""The field: density and feature of any 3D point, from one image's feature map."""

import copy
import math
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional

MIN_DEPTH = 1e-3  # metres; points nearer to the camera plane than this are not projected


@dataclass(frozen=True)
class Projection:
    """Image positions and depths of points.

    Attributes:
        uv_norm: (..., 2) position in [-1, 1] over the image, clamped to [-2, 2].
        depth: (...) depth along the optical axis, metres, not clamped.
        visible: (...) bool, whether in front of the camera and inside the image, borders included.
    """

    uv_norm: torch.Tensor
    depth: torch.Tensor
    visible: torch.Tensor


def project(points_cam: torch.Tensor, K_norm: torch.Tensor) -> Projection:
    """Project points of the optical frame into the image.

    Args:
        points_cam: (B, N, 3) float32 points (x right, y down, z forward), metres.
        K_norm: (B, 3, 3) intrinsics for coordinates in [-1, 1].

    Returns:
        The projection of each point; points behind the camera are clamped, not dropped.
    """
    q = points_cam @ K_norm.transpose(-1, -2)
    depth = q[..., 2]
    uv = q[..., :2] / depth.clamp(min=MIN_DEPTH).unsqueeze(-1)
    visible = (depth > MIN_DEPTH) & (uv.abs() <= 1).all(dim=-1)
    return Projection(uv.clamp(-2, 2), depth, visible)


class PositionalCode(nn.Module):
    """Sines and cosines of image position and inverse depth.

    One image fits a near scene through a short lens as well as a distant scene through a long one.
    With a canonical focal length, the depth in the code is what it would be through a lens of that
    length: what looks alike has one code, whatever the camera.

    Source: Yin et al., Metric3D, ICCV 2023, for the canonical camera.
    """

    def __init__(
        self,
        n_frequencies: int,
        factor: float,
        depth_range: tuple[float, float],
        canonical_focal: float = 0.0,
    ) -> None:
        """Choose the frequencies factor * 2^k and the depths that map to +1 (near) and -1 (far).

        Args:
            n_frequencies: Number of frequencies.
            factor: Lowest frequency.
            depth_range: (near, far), metres.
            canonical_focal: Vertical focal length in half image heights; 0: depths enter as they
                are, as published.
        """
        super().__init__()
        self.depth_range = depth_range
        self.canonical_focal = canonical_focal
        self._stretch: torch.Tensor | None = None  # of depths, for one camera
        frequencies = factor * 2.0 ** torch.arange(n_frequencies, device="cpu")
        self.register_buffer("frequencies", frequencies, persistent=False)
        self.channels = 3 + 6 * n_frequencies

    def forward(self, uv_norm: torch.Tensor, depth: torch.Tensor) -> torch.Tensor:
        """Encode positions.

        Args:
            uv_norm: (..., 2) clamped image position.
            depth: (...) depth, metres; clamped at 1 mm from below.

        Returns:
            (..., 3 + 6 F): u, v and the depth code, then per frequency the sines of the three and
            their cosines, evaluated as shifted sines as the published model does.
        """
        position = torch.cat([uv_norm, self.depth_coordinate(depth).unsqueeze(-1)], dim=-1)
        # From (..., 3) to (..., F, 6).
        phases = position.unsqueeze(-2) * self.frequencies.unsqueeze(-1)  # (..., F, 3)
        waves = torch.sin(torch.cat([phases, phases + math.pi / 2], dim=-1))
        return torch.cat([position, waves.flatten(-2)], dim=-1)

    def for_camera(self, K_norm: torch.Tensor) -> "PositionalCode":
        """Return the code of points of a camera: this one, if there is no canonical focal length.

        Args:
            K_norm: (3, 3) intrinsics of the encoded image, or (B, 3, 3) for (B, N) points.
        """
        if not self.canonical_focal:
            return self
        bound = copy.copy(self)
        stretch = self.canonical_focal / K_norm[..., 1, 1]
        bound._stretch = stretch.unsqueeze(-1) if K_norm.ndim == 3 else stretch
        return bound

    def depth_coordinate(self, depth: torch.Tensor) -> torch.Tensor:
        """Return the (...) inverse of depths, metres, scaled to +1 (near) and -1 (far)."""
        near, far = self.depth_range
        if self._stretch is not None:
            depth = depth * self._stretch
        return 2 * (1 / depth.clamp(min=MIN_DEPTH) - 1 / far) / (1 / near - 1 / far) - 1


def sample_map(feature_map: torch.Tensor, uv_norm: torch.Tensor) -> torch.Tensor:
    """Sample a feature map bilinearly at image positions; positions outside get the border.

    Args:
        feature_map: (B, C, H', W') map over the whole image.
        uv_norm: (B, N, 2) positions in [-1, 1].

    Returns:
        (B, N, C) features.
    """
    sampled = functional.grid_sample(
        feature_map,
        uv_norm.unsqueeze(1),
        mode="bilinear",
        padding_mode="border",
        align_corners=False,
    )
    return sampled.squeeze(2).transpose(1, 2)


class PointField(nn.Module):
    """The MLP from a point's image feature and positional code to density and feature."""

    def __init__(
        self,
        map_channels: int,
        code_channels: int,
        hidden: int,
        feature_dim: int,
        *,
        apart: bool = False,
    ) -> None:
        """Build the two layers; the input is the image feature, then the code.

        Args:
            map_channels: Channels of the image feature.
            code_channels: Channels of the positional code.
            hidden: Width of the hidden layer.
            feature_dim: Channels F of the point feature.
            apart: Whether density and feature come from two MLPs, each with a half of the hidden
                layer: the weights between one's half and the other's output are zero and stay so.
        """
        super().__init__()
        self.lin_in = nn.Linear(map_channels + code_channels, hidden)
        self.lin_out = nn.Linear(hidden, 1 + feature_dim)
        if apart:
            own = torch.zeros(1 + feature_dim, hidden, device="cpu")
            own[0, : hidden // 2] = own[1:, hidden // 2 :] = 1
            weight = self.lin_out.weight
            if not weight.is_meta:
                with torch.no_grad():
                    weight.mul_(own)
            weight.register_hook(lambda gradient: gradient * own.to(gradient))

    def forward(
        self, features: torch.Tensor, code: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Evaluate points.

        Args:
            features: (..., map_channels) sampled image features.
            code: (..., code_channels) positional code.

        Returns:
            (...) density logit, whose softplus is the density in 1/m, and the (..., F) point
            feature.
        """
        hidden = functional.relu(self.lin_in(torch.cat([features, code], dim=-1)))
        out = self.lin_out(hidden)
        return out[..., 0], out[..., 1:]


class Expansion(nn.Module):
    """From the rendered feature to the full DINO feature, with unit length."""

    def __init__(self, feature_dim: int, hidden: int, width: int) -> None:
        """Build the two layers."""
        super().__init__()
        self.linear_in = nn.Linear(feature_dim, hidden)
        self.linear_out = nn.Linear(hidden, width)

    def forward(self, feature: torch.Tensor) -> torch.Tensor:
        """Map (..., F) features to (..., C) unit vectors."""
        full = self.linear_out(functional.relu(self.linear_in(feature)))
        return functional.normalize(full, dim=-1, eps=1e-12)
