# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""A map at one moment: its occupied voxels as a list, or the whole box."""

from dataclasses import dataclass

import numpy as np

from scenedino_ros.core.voxels import SemanticVoxels, VoxelGrid


@dataclass(frozen=True, eq=False)
class MapVoxels:
    """The occupied voxels of a map, M of them, in ascending order of their flat index.

    Attributes:
        grid: The map's box at that moment, in the fixed frame.
        index: (M,) int64 flat index, C order.
        label: (M,) uint8 class id; 255: none was named yet.
        confidence: (M,) float32 in [0, 1], by how much the class leads over the others.
        occupancy: (M,) float32 in [0.5, 1], the probability that the voxel is occupied.
        age: (M,) float32 time since a camera last saw the voxel, seconds.
    """

    grid: VoxelGrid
    index: np.ndarray
    label: np.ndarray
    confidence: np.ndarray
    occupancy: np.ndarray
    age: np.ndarray

    def __len__(self) -> int:
        """Return the number of occupied voxels."""
        return len(self.index)

    def semantic(self) -> SemanticVoxels:
        """Return the voxels as those of one image; the occupancy takes the density's place."""
        return SemanticVoxels(self.grid, self.index, self.label, self.confidence, self.occupancy)

    def centers(self) -> np.ndarray:
        """Return the (M, 3) float64 centres in the fixed frame, metres."""
        return self.semantic().centers()

    def select(self, keep: np.ndarray) -> "MapVoxels":
        """Return only the voxels for which the (M,) bool ``keep`` is True."""
        columns = (self.index, self.label, self.confidence, self.occupancy, self.age)
        return MapVoxels(self.grid, *(column[keep] for column in columns))


@dataclass(frozen=True, eq=False)
class MapVolume:
    """All voxels of a map.

    Attributes:
        grid: The map's box at that moment, in the fixed frame.
        occupied: (X, Y, Z) bool.
        free: (X, Y, Z) bool; what is neither occupied nor free is unknown.
        label: (X, Y, Z) uint8 class ids; 255: none was named yet.
    """

    grid: VoxelGrid
    occupied: np.ndarray
    free: np.ndarray
    label: np.ndarray
