# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""What a rolling map published along a drive, as seen from above."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from scenedino_ros.core.labels import IGNORE
from scenedino_ros.core.voxels import SemanticVoxels, VoxelGrid

UNKNOWN = -1  # of an occupancy grid
_AROUND = 2.0  # metres that are always shown around the robot


class Extent(NamedTuple):
    """A rectangle of the fixed frame, metres."""

    x_low: float
    y_low: float
    x_high: float
    y_high: float


class DriveMap:
    """What a rolling map published along a drive, as seen from above.

    A rolling map forgets what is far from the robot. Here, each cell keeps the newest values that
    were published while the map's box had it.

    Attributes:
        extent: The smallest rectangle with all boxes of the drive.
        cell: Edge length of a cell, metres.
        label: (X, Y) uint8 class of the topmost voxel of each column, or 255.
        height: (X, Y) float32 height of that voxel's top, metres; NaN where there is none.
        cost: (X, Y) int8 values of the occupancy grid; -1 is unknown.
        inside: (X, Y) bool, whether the box has the cell now.
    """

    def __init__(self, grids: Sequence[VoxelGrid]) -> None:
        """Start with nothing published.

        Args:
            grids: At least one box of the map; all of the drive's boxes lie in the smallest
                rectangle around these. They have one voxel size and whole voxels between them.
        """
        self.cell = grids[0].voxel_size
        corners = np.array([self._corner(grid) for grid in grids])
        self._low = corners.min(axis=0)
        high = (corners + [grid.shape[:2] for grid in grids]).max(axis=0)
        x_low, y_low, x_high, y_high = (np.hstack([self._low, high]) * self.cell).tolist()
        self.extent = Extent(x_low, y_low, x_high, y_high)
        shape = tuple(high - self._low)
        self.label = np.full(shape, IGNORE, dtype=np.uint8)
        self.height = np.full(shape, np.nan, dtype=np.float32)
        self.cost = np.full(shape, UNKNOWN, dtype=np.int8)
        self.inside = np.zeros(shape, dtype=bool)

    def update(self, voxels: SemanticVoxels, cost: np.ndarray | None = None) -> None:
        """Take what was published for one moment.

        Args:
            voxels: The map's occupied voxels; their grid is the box.
            cost: (X, Y) int8 occupancy grid of the box, first index along x; None: all unknown.
        """
        first = self._corner(voxels.grid) - self._low
        last = first + voxels.grid.shape[:2]
        box = (slice(first[0], last[0]), slice(first[1], last[1]))
        self.inside[:] = False
        self.inside[box] = True
        self.label[box], self.height[box] = topmost(voxels)
        self.cost[box] = UNKNOWN if cost is None else cost

    def known(self, track: Sequence[np.ndarray] = ()) -> Extent:
        """Return the smallest rectangle with all that is not unknown, and with the robot.

        Args:
            track: (4, 4) poses of the robot in the fixed frame, metres.
        """
        cells = np.argwhere(np.isfinite(self.height) | (self.cost != UNKNOWN)) + self._low
        corners = [cells * self.cell, (cells + 1) * self.cell]
        corners += [np.array([pose[:2, 3] + s]) for pose in track for s in (-_AROUND, _AROUND)]
        points = np.concatenate(corners)
        if not len(points):
            return self.extent
        return Extent(*points.min(axis=0).tolist(), *points.max(axis=0).tolist())

    def _corner(self, grid: VoxelGrid) -> np.ndarray:
        """Return the (2,) int64 cell of the fixed frame at the lowest corner of a box."""
        return np.round(np.array(grid.origin[:2]) / self.cell).astype(np.int64)


def topmost(voxels: SemanticVoxels) -> tuple[np.ndarray, np.ndarray]:
    """Return class and height of the topmost voxel of each column.

    Args:
        voxels: Voxels of a grid whose z axis points up.

    Returns:
        (X, Y) uint8 class, 255 where the column is empty or its voxel has no class; (X, Y)
        float32 height of the voxel's upper side, metres, NaN where the column is empty.
    """
    grid = voxels.grid
    label = np.full(grid.shape[:2], IGNORE, dtype=np.uint8)
    height = np.full(grid.shape[:2], np.nan, dtype=np.float32)
    column, level = np.divmod(voxels.index, grid.shape[2])
    # In ascending order of the index, the last voxel of a column is its topmost one.
    label.reshape(-1)[column] = voxels.label
    height.reshape(-1)[column] = grid.origin[2] + (level + 1) * grid.voxel_size
    return label, height
