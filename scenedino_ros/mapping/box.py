# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""A bounded box of voxels in a fixed frame that moves with the robot in whole voxels.

The box is a torus: the voxel (i, j, k) of the fixed frame always has the slot (i mod X, j mod Y,
k mod Z). When the box moves, voxels that stay keep their slots, so nothing is copied or resampled;
slots of voxels that leave it become those of voxels that enter it.
"""

from collections.abc import Iterator

import numpy as np

from scenedino_ros.core.errors import InputError
from scenedino_ros.core.limits import VOXELS
from scenedino_ros.core.voxels import VoxelGrid

# Columns of voxels are handled in square tiles of this many voxels along x and y, and the box
# moves along x and y by whole tiles, so that no tile is ever cut by the seam of the torus.
TILE = 4


class RollingBox:
    """Which voxels of the fixed frame the box has at this moment.

    Attributes:
        shape: Voxel counts (X, Y, Z); X and Y are multiples of `TILE`.
        voxel_size: Edge length, metres.
        low: (3,) int64 index of the lowest voxel in the fixed frame: voxel (i, j, k) spans
            [i s, (i + 1) s) and so on, with s = voxel_size.
    """

    def __init__(self, size: tuple[float, ...], voxel_size: float, below: float) -> None:
        """Set the size of the box; it lies around the origin at first.

        Args:
            size: Lengths along x, y and z, metres; rounded up to whole tiles and voxels.
            voxel_size: Edge length of a voxel, metres.
            below: How far the box reaches below its centre, metres.

        Raises:
            InputError: If size is not three lengths, or the box has too many voxels.
        """
        if len(size) != 3 or min(size) < voxel_size:
            raise InputError(
                f"map.size must be three lengths of at least a voxel, {voxel_size:g} m, "
                f"got {list(size)}"
            )
        if not 0 <= below <= size[2]:
            raise InputError(
                f"map.below must be in 0 to map.size[2], {size[2]:g} m, got {below:g}"
            )
        counts = [int(np.ceil(length / voxel_size - 1e-6)) for length in size]
        self.shape = (-(-counts[0] // TILE) * TILE, -(-counts[1] // TILE) * TILE, counts[2])
        if np.prod(self.shape, dtype=np.float64) > VOXELS:
            counts_text = " x ".join(map(str, self.shape))
            raise InputError(
                f"a map has at most {VOXELS} voxels, got {counts_text}: "
                "choose a smaller map.size or a larger map.voxel_size"
            )
        self.voxel_size = float(voxel_size)
        self._below = float(below)
        self.low = self._low_around(np.zeros(3))

    def grid(self) -> VoxelGrid:
        """Return the box as a grid in the fixed frame."""
        x, y, z = (self.low * self.voxel_size).tolist()
        return VoxelGrid((x, y, z), self.shape, self.voxel_size)

    def centers(self, axis: int) -> np.ndarray:
        """Return the float64 centres along an axis, metres, in the order of the slots."""
        count = self.shape[axis]
        slots = np.arange(count)
        index = self.low[axis] + (slots - self.low[axis]) % count
        return (index + 0.5) * self.voxel_size

    def move(self, center: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
        """Move the box so that a point is in its middle; return what has to be cleared.

        Args:
            center: (3,) the robot in the fixed frame, metres.

        Yields:
            An axis, and the slots along it whose voxels have changed.
        """
        new = self._low_around(np.asarray(center, np.float64))
        for axis, count in enumerate(self.shape):
            step = int(new[axis] - self.low[axis])
            if step == 0:
                continue
            first = self.low[axis] + count if step > 0 else new[axis]
            entered = first + np.arange(min(abs(step), count))
            yield axis, entered % count
        self.low = new

    def slots(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the flat slot of each (N, 3) point of the fixed frame, and whether it is inside.

        The slots of points outside are meaningless, but valid.
        """
        index = np.floor(np.asarray(points, np.float64) / self.voxel_size).astype(np.int64)
        local = index - self.low
        inside = ((local >= 0) & (local < self.shape)).all(axis=-1)
        x, y, z = (index % self.shape).T
        return (x * self.shape[1] + y) * self.shape[2] + z, inside

    def roll(self) -> tuple[int, int, int]:
        """Return the shifts of `torch.roll` that put slots into ascending order of the voxels."""
        x, y, z = (-(self.low % self.shape)).tolist()
        return x, y, z

    def _low_around(self, center: np.ndarray) -> np.ndarray:
        lowest = np.array(
            [
                center[0] - self.shape[0] * self.voxel_size / 2,
                center[1] - self.shape[1] * self.voxel_size / 2,
                center[2] - self._below,
            ]
        )
        low = np.round(lowest / self.voxel_size).astype(np.int64)
        low[:2] = np.round(lowest[:2] / (TILE * self.voxel_size)).astype(np.int64) * TILE
        return low
