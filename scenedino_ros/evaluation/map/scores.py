# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Counts of one grid: occupied against free, the driven corridor, and ghosts of moving cars.

Predictions are numbers per voxel, densities or log-odds, and are scored at several thresholds at
once: first each voxel's level is found, the number of thresholds that it passes. A voxel of level
l is occupied at the l lowest thresholds.
"""

import functools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.ndimage import maximum_filter

from scenedino_ros.evaluation.ssc import rules as ssc

CORRIDOR_WIDTH, CORRIDOR_HEIGHT = 2.0, 1.8  # metres: the robot's body
STATES = ("free", "occupied", "unknown")  # what a prediction says of a voxel


@dataclass(frozen=True, eq=False)
class Answer:
    """What one prediction says of a grid, at T thresholds.

    Attributes:
        levels: (256, 256, 32) uint8 number of thresholds that each voxel passes.
        known: (256, 256, 32) bool, where it says anything; elsewhere the level is 0.
        n_thresholds: T.
    """

    levels: np.ndarray
    known: np.ndarray
    n_thresholds: int

    @classmethod
    def of_image(
        cls, density: np.ndarray, view: np.ndarray, thresholds: Sequence[float]
    ) -> "Answer":
        """Return what one image says.

        Args:
            density: (256, 256, 32) float32, 1/m.
            view: (256, 256, 32) bool, what the camera sees.
            thresholds: Ascending densities; a voxel is occupied from one of them on.
        """
        levels = np.searchsorted(np.array(thresholds, np.float32), density, side="right")
        return cls(np.where(view, levels, 0).astype(np.uint8), view, len(thresholds))

    @classmethod
    def of_map(cls, log_odds: np.ndarray, thresholds: Sequence[float]) -> "Answer":
        """Return what a map says.

        Args:
            log_odds: (256, 256, 32) float32, 0 where it knows nothing.
            thresholds: Ascending log-odds; a known voxel is occupied above one of them.
        """
        levels = np.searchsorted(np.array(thresholds, np.float32), log_odds, side="left")
        known = log_odds != 0
        return cls(np.where(known, levels, 0).astype(np.uint8), known, len(thresholds))

    def confusions(self, target: np.ndarray, scored: np.ndarray) -> np.ndarray:
        """Count free and occupied at each threshold, in the nested boxes of the benchmark.

        Args:
            target: (256, 256, 32), 0 free, 1 occupied; anything where not scored.
            scored: (256, 256, 32) bool, True where a voxel counts.

        Returns:
            (T, 3, 2, 2) int64, one matrix for each threshold and each of `ssc.RANGES`, row =
            target.
        """
        shape = (len(ssc.RANGES), 2, self.n_thresholds + 1)
        place = (_innermost()[scored], target[scored] == 1, self.levels[scored])
        index = np.ravel_multi_index([part.astype(np.intp) for part in place], shape)
        counts = np.bincount(index, minlength=int(np.prod(shape))).reshape(shape)
        counts = self._free_and_occupied(counts.cumsum(axis=0))  # the boxes are nested
        return np.moveaxis(counts, 2, 0)

    def states(self, chosen: np.ndarray) -> np.ndarray:
        """Return the (T, 3) int64 counts of (256, 256, 32) bool voxels by what it says of them.

        The columns are `STATES`.
        """
        counts = np.bincount(self.levels[chosen & self.known], minlength=self.n_thresholds + 1)
        unknown = int((chosen & ~self.known).sum())
        decided = self._free_and_occupied(counts)
        return np.column_stack([decided, np.full(self.n_thresholds, unknown)])

    @staticmethod
    def _free_and_occupied(counts: np.ndarray) -> np.ndarray:
        """Return (..., T, 2) counts at each threshold, from (..., T + 1) counts by level."""
        free = counts.cumsum(axis=-1)[..., :-1]
        return np.stack([free, counts.sum(axis=-1, keepdims=True) - free], axis=-1)


@functools.cache
def _innermost() -> np.ndarray:
    """Return the (256, 256, 32) uint8 number of the smallest of `ssc.RANGES` around each voxel."""
    number = np.zeros(ssc.GRID.shape, np.uint8)
    for metres in ssc.RANGES[:-1]:
        number[:] += 1
        number[ssc.range_crop(metres)] -= 1
    return number


def beside_free(free: np.ndarray) -> np.ndarray:
    """Return the voxels that are free or touch a free one, as faces, edges or corners do.

    Elsewhere is the inside of solids, which no sensor sees. Grids made of scans do not know it;
    those of synthetic streets are filled there.

    Args:
        free: (X, Y, Z) bool.
    """
    return maximum_filter(free, size=3, mode="constant", cval=False)


def corridor(path: np.ndarray, heights: np.ndarray) -> np.ndarray:
    """Return the voxels that the robot's body sweeps.

    Args:
        path: (K, 2) where it drives, x and y in the grid's frame, metres; K >= 1.
        heights: (256, 256, 32) of the voxels above the road, metres.

    Returns:
        (256, 256, 32) bool: up to 1 m beside the path and up to 1.8 m above the road.
    """
    columns = ssc.GRID.centers()[:, :, 0, :2].astype(np.float64)
    nearest = np.full(columns.shape[:2], np.inf)
    for start, end in zip(path[:-1], path[1:], strict=True):
        along = end - start
        length = max(float(along @ along), 1e-12)
        place = np.clip((columns - start) @ along / length, 0, 1)
        distance = np.linalg.norm(columns - start - place[..., None] * along, axis=-1)
        nearest = np.minimum(nearest, distance)
    swept = (nearest <= CORRIDOR_WIDTH / 2)[..., None]
    return swept & (heights > 0) & (heights <= CORRIDOR_HEIGHT)


def resampled(grid: np.ndarray, T_grid_now: np.ndarray) -> np.ndarray:
    """Return what a bool grid of another frame has at the voxel centres of this frame's grid.

    Args:
        grid: (256, 256, 32) bool.
        T_grid_now: (4, 4) this frame's grid in the frame of the other one, metres.

    Returns:
        (256, 256, 32) bool, False outside the other grid.
    """
    centers = ssc.GRID.centers().reshape(-1, 3).astype(np.float64)
    points = centers @ T_grid_now[:3, :3].T + T_grid_now[:3, 3]
    index = np.floor((points - ssc.GRID.origin) / ssc.GRID.voxel_size).astype(np.int64)
    inside = ((index >= 0) & (index < grid.shape)).all(axis=1)
    found = np.zeros(len(points), bool)
    found[inside] = grid[tuple(index[inside].T)]
    return found.reshape(grid.shape)
