# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""A map, its occupancy grid and their growth along a drive as pictures for people."""

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw

from scenedino_ros.cameras.camera import PinholeCamera
from scenedino_ros.core.labels import IGNORE, ClassTable
from scenedino_ros.core.voxels import SemanticVoxels
from scenedino_ros.viewing.drive_map import DriveMap, Extent
from scenedino_ros.viewing.map_view import (
    FREE_COLOR,
    OCCUPIED_COLOR,
    UNKNOWN_COLOR,
    draw_occupancy_grid,
    draw_top_down,
    grid_palette,
    voxel_palette,
)
from scenedino_ros.viewing.pictures import (
    BACKGROUND,
    CAPTION,
    INK,
    LEGEND,
    MARGIN,
    class_legend,
    draw_heading,
    legend_font,
    place_picture,
)
from scenedino_ros.viewing.voxel_view import chase_view, draw_voxels

_TILE_WIDTH = 684  # of each of two pictures side by side, pixels
_GRID_WIDTH = 2 * _TILE_WIDTH + MARGIN
_LEAST_ASPECT = 0.5  # height by width


def map_panel(
    drive: DriveMap,
    voxels: SemanticVoxels,
    classes: ClassTable,
    track: Sequence[np.ndarray],
    *,
    T_map_cam: np.ndarray,
    camera: PinholeCamera | None = None,
    title: str = "",
    weights: str = "",
) -> np.ndarray:
    """Compose the picture of a map: from above at the left, in 3D at the right.

    Args:
        drive: The map from above.
        voxels: The map's voxels at the last moment.
        classes: Class table.
        track: (4, 4) poses of the robot in the fixed frame, the newest last.
        T_map_cam: (4, 4) pose of a camera in the fixed frame at the last moment, metres; the
            picture in 3D is seen from behind and above it.
        camera: That camera, whose field of view is drawn among the voxels, or None.
        title: First line of the picture.
        weights: One sentence on the weights.

    Returns:
        (h, 1404, 3) uint8 RGB.
    """
    shown = drive.known(track)
    size = _size(shown, _TILE_WIDTH, 1.0)
    oblique = draw_voxels(
        voxels,
        voxel_palette(classes)[voxels.label],
        T_grid_cam=T_map_cam,
        camera=camera,
        size=size[::-1],
        viewpoint=chase_view(T_map_cam, back=26.0, above=20.0, aside=4.0, ahead=8.0),
        field_of_view_deg=58.0,
    )
    tiles = (
        (
            "The map from above (grey: no voxel; faded: no longer in the map)",
            draw_top_down(drive, classes, track, shown=shown, size=size),
        ),
        (f"{len(voxels):,} voxels of {voxels.grid.voxel_size:g} m from behind the robot", oblique),
    )
    canvas = _canvas(tiles, size, title, weights)
    _map_legend(canvas, drive, classes)
    return np.asarray(canvas)


def grid_panel(
    drive: DriveMap, track: Sequence[np.ndarray], *, title: str = "", weights: str = ""
) -> np.ndarray:
    """Compose the picture of an occupancy grid with its legend.

    Args:
        drive: The map.
        track: (4, 4) poses of the robot in the fixed frame, the newest last.
        title: First line of the picture.
        weights: One sentence on the weights.

    Returns:
        (h, 1404, 3) uint8 RGB.
    """
    shown = drive.known(track)
    size = _size(shown, _GRID_WIDTH, 0.75)
    picture = draw_occupancy_grid(drive, track, shown=shown, size=size)
    caption = f"Occupancy grid of cells of {drive.cell:g} m (faded: no longer in the map)"
    canvas = _canvas([(caption, picture)], size, title, weights)
    _grid_legend(canvas, MARGIN)
    return np.asarray(canvas)


def growing_panel(
    drive: DriveMap,
    classes: ClassTable,
    track: Sequence[np.ndarray],
    shown: Extent,
    *,
    title: str = "",
    weights: str = "",
) -> np.ndarray:
    """Compose one picture of an animation: map and occupancy grid from above, side by side.

    Args:
        drive: The map at that moment.
        classes: Class table.
        track: (4, 4) poses of the robot up to that moment.
        shown: What is drawn, the same in all pictures.
        title: First line of the picture.
        weights: One sentence on the weights.

    Returns:
        (h, 1404, 3) uint8 RGB.
    """
    size = _size(shown, _TILE_WIDTH, 1.0)
    tiles = (
        ("Map from above", draw_top_down(drive, classes, track, shown=shown, size=size)),
        ("Occupancy grid", draw_occupancy_grid(drive, track, shown=shown, size=size)),
    )
    canvas = _canvas(tiles, size, title, weights)
    _map_legend(canvas, drive, classes)
    _grid_legend(canvas, 2 * MARGIN + _TILE_WIDTH)
    return np.asarray(canvas)


def _size(shown: Extent, width: int, most_aspect: float) -> tuple[int, int]:
    """Return width and height of a picture with what is shown."""
    aspect = (shown.y_high - shown.y_low) / (shown.x_high - shown.x_low)
    return width, round(width * min(max(aspect, _LEAST_ASPECT), most_aspect))


def _canvas(
    tiles: Sequence[tuple[str, np.ndarray]], size: tuple[int, int], title: str, weights: str
) -> Image.Image:
    width = len(tiles) * (size[0] + MARGIN) + MARGIN
    height = size[1] + 3 * MARGIN + 2 * CAPTION + LEGEND
    canvas = Image.new("RGB", (width, height), BACKGROUND)
    draw_heading(canvas, title, weights)
    for number, (caption, picture) in enumerate(tiles):
        corner = (MARGIN + number * (size[0] + MARGIN), MARGIN + CAPTION)
        place_picture(canvas, picture, caption, corner, size)
    return canvas


def _legend_y(canvas: Image.Image) -> int:
    return canvas.height - MARGIN - LEGEND + 8


def _map_legend(canvas: Image.Image, drive: DriveMap, classes: ClassTable) -> None:
    shown = sorted(set(np.unique(drive.label).tolist()) - {IGNORE})
    class_legend(canvas, (MARGIN, _legend_y(canvas)), shown, classes)


def _grid_legend(canvas: Image.Image, left: int) -> None:
    draw, font = ImageDraw.Draw(canvas), legend_font()
    x, y = float(left), _legend_y(canvas)
    colors = (("free", FREE_COLOR), ("occupied", OCCUPIED_COLOR), ("unknown", UNKNOWN_COLOR))
    for name, color in colors:
        draw.rectangle((x, y - 6, x + 12, y + 5), color, outline=(150, 150, 150))
        draw.text((x + 17, y), name, INK, font, anchor="lm")
        x += 18 + draw.textlength(name, font) + 12
    ramp = np.tile(grid_palette()[1:100], (12, 1, 1))
    canvas.paste(Image.fromarray(ramp), (round(x), y - 6))
    draw.text((x + 104, y), "cost 1 to 99", INK, font, anchor="lm")
