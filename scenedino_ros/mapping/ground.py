# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""The ground under a robot, what stands on it, and both as an occupancy grid."""

from dataclasses import dataclass

import numpy as np

from scenedino_ros.core.costs import ClassCosts
from scenedino_ros.mapping.map_voxels import MapVolume, MapVoxels

UNKNOWN = -1  # in nav_msgs/OccupancyGrid
# The ground is looked for within this of the robot's own ground, and the more within the slope,
# the farther away: metres, and metres per metre.
_BAND, _SLOPE = 0.6, 0.15
_SMOOTHED = 5  # columns along each edge of the window whose median is the height of the ground
# Of the voxels between the two heights that the map knows, as many must be free in a free cell.
_FREE = 0.5
_ROUNDING = 1e-4  # metres


@dataclass(frozen=True, eq=False)
class Ground:
    """The ground of a map.

    Attributes:
        height: (X, Y) float64 height of the ground in the fixed frame, metres; where the map has
            none, that of the nearest column that has.
        layer: (X, Y) int64 index along z of the voxel whose top is the ground; -1: none is known.
    """

    height: np.ndarray
    layer: np.ndarray


def find_ground(volume: MapVolume, costs: ClassCosts, robot: np.ndarray) -> Ground:
    """Find the ground: upper surfaces of drivable classes near the height the robot stands at.

    Args:
        volume: The map.
        costs: Say which classes can be driven on.
        robot: (3,) point of the ground under the robot in the fixed frame, metres.

    Returns:
        The ground; a plane at the robot's height where the map shows no drivable surface at all.
    """
    from scipy import ndimage

    grid, occupied = volume.grid, volume.occupied
    surface = occupied & costs.drivable[volume.label]
    surface[:, :, :-1] &= ~occupied[:, :, 1:]
    tops = grid.origin[2] + grid.voxel_size * np.arange(1, grid.shape[2] + 1)
    x, y = (
        grid.origin[axis] + grid.voxel_size * (np.arange(grid.shape[axis]) + 0.5) - robot[axis]
        for axis in (0, 1)
    )
    band = _BAND + _SLOPE * np.hypot(x[:, None], y[None])
    away = np.abs(tops - robot[2])
    layer = np.full(band.shape, -1, np.int64)
    for k in np.argsort(-away, kind="stable"):  # the nearest to the robot's height comes last
        layer[surface[:, :, k] & (away[k] <= band)] = k
    known = layer >= 0
    if not known.any():
        return Ground(np.full(known.shape, float(robot[2])), layer)
    nearest = ndimage.distance_transform_edt(~known, return_distances=False, return_indices=True)
    height = tops[layer][tuple(nearest)]
    return Ground(ndimage.median_filter(height, size=_SMOOTHED, mode="nearest"), layer)


def occupancy_values(
    volume: MapVolume, ground: Ground, costs: ClassCosts, heights: tuple[float, ...]
) -> np.ndarray:
    """Return what a robot meets in each column between two heights above the ground.

    A column with an occupied voxel there that cannot be driven on has the highest cost of such
    voxels. Otherwise it has the cost of its ground, if that is known, or is free if at least half
    of its known voxels there are free. All other columns are unknown.

    Args:
        volume: The map.
        ground: Its ground.
        costs: What each class costs.
        heights: Lowest and highest height above the ground, metres.

    Returns:
        (X, Y) int8: -1 for unknown, or 0 (free) to 100 (lethal).
    """
    grid = volume.grid
    obstacle_cost = np.where(costs.drivable, UNKNOWN, costs.cost).astype(np.int8)
    cost = np.full(ground.height.shape, UNKNOWN, np.int8)
    free, known = np.zeros((2, *cost.shape), np.int16)
    for k in range(grid.shape[2]):  # one layer at a time needs little memory
        above = grid.origin[2] + grid.voxel_size * (k + 0.5) - ground.height
        between = (above >= heights[0] - _ROUNDING) & (above <= heights[1] + _ROUNDING)
        if not between.any():
            continue
        occupied = between & volume.occupied[:, :, k]
        met = np.where(occupied, obstacle_cost[volume.label[:, :, k]], UNKNOWN)
        np.maximum(cost, met, out=cost)
        free += between & volume.free[:, :, k]
        known += occupied
    known += free
    values = np.where((free > 0) & (free >= _FREE * known), 0, UNKNOWN)
    below = np.take_along_axis(volume.label, np.maximum(ground.layer, 0)[:, :, None], axis=2)
    values = np.where(ground.layer >= 0, costs.cost[below[:, :, 0]], values)
    return np.where(cost >= 0, cost, values).astype(np.int8)


def obstacle_mask(
    voxels: MapVoxels, ground: Ground, costs: ClassCosts, heights: tuple[float, ...]
) -> np.ndarray:
    """Return the (M,) bool voxels between two heights that cannot be driven on.

    Args:
        voxels: Occupied voxels of the map.
        ground: Its ground.
        costs: Say which classes can be driven on.
        heights: Lowest and highest height above the ground, metres.
    """
    i, j, _ = np.unravel_index(voxels.index, voxels.grid.shape)
    above = voxels.centers()[:, 2] - ground.height[i, j]
    between = (above >= heights[0] - _ROUNDING) & (above <= heights[1] + _ROUNDING)
    return between & ~costs.drivable[voxels.label]


def ground_mask(voxels: MapVoxels, ground: Ground) -> np.ndarray:
    """Return the (M,) bool voxels whose tops are the ground."""
    i, j, k = np.unravel_index(voxels.index, voxels.grid.shape)
    return ground.layer[i, j] == k
