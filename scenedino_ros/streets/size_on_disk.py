# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Estimates the bytes that the frames of synthetic drives take, before any is rendered."""

from collections.abc import Iterable, Sequence

from scenedino_ros.streets.drive_folders import VOXEL_STRIDE
from scenedino_ros.streets.lidar import BEAMS, COLUMNS
from scenedino_ros.streets.render import RenderSettings

# Bytes of PNG per pixel of rendered streets: colour, classes, depth. Fisheyes have empty corners.
_COLOR, _FISHEYE_COLOR, _LABEL, _DEPTH = 1.7, 1.2, 0.06, 0.6
_SCAN = 0.98 * BEAMS * COLUMNS * 4 * 4  # nearly all beams hit something; x, y, z, reflectance
_VOXELS = 256 * 256 * 32  # of a grid
_VOXEL = 2 + 1 + 4  # raw id, whether invalid, and the benchmark's label


def rendered_bytes(
    settings: RenderSettings,
    outputs: Sequence[str],
    drives: Iterable[range],
    *,
    voxels: bool,
    moving: bool = False,
) -> float:
    """Return about how many bytes the frames of some drives take.

    Args:
        settings: Cameras and how they are rendered.
        outputs: ``bags``, ``folders`` or both.
        drives: Numbers of the frames of each drive.
        voxels: Whether folders get voxels.
        moving: Whether cars move, so that folders also get the voxels that they fill.
    """
    per_frame = _SCAN if "folders" in outputs else 0.0
    for camera in settings.rig.rig().values():
        pinhole = camera.calibrated.pinhole
        color = _FISHEYE_COLOR if camera.is_fisheye else _COLOR
        per_pixel = len(outputs) * (color + _LABEL)
        if "bags" in outputs and not camera.is_fisheye:
            per_pixel += _DEPTH
        per_frame += per_pixel * pinhole.width * pinhole.height
    numbers = [number for drive in drives for number in drive]
    grids = sum(number % VOXEL_STRIDE == 0 for number in numbers)
    with_voxels = voxels and "folders" in outputs
    per_grid = _VOXELS * (_VOXEL + moving) if with_voxels else 0
    return len(numbers) * per_frame + grids * per_grid
