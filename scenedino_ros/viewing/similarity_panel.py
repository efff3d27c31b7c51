# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Draws how similar the pixels and voxels of a frame are to one pixel of it."""

import cv2
import numpy as np
from PIL import Image, ImageDraw

from scenedino_ros.cameras.camera import PinholeCamera
from scenedino_ros.core.voxels import SemanticVoxels
from scenedino_ros.viewing.heat_colors import brightness, color_similarity, heat_palette
from scenedino_ros.viewing.pictures import (
    BACKGROUND,
    CAPTION,
    INK,
    LEGEND,
    MARGIN,
    TILE,
    UNKNOWN_COLOR,
    draw_heading,
    legend_font,
    place_picture,
)
from scenedino_ros.viewing.voxel_view import draw_voxels

_VOXEL_TILE = (800, 2 * TILE[1] + CAPTION)
_RING = 0.012  # radius of the mark, of the image's width
_TICKS = (0.5, 0.7, 0.8, 0.9, 0.95, 1.0)


def similarity_panel(
    rgb: np.ndarray,
    pixel: tuple[int, int],
    of_pixels: np.ndarray,
    voxels: SemanticVoxels,
    of_voxels: np.ndarray,
    *,
    T_grid_cam: np.ndarray | None = None,
    camera: PinholeCamera | None = None,
    title: str = "",
    weights: str = "",
) -> np.ndarray:
    """Compose the image with the pixel marked, the similarity of pixels, and that of voxels.

    Args:
        rgb: (H, W, 3) uint8 image.
        pixel: Column and row of the pixel that all is compared with, in that image.
        of_pixels: (h, w) float32 similarity of each rendered pixel; NaN where no surface is.
        voxels: M occupied voxels.
        of_voxels: (M,) float32 their similarity.
        T_grid_cam: (4, 4) camera to grid frame; None: the grid lies in the camera's frame.
        camera: Camera of the image, whose field of view is drawn, or None.
        title: First words of the picture.
        weights: One sentence on the weights. Untrained weights are pointed out in red.

    Returns:
        (484, 1396, 3) uint8 RGB.
    """
    size = (
        TILE[0] + _VOXEL_TILE[0] + 3 * MARGIN,
        3 * MARGIN + 3 * CAPTION + 2 * TILE[1] + LEGEND,
    )
    canvas = Image.new("RGB", size, BACKGROUND)
    draw_heading(canvas, title, weights)
    heat = color_similarity(np.nan_to_num(of_pixels))
    heat[np.isnan(of_pixels)] = UNKNOWN_COLOR
    tiles = (
        ("Input image; the ring marks the pixel that all is compared with", _marked(rgb, pixel)),
        ("Similarity of pixels (grey: no surface)", heat),
    )
    top = MARGIN + CAPTION
    for number, (caption, picture) in enumerate(tiles):
        place_picture(canvas, picture, caption, (MARGIN, top + number * (CAPTION + TILE[1])), TILE)
    drawing = draw_voxels(
        voxels,
        color_similarity(of_voxels),
        T_grid_cam=T_grid_cam,
        camera=camera,
        size=_VOXEL_TILE[::-1],
    )
    caption = f"Similarity of {len(voxels):,} voxels of {voxels.grid.voxel_size:g} m"
    place_picture(canvas, drawing, caption, (2 * MARGIN + TILE[0], top), _VOXEL_TILE)
    _legend(canvas, (MARGIN, size[1] - MARGIN - LEGEND + 8))
    return np.asarray(canvas)


def _marked(rgb: np.ndarray, pixel: tuple[int, int]) -> np.ndarray:
    """Return the image with a ring around a pixel, white within red."""
    marked = np.ascontiguousarray(rgb).copy()
    radius = max(3, round(_RING * rgb.shape[1]))
    thickness = max(1, radius // 4)
    cv2.circle(marked, pixel, radius, (220, 30, 30), thickness, cv2.LINE_AA)
    cv2.circle(marked, pixel, radius - thickness, (255, 255, 255), thickness, cv2.LINE_AA)
    return marked


def _legend(canvas: Image.Image, corner: tuple[int, int]) -> None:
    draw = ImageDraw.Draw(canvas)
    x, y = corner
    width = TILE[0] - 40
    bar = np.broadcast_to(heat_palette()[None], (9, 256, 3))
    canvas.paste(Image.fromarray(cv2.resize(bar, (width, 9))), (x, y - 6))
    for tick in _TICKS:
        first = tick == _TICKS[0]
        text, anchor = (f"{tick:g} and less", "la") if first else (f"{tick:g}", "ma")
        place = x + float(brightness(np.array(tick))) * width
        draw.text((place, y + 5), text, INK, legend_font(), anchor=anchor)
