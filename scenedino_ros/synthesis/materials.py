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


def _grained(color: np.ndarray, grain: np.ndarray) -> np.ndarray:
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
        return _grained(color, grain)


@dataclass(frozen=True)
class Asphalt:
    """A road along x with a dashed centre line, edge lines, repaired patches and manholes.

    Attributes:
        half_width: Half the width of the two lanes, metres.
        seed: Which noise and which patches.
    """

    half_width: float
    seed: int = 5

    def albedo(self, points: np.ndarray, normals: np.ndarray, footprint: np.ndarray) -> np.ndarray:
        """Return the colour of every point; see `Material`."""
        uv = points[:, :2]
        x, y = uv.T
        grain = (
            0.17 * noise(uv, 0.012, footprint, self.seed)
            + 0.08 * noise(uv, 0.11, footprint, self.seed + 1)
            - 0.10 * np.exp(-((((np.abs(y) % self.half_width) - self.half_width / 2) / 0.9) ** 2))
        )
        color = np.full(points.shape, 0.115, dtype=np.float32)
        color[:, 2] += 0.006
        patch = noise(np.floor(uv / (6.0, 1.6)), 0.37, np.zeros(len(uv)), self.seed + 2) > 1.3
        color[patch] *= 0.62
        seam = np.abs(y - 0.04 * noise(uv[:, :1] * (1, 0), 0.5, footprint, 9)) < 0.018
        color[seam] *= 0.45
        manhole = np.hypot((x % 31.0) - 15.0, y + 0.55 * self.half_width)
        color[manhole < 0.31] = (0.06, 0.055, 0.05)
        dash = (np.abs(y) < 0.07) & (x % 9.0 < 4.0)
        edge = np.abs(np.abs(y) - self.half_width + 0.1) < 0.06
        worn = noise(uv, 0.02, footprint, self.seed + 3) > -1.1
        color[(dash | edge) & worn & ~patch] = 0.58
        return _grained(color, grain)


@dataclass(frozen=True)
class Paving:
    """Rectangular slabs with dark joints.

    Attributes:
        color: Linear albedo of the slabs.
        slab: Edge lengths of a slab along the surface's two axes, metres.
        seed: Which noise.
    """

    color: Color
    slab: tuple[float, float] = (0.5, 0.35)
    seed: int = 11

    def albedo(self, points: np.ndarray, normals: np.ndarray, footprint: np.ndarray) -> np.ndarray:
        """Return the colour of every point; see `Material`."""
        uv = surface_axes(points, normals).copy()
        row = np.floor(uv[:, 1] / self.slab[1])
        uv[:, 0] += 0.5 * self.slab[0] * (row % 2)
        cell = np.floor(uv / self.slab)
        inside = uv / self.slab - cell
        tone = noise(cell, 1.0, np.zeros(len(uv)), self.seed)
        grain = 0.09 * tone + 0.10 * noise(uv, 0.015, footprint, self.seed + 1)
        grain += 0.10 * noise(uv, 0.13, footprint, self.seed + 2)
        gap = np.maximum(0.012, 0.5 * footprint)[:, None] / self.slab
        joint = ((inside < gap) | (inside > 1 - gap)).any(axis=1)
        depth = 0.5 * np.minimum(1.0, 0.024 / np.maximum(footprint, 0.024))
        color = np.broadcast_to(np.asarray(self.color, dtype=np.float32), points.shape)
        return _grained(color, grain - np.where(joint, depth, 0.0))


@dataclass(frozen=True)
class Facade:
    """A plastered wall with windows and a darker base.

    Attributes:
        color: Linear albedo of the plaster.
        corner: (x, y) from which the bays are counted, metres.
        base: Height of the ground at the wall, metres.
        storey: Height of a storey, metres.
        bay: Distance between windows, metres.
        top: Height above which there are no windows, metres.
        shutter: Linear albedo of shutters beside the windows.
        seed: Which noise, and which curtains are drawn.
    """

    color: Color
    corner: tuple[float, float] = (0.0, 0.0)
    base: float = 0.1
    storey: float = 2.8
    bay: float = 2.7
    top: float = 5.6
    shutter: Color = (0.1, 0.16, 0.1)
    seed: int = 21

    def albedo(self, points: np.ndarray, normals: np.ndarray, footprint: np.ndarray) -> np.ndarray:
        """Return the colour of every point; see `Material`."""
        uv = surface_axes(points - (*self.corner, self.base), normals)
        grain = 0.07 * noise(uv, 0.02, footprint, self.seed)
        grain += 0.07 * noise(uv, 0.21, footprint, self.seed + 1)
        color = np.tile(np.asarray(self.color, dtype=np.float32), (len(uv), 1))
        color[uv[:, 1] < 0.55] *= 0.45
        cell = np.floor(uv / (self.bay, self.storey))
        across = uv[:, 0] - (cell[:, 0] + 0.5) * self.bay
        up = uv[:, 1] - cell[:, 1] * self.storey - 0.95
        wall = (uv[:, 1] < self.top) & (np.abs(normals[:, 2]) < 0.5)
        shutter = wall & (np.abs(across) < 0.95) & (up > 0) & (up < 1.35)
        color[shutter] = self.shutter
        frame = wall & (np.abs(across) < 0.60) & (up > -0.06) & (up < 1.41)
        color[frame] = 0.62
        pane = frame & (np.abs(np.abs(across) - 0.28) < 0.22) & (up > 0.06) & (up < 1.27)
        drawn = noise(cell, 1.0, np.zeros(len(uv)), self.seed + 2) + 0.5 * (up - 0.6)
        sky = np.clip(0.05 + 0.10 * up + 0.04 * noise(uv, 0.15, footprint, 3), 0.01, 0.4)
        color[pane] = (sky[:, None] * (0.75, 0.9, 1.1))[pane]
        color[pane & (drawn > 0.7)] = (0.42, 0.40, 0.36)
        return _grained(color, np.where(pane, 0.0, grain))


@dataclass(frozen=True)
class Tiles:
    """A tiled roof: rows that darken towards their upper edge.

    Attributes:
        color: Linear albedo.
        seed: Which noise.
    """

    color: Color
    seed: int = 31

    def albedo(self, points: np.ndarray, normals: np.ndarray, footprint: np.ndarray) -> np.ndarray:
        """Return the colour of every point; see `Material`."""
        row = points[:, 2] / 0.22
        column = points[:, 0] / 0.28
        cell = np.floor(np.stack([column, row], axis=1))
        depth = np.minimum(1.0, 0.15 / np.maximum(footprint, 1e-6))
        grain = 0.16 * noise(cell, 1.0, footprint * 0.2, self.seed)
        grain -= 0.45 * depth * (row - np.floor(row)) ** 3
        grain -= 0.25 * depth * (np.abs(column - cell[:, 0] - 0.5) > 0.42)
        color = np.broadcast_to(np.asarray(self.color, dtype=np.float32), points.shape)
        return _grained(color, grain)
