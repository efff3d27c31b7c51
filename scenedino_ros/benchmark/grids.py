# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Grids of any voxel size in the extent of a preset."""

from scenedino_ros.core.voxels import GRID_PRESETS, VoxelGrid


def grid_of(preset_name: str, voxel_size: float) -> VoxelGrid:
    """Return a preset's extent in voxels of some size, metres."""
    preset = GRID_PRESETS[preset_name]
    x, y, z = (max(1, round(n * preset.voxel_size / voxel_size)) for n in preset.shape)
    return VoxelGrid(preset.origin, (x, y, z), voxel_size)
