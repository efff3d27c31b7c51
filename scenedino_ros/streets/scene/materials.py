# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Surfaces of a synthetic street: the colour of every point, without texture images.

Colours are linear RGB albedos. Fine grain comes from tables of tileable noise that are looked up
along the two axes across the surface's main direction; it fades where it would be finer than a
pixel.
"""

import functools
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from scenedino_ros.core.errors import InputError

_TABLE_SIZE = 1024
_TABLES = 4  # different tables; noises beyond that are shifted copies
Color = tuple[float, float, float]


class Material(Protocol):
    """The colour of a surface."""

    def albedo(self, points: np.ndarray, normals: np.ndarray, footprint: np.ndarray) -> np.ndarray:
        """Return the (N, 3) float32 linear albedo.

        Args:
            points: (N, 3) points on the surface in the world, metres.
            normals: (N, 3) unit normals.
            footprint: (N,) width of a pixel on the surface, metres.
        """
        ...


def linear_from_srgb(red: int, green: int, blue: int) -> Color:
    """Return a display colour (0..255) as linear RGB."""
    values = np.array([red, green, blue]) / 255.0
    linear = np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)
    return (float(linear[0]), float(linear[1]), float(linear[2]))


@functools.lru_cache(maxsize=_TABLES)
def _noise_table(seed: int) -> np.ndarray:
    """Tileable noise of all scales with mean 0 and deviation 1, (1024, 1024) float32."""
    rng = np.random.default_rng(seed)
    spectrum = np.fft.rfft2(rng.normal(size=(_TABLE_SIZE, _TABLE_SIZE)))
    fy = np.fft.fftfreq(_TABLE_SIZE)[:, None]
    fx = np.fft.rfftfreq(_TABLE_SIZE)[None]
    frequency = np.hypot(fy, fx)
    frequency[0, 0] = np.inf
    table = np.fft.irfft2(spectrum / np.maximum(frequency, 8 / _TABLE_SIZE) ** 0.9)
    return ((table - table.mean()) / table.std()).astype(np.float32)


def surface_axes(points: np.ndarray, normals: np.ndarray) -> np.ndarray:
    """Return (N, 2) coordinates along the surface: the axes across the normal's largest one."""
    main = np.abs(normals).argmax(axis=1)
    first = np.where(main == 0, points[:, 1], points[:, 0])
    second = np.where(main == 2, points[:, 1], points[:, 2])
    return np.stack([first, second], axis=1)


def noise(uv: np.ndarray, texel: float, footprint: np.ndarray, seed: int = 1) -> np.ndarray:
    """Return (N,) noise with mean 0 and deviation about 1.

    Args:
        uv: (N, 2) coordinates on the surface, metres.
        texel: Size of the finest grain, metres.
        footprint: (N,) width of a pixel on the surface, metres.
        seed: Which noise.
    """
    cell = np.floor(uv / texel).astype(np.int64) + (397 * seed, 211 * seed)
    cell &= _TABLE_SIZE - 1
    fade = np.minimum(1.0, 6.0 * texel / np.maximum(footprint, 1e-6)).astype(np.float32)
    return _noise_table(seed % _TABLES)[cell[:, 1], cell[:, 0]] * fade


def grained(color: np.ndarray, grain: np.ndarray) -> np.ndarray:
    """Return (N, 3) colours made brighter or darker by a relative (N,) grain."""
    return color * np.clip(1.0 + grain, 0.15, 2.5)[:, None].astype(np.float32)


@dataclass(frozen=True)
class Plain:
    """One colour with grain, such as plaster, bark, soil or leaves.

    Attributes:
        color: Linear albedo.
        contrast: Relative deviation of the grain.
        texel: Size of the finest grain, metres.
        seed: Which noise.
        gloss: Reflection of the sky at grazing angles, 0 to 1.
    """

    color: Color
    contrast: float = 0.12
    texel: float = 0.02
    seed: int = 1
    gloss: float = 0.0

    def __post_init__(self) -> None:
        """Refuse colours that reflect more light than falls on them."""
        if not all(0 <= channel <= 1 for channel in self.color):
            raise InputError(f"an albedo must be in 0..1, got {self.color}")

    def albedo(self, points: np.ndarray, normals: np.ndarray, footprint: np.ndarray) -> np.ndarray:
        """Return the colour of every point; see `Material`."""
        uv = surface_axes(points, normals)
        grain = self.contrast * (
            0.7 * noise(uv, self.texel, footprint, self.seed)
            + 0.7 * noise(uv + 3.1, 9.0 * self.texel, footprint, self.seed + 1)
        )
        color = np.broadcast_to(np.asarray(self.color, dtype=np.float32), points.shape)
        return grained(color, grain)


@dataclass(frozen=True)
class Foliage:
    """Leaves: light ones before dark gaps, in tones that change from twig to twig.

    Attributes:
        color: Linear albedo of a light leaf.
        leaf: Size of a leaf, metres.
        depth: How dark the gaps between leaves are, 0 to 1.
        seed: Which noise.
    """

    color: Color
    leaf: float = 0.05
    depth: float = 0.6
    seed: int = 1

    def albedo(self, points: np.ndarray, normals: np.ndarray, footprint: np.ndarray) -> np.ndarray:
        """Return the colour of every point; see `Material`."""
        uv = surface_axes(points, normals) + 0.37 * points[:, :1]
        single = noise(uv, 0.5 * self.leaf, footprint, self.seed)
        twig = noise(uv + 5.3, 4.0 * self.leaf, footprint, self.seed + 1)
        grain = 0.35 * single + 0.22 * twig - self.depth * np.clip(-single - 0.2 * twig, 0, 1)
        hue = 0.10 * twig[:, None] * np.array((1.0, 0.35, -0.6), dtype=np.float32)
        return grained(np.array(self.color, dtype=np.float32) * (1 + hue), grain)
