# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Draws the voxels at several density thresholds side by side, to choose one by eye."""

from collections.abc import Sequence

import numpy as np
from PIL import Image

from scenedino_ros.cameras.camera import PinholeCamera
from scenedino_ros.core.labels import ClassTable
from scenedino_ros.core.voxels import SemanticVoxels, VoxelGrid
from scenedino_ros.viewing.pictures import (
    BACKGROUND,
    CAPTION,
    LEGEND,
    MARGIN,
    class_legend,
    color_depth,
    draw_heading,
    place_picture,
)
from scenedino_ros.viewing.voxel_view import Viewpoint, chase_view, draw_voxels

_TILE = (440, 330)  # width and height of every picture, pixels


def threshold_panel(
    rgb: np.ndarray,
    depth: np.ndarray,
    voxels: SemanticVoxels,
    thresholds: Sequence[float],
    classes: ClassTable,
    *,
    T_grid_cam: np.ndarray | None = None,
    camera: PinholeCamera | None = None,
    title: str = "",
    weights: str = "",
) -> np.ndarray:
    """Compose input and depth, and for each threshold the voxels from behind and from above.

    Args:
        rgb: (H, W, 3) uint8 input image.
        depth: (h, w) rendered depth, metres.
        voxels: All voxels that reach the lowest threshold.
        thresholds: T densities, 1/m.
        classes: Class table of the voxels.
        T_grid_cam: (4, 4) camera to grid frame; None: the grid lies in the camera's frame.
        camera: Camera of the input image, whose field of view is drawn, or None.
        title: First words of the picture.
        weights: One sentence on the weights. Untrained weights are pointed out in red.

    Returns:
        (H', W', 3) uint8 RGB, a column for each threshold, ascending.
    """
    width, height = _TILE
    size = (
        MARGIN + (1 + len(thresholds)) * (width + MARGIN),
        2 * MARGIN + CAPTION + 2 * (CAPTION + height + MARGIN) + LEGEND,
    )
    canvas = Image.new("RGB", size, BACKGROUND)
    draw_heading(canvas, title, weights)
    columns = [[("Input image", rgb), ("Rendered depth (grey: no surface)", color_depth(depth))]]
    T = np.eye(4) if T_grid_cam is None else T_grid_cam
    for threshold in sorted(thresholds):
        shown = voxels.select(voxels.density >= threshold)
        share = 100 * len(shown) / voxels.grid.size
        pictures = [
            draw_voxels(
                shown,
                classes,
                T_grid_cam=T,
                camera=camera,
                size=(height, width),
                viewpoint=viewpoint,
            )
            for viewpoint in (chase_view(T), _from_above(T, voxels.grid))
        ]
        count = f"density >= {threshold:g} 1/m: {len(shown):,} voxels, {share:.1f} % of the grid"
        columns.append([(count, pictures[0]), ("the same from above", pictures[1])])
    for number, column in enumerate(columns):
        for row, (caption, picture) in enumerate(column):
            x = MARGIN + number * (width + MARGIN)
            y = MARGIN + CAPTION + row * (CAPTION + height + MARGIN)
            place_picture(canvas, picture, caption, (x, y), _TILE)
    seen = sorted(set(np.unique(voxels.label).tolist()) & set(range(len(classes))))
    class_legend(canvas, (MARGIN, size[1] - LEGEND), seen, classes)
    return np.asarray(canvas)


def _from_above(T_grid_cam: np.ndarray, grid: VoxelGrid) -> Viewpoint:
    """Return a viewpoint that sees all that lies in front of the camera, ahead pointing up."""
    reach = max(grid.shape) * grid.voxel_size
    return chase_view(
        T_grid_cam, back=-reach / 2, above=1.4 * reach, aside=0.0, ahead=reach / 2 + 1.0
    )
