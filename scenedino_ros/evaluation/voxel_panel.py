# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""One picture of a frame: input image, predicted voxels and ground truth."""

import numpy as np
from PIL import Image

from scenedino_ros.core.labels import IGNORE
from scenedino_ros.core.voxels import SemanticVoxels
from scenedino_ros.evaluation.ssc import rules as ssc
from scenedino_ros.evaluation.ssc.classes import EVAL16
from scenedino_ros.viewing.pictures import (
    BACKGROUND,
    CAPTION,
    LEGEND,
    MARGIN,
    class_legend,
    draw_heading,
    place_picture,
)
from scenedino_ros.viewing.voxel_view import draw_voxels

_VOXELS = (690, 460)  # width and height of a picture of voxels, pixels
_INPUT = (2 * _VOXELS[0] + MARGIN, 372)


def voxel_panel(
    rgb: np.ndarray,
    prediction: SemanticVoxels,
    target: SemanticVoxels,
    *,
    title: str,
    weights: str,
) -> np.ndarray:
    """Compose the input image above predicted and ground-truth voxels in the benchmark's colours.

    Args:
        rgb: (h, w, 3) uint8 input image.
        prediction: Occupied voxels, classes 1..15, or 255 if there are none: colours show height.
        target: The same of the ground truth.
        title: First line of the picture.
        weights: One sentence on the weights. Untrained weights are pointed out in red.

    Returns:
        (H, W, 3) uint8 RGB.
    """
    width = _INPUT[0] + 2 * MARGIN
    height = 3 * MARGIN + 3 * CAPTION + _INPUT[1] + _VOXELS[1] + LEGEND
    canvas = Image.new("RGB", (width, height), BACKGROUND)
    draw_heading(canvas, title, weights)
    y = MARGIN + CAPTION
    place_picture(canvas, rgb, "Input image", (MARGIN, y), _INPUT)
    y += CAPTION + _INPUT[1]
    shown: set[int] = set()
    for number, (name, voxels) in enumerate(
        (("Prediction", prediction), ("Ground truth", target))
    ):
        shown |= set(np.unique(voxels.label).tolist()) - {IGNORE}
        drawing = draw_voxels(
            voxels, EVAL16, T_grid_cam=ssc.T_VELO_CAM, camera=ssc.CAMERA, size=_VOXELS[::-1]
        )
        x = MARGIN + number * (_VOXELS[0] + MARGIN)
        caption = f"{name} in view, {len(voxels):,} voxels occupied"
        place_picture(canvas, drawing, caption, (x, y), _VOXELS)
    class_legend(canvas, (MARGIN, height - MARGIN - LEGEND + 12), sorted(shown), EVAL16)
    return np.asarray(canvas)


def class_voxels(classes: np.ndarray, shown: np.ndarray) -> SemanticVoxels:
    """Return the voxels with a class 1..15 of a (256, 256, 32) grid, where the bool grid says."""
    occupied = shown & (classes != 0) & (classes != IGNORE)
    return _voxels(occupied, classes[occupied])


def occupied_voxels(occupied: np.ndarray) -> SemanticVoxels:
    """Return the occupied voxels of a (256, 256, 32) bool grid, without classes."""
    return _voxels(occupied, np.full(int(occupied.sum()), IGNORE))


def _voxels(occupied: np.ndarray, label: np.ndarray) -> SemanticVoxels:
    index = np.flatnonzero(occupied)
    ones = np.ones(len(index), np.float32)
    return SemanticVoxels(ssc.GRID, index, label.astype(np.uint8), ones, ones)
