# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""The occupied voxels of a map at one moment."""

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
        """Return the (M, 3) float32 centres in the fixed frame, metres."""
        return self.semantic().centers()
