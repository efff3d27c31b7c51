# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Surfaces that are driven and walked on: asphalt with its markings, slabs, grass."""

from dataclasses import dataclass

import numpy as np

from scenedino_ros.streets.scene.materials import Color, grained, noise, surface_axes

_PAINT = 0.62  # albedo of road markings


@dataclass(frozen=True)
class Asphalt:
    """A road with lane markings, tyre tracks, repaired patches, tarred cracks and manholes.

    Attributes:
        color: Linear albedo.
        axis: World axis along which the road runs: 0 or 1.
        lanes: Offsets across the road between which tyres roll, metres.
        dashes: Offsets of dashed lines, metres.
        lines: Offsets of solid lines, metres.
        zebras: Where zebra crossings begin along the road, metres; each is 3 m long.
        stops: Where stop lines are: along the road, and the offsets between which, metres.
        cracks: How many cracks have been tarred, 0 to 1.
        seed: Which noise and which patches.
    """

    color: Color = (0.17, 0.165, 0.15)
    axis: int = 0
    lanes: tuple[float, ...] = (-3.1, 0.0, 3.1)
    dashes: tuple[float, ...] = ()
    lines: tuple[float, ...] = ()
    zebras: tuple[float, ...] = ()
    stops: tuple[tuple[float, float, float], ...] = ()
    cracks: float = 0.3
    seed: int = 5

    def albedo(self, points: np.ndarray, normals: np.ndarray, footprint: np.ndarray) -> np.ndarray:
        """Return the colour of every point; see `Material`."""
        uv = points[:, [self.axis, 1 - self.axis]]
        grain = (
            0.17 * noise(uv, 0.012, footprint, self.seed)
            + 0.10 * noise(uv, 0.11, footprint, self.seed + 1)
            + 0.08 * noise(uv * (0.15, 1.0), 0.16, footprint, self.seed + 2)
            + self._tracks(uv[:, 1])
        )
        color = np.tile(np.array(self.color, dtype=np.float32), (len(points), 1))
        cell = np.floor(uv / (5.3, 1.7))
        tone = noise(cell, 0.37, np.zeros(len(uv)), self.seed + 2)
        color[tone > 1.25] *= 0.66
        color[tone < -1.7] *= 1.2
        color[self._cracked(uv)] *= 0.38
        manhole = np.hypot(uv[:, 0] % 23.0 - 11.0, uv[:, 1] - 0.3 * self.lanes[0])
        color[manhole < 0.36] *= 1.5
        color[manhole < 0.31] = 0.09
        worn = noise(uv, 0.02, footprint, self.seed + 3) > -1.1
        color[self._painted(uv) & worn] = _PAINT
        return grained(color, grain)

    def _tracks(self, across: np.ndarray) -> np.ndarray:
        """Return the (N,) grain of tyre tracks, which are a little darker."""
        dark = np.zeros(len(across), dtype=np.float32)
        for low, high in zip(self.lanes[:-1], self.lanes[1:], strict=True):
            from_middle = np.abs(across - (low + high) / 2)
            dark -= 0.09 * np.exp(-(((from_middle - 0.78) / 0.35) ** 2))
        return dark

    def _cracked(self, uv: np.ndarray) -> np.ndarray:
        u, v = uv.T
        phase = float(self.seed)
        wave = 0.30 * u + 1.4 * np.sin(0.9 * v + phase) + 0.35 * np.sin(2.3 * u + 3.1 * v)
        along = 0.55 * v + 0.5 * np.sin(0.35 * u + phase) + 0.1 * np.sin(2.9 * u)
        some = np.sin(0.11 * u + phase) + np.sin(0.7 * v + 2 * phase) < 4 * self.cracks - 2
        return some & ((np.abs(np.sin(wave)) < 0.045) | (np.abs(np.sin(along)) < 0.022))

    def _painted(self, uv: np.ndarray) -> np.ndarray:
        u, v = uv.T
        painted = np.zeros(len(uv), dtype=bool)
        for offset in self.dashes:
            painted |= (np.abs(v - offset) < 0.06) & (u % 9.0 < 3.0)
        for offset in self.lines:
            painted |= np.abs(v - offset) < 0.06
        for start in self.zebras:
            painted |= (u > start) & (u < start + 3.0) & (v % 1.0 < 0.5)
        for start, low, high in self.stops:
            painted |= (u > start) & (u < start + 0.5) & (v > low) & (v < high)
        return painted


@dataclass(frozen=True)
class Paving:
    """Rectangular slabs, bricks or cobbles with dark joints.

    Attributes:
        color: Linear albedo of the slabs.
        slab: Edge lengths of a slab along the surface's two axes, metres.
        contrast: Relative deviation of the slabs' tones.
        seed: Which noise.
    """

    color: Color
    slab: tuple[float, float] = (0.5, 0.35)
    contrast: float = 0.09
    seed: int = 11

    def albedo(self, points: np.ndarray, normals: np.ndarray, footprint: np.ndarray) -> np.ndarray:
        """Return the colour of every point; see `Material`."""
        uv = surface_axes(points, normals).copy()
        row = np.floor(uv[:, 1] / self.slab[1])
        uv[:, 0] += 0.5 * self.slab[0] * (row % 2)
        cell = np.floor(uv / self.slab)
        inside = uv / self.slab - cell
        tone = noise(cell, 1.0, 0.15 * footprint / self.slab[1], self.seed)
        grain = self.contrast * tone + 0.10 * noise(uv, 0.015, footprint, self.seed + 1)
        grain += 0.13 * noise(uv, 0.13, footprint, self.seed + 2)
        gap = np.maximum(0.012, 0.5 * footprint)[:, None] / self.slab
        joint = ((inside < gap) | (inside > 1 - gap)).any(axis=1)
        depth = 0.5 * np.minimum(1.0, 0.024 / np.maximum(footprint, 0.024))
        color = np.broadcast_to(np.asarray(self.color, dtype=np.float32), points.shape)
        return grained(color, grain - np.where(joint, depth, 0.0))


@dataclass(frozen=True)
class Meadow:
    """Grass, fresh here and dry or bare there.

    Attributes:
        color: Linear albedo of fresh grass.
        bare: Linear albedo of dry grass or soil.
        dryness: Share that is dry, 0 to 1.
        seed: Which noise.
    """

    color: Color
    bare: Color
    dryness: float = 0.3
    seed: int = 3

    def albedo(self, points: np.ndarray, normals: np.ndarray, footprint: np.ndarray) -> np.ndarray:
        """Return the colour of every point; see `Material`."""
        uv = surface_axes(points, normals)
        blades = noise(uv, 0.014, footprint, self.seed)
        tufts = noise(uv, 0.09, footprint, self.seed + 1)
        field = noise(uv, 0.6, footprint, self.seed + 2)
        dry = np.clip(0.5 + 0.45 * (field + 0.5 * tufts) + 2 * (self.dryness - 0.5), 0, 1)
        fresh, bare = np.array((self.color, self.bare), dtype=np.float32)
        color = fresh + dry[:, None].astype(np.float32) * (bare - fresh)
        return grained(color, 0.24 * blades + 0.16 * tufts)
