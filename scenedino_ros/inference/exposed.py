# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""The occupied voxels that can be seen from free or unknown space."""

import torch


def exposed(occupied: torch.Tensor) -> torch.Tensor:
    """Find the occupied voxels of which at least one face neighbour is not occupied.

    Args:
        occupied: (X, Y, Z) bool, True where a voxel is occupied. What is free, unknown or
            outside the grid is not.

    Returns:
        (X, Y, Z) bool on the same device, True where an occupied voxel is exposed.
    """
    enclosed = occupied.clone()  # occupied, and so are all six neighbours
    for axis, length in enumerate(occupied.shape):
        enclosed.narrow(axis, 1, length - 1).logical_and_(occupied.narrow(axis, 0, length - 1))
        enclosed.narrow(axis, 0, length - 1).logical_and_(occupied.narrow(axis, 1, length - 1))
        enclosed.select(axis, 0).fill_(False)
        enclosed.select(axis, length - 1).fill_(False)
    return occupied & ~enclosed
