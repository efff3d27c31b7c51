# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Voxel grids: their geometry, and the occupied voxels in them."""

import math
from dataclasses import dataclass

import numpy as np

from scenedino_ros.core.errors import InputError
from scenedino_ros.core.limits import DISTANCE, VOXELS


def voxel_centers(
    origin: np.ndarray, shape: tuple[int, int, int], voxel_size: float
) -> np.ndarray:
    """Return the metric centre of every voxel of an axis-aligned grid.

    Voxel (i, j, k) spans [origin + (i, j, k) * s, origin + (i + 1, j + 1, k + 1) * s) with
    s = voxel_size. A grid of shape (X, Y, Z) has X * Y * Z centres, never X + 1 per axis.

    Args:
        origin: (3,) minimum corner of voxel (0, 0, 0) in the grid frame, metres.
        shape: Voxel counts (X, Y, Z) along the grid frame's x, y and z.
        voxel_size: Edge length, metres, > 0.

    Returns:
        (X, Y, Z, 3) float32 centres in the grid frame, metres.
    """
    axes = [
        np.float32(low) + np.float32(voxel_size) * (np.arange(count, dtype=np.float32) + 0.5)
        for low, count in zip(origin, shape, strict=True)
    ]
    return np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1)


@dataclass(frozen=True)
class VoxelGrid:
    """An axis-aligned grid of cubic voxels in some frame.

    Attributes:
        origin: Minimum corner (x, y, z) of voxel (0, 0, 0), metres.
        shape: Voxel counts (X, Y, Z).
        voxel_size: Edge length, metres.
    """

    origin: tuple[float, float, float]
    shape: tuple[int, int, int]
    voxel_size: float

    def __post_init__(self) -> None:
        """Refuse a grid without volume, or too large.

        Raises:
            InputError: If origin is not three numbers within the bound of distances, a count is
                < 1, there are too many voxels, or voxel_size is not a positive finite number.
        """
        if len(self.origin) != 3 or not (np.abs(self.origin) <= DISTANCE).all():
            raise InputError(
                f"grid origin must be 3 finite metres within +-{DISTANCE:g}, got {self.origin}"
            )
        if len(self.shape) != 3 or min(self.shape) < 1:
            raise InputError(f"grid shape must be three counts >= 1, got {self.shape}")
        if math.prod(self.shape) > VOXELS:
            raise InputError(f"a grid has at most {VOXELS} voxels, got {self.shape}")
        if not (np.isfinite(self.voxel_size) and self.voxel_size > 0):
            raise InputError(f"voxel_size must be > 0 m, got {self.voxel_size}")

    @property
    def size(self) -> int:
        """Number of voxels."""
        return int(np.prod(self.shape, dtype=np.int64))

    def centers(self) -> np.ndarray:
        """Return the (X, Y, Z, 3) float32 centres of all voxels, metres."""
        return voxel_centers(np.asarray(self.origin), self.shape, self.voxel_size)


# Camera grid: optical frame (x right, y down, z forward), around a camera some 1.5 m above the
# road. Benchmark grid: body axes (x forward, y left, z up) of the lidar, arXiv:2306.09001.
GRID_PRESETS = {
    "camera": VoxelGrid((-12.8, -4.0, 0.0), (128, 32, 128), 0.2),
    "sscbench": VoxelGrid((0.0, -25.6, -2.0), (256, 256, 32), 0.2),
    "sscbench_near": VoxelGrid((0.0, -12.8, -2.0), (128, 128, 32), 0.2),
}
OPTICAL_FRAME_PRESETS = ("camera",)


@dataclass(frozen=True, eq=False)
class SemanticVoxels:
    """The occupied voxels of a grid, M of them, in ascending order of their flat index.

    Attributes:
        grid: The grid they belong to.
        index: (M,) int64 flat index, C order: ``(i * Y + j) * Z + k``.
        label: (M,) uint8 class id.
        confidence: (M,) float32 in [0, 1], the probability of that class.
        density: (M,) float32 volume density, 1/m.
        highest_density: Highest density of the voxels that were asked, 1/m, if there are no
            occupied ones of a class that is not hidden, and any was asked; otherwise None.
    """

    grid: VoxelGrid
    index: np.ndarray
    label: np.ndarray
    confidence: np.ndarray
    density: np.ndarray
    highest_density: float | None = None

    def __len__(self) -> int:
        """Return the number of occupied voxels."""
        return len(self.index)

    def centers(self) -> np.ndarray:
        """Return the (M, 3) float64 centres of the occupied voxels in the grid frame, metres."""
        ijk = np.stack(np.unravel_index(self.index, self.grid.shape), axis=-1)
        return np.asarray(self.grid.origin) + (ijk + 0.5) * self.grid.voxel_size

    def occupied(self) -> np.ndarray:
        """Return the (X, Y, Z) bool grid that is True where a voxel is occupied."""
        occupied = np.zeros(self.grid.size, dtype=bool)
        occupied[self.index] = True
        return occupied.reshape(self.grid.shape)

    def label_grid(self, empty: int) -> np.ndarray:
        """Return the (X, Y, Z) uint8 class ids, ``empty`` where no voxel is occupied."""
        labels = np.full(self.grid.size, empty, dtype=np.uint8)
        labels[self.index] = self.label
        return labels.reshape(self.grid.shape)

    def select(self, keep: np.ndarray) -> "SemanticVoxels":
        """Return only the voxels for which the (M,) bool ``keep`` is True."""
        return SemanticVoxels(
            self.grid,
            self.index[keep],
            self.label[keep],
            self.confidence[keep],
            self.density[keep],
        )
