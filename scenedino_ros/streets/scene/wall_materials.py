# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Surfaces of buildings: facades with windows, roofs, metal sheets."""

from dataclasses import dataclass

import numpy as np

from scenedino_ros.streets.scene.materials import Color, grained, noise, surface_axes


@dataclass(frozen=True)
class Facade:
    """A plastered or brick wall with windows, doors, and a base or shops.

    Attributes:
        color: Linear albedo of the wall.
        corner: (x, y) from which the bays are counted, metres.
        base: Height of the ground at the wall, metres.
        storey: Height of a storey, metres.
        bay: Distance between windows, metres.
        top: Height above which there are no windows, metres.
        window: Width and height of a window, metres.
        shutter: Linear albedo of shutters beside the windows; black: there are none.
        frame: Linear albedo of frames.
        plinth: Height of the darker base, metres.
        brick: Whether the wall is of bricks.
        shops: Whether the lowest storey is a row of shop windows.
        seed: Which noise, which curtains are drawn, where the doors are.
    """

    color: Color
    corner: tuple[float, float] = (0.0, 0.0)
    base: float = 0.1
    storey: float = 2.8
    bay: float = 2.7
    top: float = 5.6
    window: tuple[float, float] = (1.2, 1.4)
    shutter: Color = (0.0, 0.0, 0.0)
    frame: Color = (0.62, 0.62, 0.6)
    plinth: float = 0.55
    brick: bool = False
    shops: bool = False
    seed: int = 21

    def albedo(self, points: np.ndarray, normals: np.ndarray, footprint: np.ndarray) -> np.ndarray:
        """Return the colour of every point; see `Material`."""
        uv = surface_axes(points - (*self.corner, self.base), normals)
        grain = 0.07 * noise(uv, 0.02, footprint, self.seed)
        grain += 0.09 * noise(uv, 0.21, footprint, self.seed + 1)
        if self.brick:
            grain += _brickwork(uv, footprint)
        color = np.tile(np.asarray(self.color, dtype=np.float32), (len(uv), 1))
        color[uv[:, 1] < self.plinth] *= 0.5
        opening = self._paint_openings(color, uv, np.abs(normals[:, 2]) < 0.5, footprint)
        return grained(color, np.where(opening, 0.0, grain))

    def _paint_openings(
        self, color: np.ndarray, uv: np.ndarray, upright: np.ndarray, footprint: np.ndarray
    ) -> np.ndarray:
        """Paint windows and doors into (N, 3) colours; return where there is glass."""
        cell = np.floor(uv / (self.bay, self.storey))
        chance = noise(cell, 1.0, np.zeros(len(uv)), self.seed + 2)
        across = np.abs(uv[:, 0] - (cell[:, 0] + 0.5) * self.bay)
        wall = upright & (uv[:, 1] < self.top) & (uv[:, 1] > 0)
        ground = uv[:, 1] < self.storey
        width = np.full(len(uv), self.window[0] / 2)
        height = np.full(len(uv), self.window[1])
        low = np.full(len(uv), 0.9)
        door = ground & (np.abs(chance) < 0.35)
        width[door], height[door], low[door] = 0.5, 2.1, 0.0
        if self.shops:
            width[ground], height[ground], low[ground] = 0.44 * self.bay, 2.3, 0.25
        up = uv[:, 1] - cell[:, 1] * self.storey - low
        beside = wall & ~door & (across < width + 0.42) & (up > 0) & (up < height)
        if any(self.shutter):
            color[beside & ~(ground & self.shops)] = self.shutter
        wall &= (up > -0.07) & (up < height + 0.07) & (across < width + 0.07)
        color[wall] = self.frame
        bar = across < np.where(width > 0.45, 0.035, 0.0)
        pane = wall & ~bar & ~door & (across < width - 0.03) & (up > 0.05) & (up < height - 0.05)
        sky = np.clip(0.035 + 0.05 * up + 0.05 * noise(uv, 0.15, footprint, 3), 0.01, 0.3)
        color[pane] = (sky[:, None] * (0.75, 0.9, 1.1))[pane]
        blind = pane & (up > height * np.clip(1.2 - 0.5 * chance, 0.3, 1.0))
        color[blind] = (0.42, 0.41, 0.37)
        color[pane & ~blind & (chance > 0.9) & (across > 0.5 * width)] = (0.4, 0.38, 0.34)
        leaf = wall & door & (across < 0.44)
        color[leaf] = np.array(self.color[::-1], dtype=np.float32) * 0.35
        return pane


def _brickwork(uv: np.ndarray, footprint: np.ndarray) -> np.ndarray:
    """Return the (N,) grain of bricks of 25 x 8 cm with light joints."""
    row = np.floor(uv[:, 1] / 0.08)
    shifted = uv[:, 0] / 0.25 + 0.5 * (row % 2)
    cell = np.stack([np.floor(shifted), row], axis=1)
    joint = (shifted - cell[:, 0] < 0.05) | (uv[:, 1] / 0.08 - row < 0.14)
    fade = np.minimum(1.0, 0.02 / np.maximum(footprint, 1e-6))
    return 0.16 * noise(cell, 1.0, footprint * 2, 41) + 0.45 * joint * fade


@dataclass(frozen=True)
class Tiles:
    """A tiled roof: rows that darken towards their upper edge.

    Attributes:
        color: Linear albedo.
        axis: World axis along which the rows run: 0 or 1.
        seed: Which noise.
    """

    color: Color
    axis: int = 0
    seed: int = 31

    def albedo(self, points: np.ndarray, normals: np.ndarray, footprint: np.ndarray) -> np.ndarray:
        """Return the colour of every point; see `Material`."""
        row = points[:, 2] / 0.22
        column = points[:, self.axis] / 0.28
        cell = np.floor(np.stack([column, row], axis=1))
        depth = np.minimum(1.0, 0.15 / np.maximum(footprint, 1e-6))
        grain = 0.16 * noise(cell, 1.0, footprint * 0.2, self.seed)
        grain += 0.12 * noise(points[:, :2], 0.25, footprint, self.seed + 1)
        grain -= 0.45 * depth * (row - np.floor(row)) ** 3
        grain -= 0.25 * depth * (np.abs(column - cell[:, 0] - 0.5) > 0.42)
        color = np.broadcast_to(np.asarray(self.color, dtype=np.float32), points.shape)
        return grained(color, grain)


@dataclass(frozen=True)
class Sheet:
    """Ribbed metal or wooden boards: upright stripes.

    Attributes:
        color: Linear albedo.
        rib: Width of a rib or board, metres.
        contrast: Relative darkness of the grooves.
        gloss: Reflection of the sky at grazing angles, 0 to 1.
        seed: Which noise.
    """

    color: Color
    rib: float = 0.3
    contrast: float = 0.4
    gloss: float = 0.0
    seed: int = 17

    def albedo(self, points: np.ndarray, normals: np.ndarray, footprint: np.ndarray) -> np.ndarray:
        """Return the colour of every point; see `Material`."""
        uv = surface_axes(points, normals)
        place = uv[:, 0] / self.rib
        cell = np.floor(place)
        fade = np.minimum(1.0, 0.3 * self.rib / np.maximum(footprint, 1e-6))
        tone = noise(np.stack([cell, 0 * cell], axis=1), 1.0, np.zeros(len(uv)), self.seed)
        streaks = noise(uv * (1.0, 0.12), 0.02, footprint, self.seed + 1)
        grain = fade * (0.08 * tone - self.contrast * (place - cell < 0.14))
        grain += 0.09 * streaks + 0.07 * noise(uv, 0.2, footprint, self.seed + 2)
        color = np.broadcast_to(np.asarray(self.color, dtype=np.float32), points.shape)
        return grained(color, grain)
