# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""A map and its occupancy grid seen from above, without a window or a GPU.

Pictures have x of the fixed frame to the right and y up, as RViz shows them from above.
"""

from collections.abc import Sequence

import cv2
import numpy as np
from PIL import Image, ImageDraw

from scenedino_ros.core.labels import IGNORE, ClassTable
from scenedino_ros.viewing.drive_map import DriveMap, Extent
from scenedino_ros.viewing.pictures import INK, legend_font

UNKNOWN_COLOR = (168, 171, 178)
FREE_COLOR = (255, 255, 255)
COST_COLORS = ((253, 231, 159), (214, 72, 42))  # of the costs 1 and 99
OCCUPIED_COLOR = (38, 42, 54)
_UNNAMED_COLOR = (225, 225, 225)

_FADED = 0.45  # how much of a colour is left where the map has forgotten it
_TRACK_COLOR = (214, 24, 40)
_HALO_COLOR = (255, 255, 255)
_BOX_COLOR = (60, 70, 90)
_ARROW, _ARROW_PX = 2.4, 18  # length of the robot's arrow, metres, and at least so many pixels
_SCALE_BARS = (1, 2, 5, 10, 20, 50, 100, 200, 500)  # metres
_BITS = 4  # fractional bits of positions in the picture
_STEP = 1.0  # metres of a step upwards that is as bright as a step can be


class _Sheet:
    """A picture of a part of the fixed frame from above.

    Attributes:
        rgb: (height, width, 3) uint8 RGB; grey at first.
    """

    def __init__(self, drive: DriveMap, shown: Extent, size: tuple[int, int]) -> None:
        """Choose the part.

        Args:
            drive: The map.
            shown: What is in the middle of the picture and as large as it can be.
            size: (width, height) of the picture, pixels.
        """
        width, height = size
        lengths = shown.x_high - shown.x_low, shown.y_high - shown.y_low
        self._scale = min(width / lengths[0], height / lengths[1])  # pixels per metre
        self._left = (shown.x_low + shown.x_high - width / self._scale) / 2
        self._top = (shown.y_low + shown.y_high + height / self._scale) / 2
        x = self._left + (np.arange(width) + 0.5) / self._scale
        y = self._top - (np.arange(height) + 0.5) / self._scale
        i = np.floor((x - drive.extent.x_low) / drive.cell).astype(int)
        j = np.floor((y - drive.extent.y_low) / drive.cell).astype(int)
        columns, rows = drive.inside.shape
        self._columns, self._rows = (
            np.flatnonzero((i >= 0) & (i < columns)),
            np.flatnonzero((j >= 0) & (j < rows)),
        )
        self._cells = np.ix_(j[self._rows], i[self._columns])
        self._drive = drive
        self.rgb = np.full((height, width, 3), UNKNOWN_COLOR, dtype=np.uint8)

    def values(self, cells: np.ndarray) -> np.ndarray:
        """Return the values of (X, Y) cells at the pixels that show them, an image."""
        return cells.T[self._cells]

    def fill(self, colors: np.ndarray) -> None:
        """Draw colours at those pixels; faded where the map does not have them any more."""
        faded = _FADED * colors + (1 - _FADED) * np.array(UNKNOWN_COLOR)
        shown = np.where(self.values(self._drive.inside)[..., None], colors, faded)
        self.rgb[np.ix_(self._rows, self._columns)] = shown.clip(0, 255).round()

    def line(self, points: np.ndarray, color: tuple[int, int, int], width: int) -> None:
        """Draw a line through (N, 2) points of the fixed frame."""
        cv2.polylines(self.rgb, [self._pixels(points)], False, color, width, cv2.LINE_AA, _BITS)

    def robot(self, track: Sequence[np.ndarray]) -> None:
        """Draw a line where the robot was and an arrow where it is, of (4, 4) poses in order."""
        if not track:
            return
        places = np.array([pose[:2, 3] for pose in track])
        self.line(places, _HALO_COLOR, 5)
        self.line(places, _TRACK_COLOR, 2)
        ahead = track[-1][:2, 0] / np.linalg.norm(track[-1][:2, 0])
        left = np.array([-ahead[1], ahead[0]])
        arrow = np.array([0.6 * ahead, 0.35 * left - 0.4 * ahead, -0.2 * ahead])
        arrow = np.vstack([arrow, -0.35 * left - 0.4 * ahead])
        corners = self._pixels(places[-1] + max(_ARROW, _ARROW_PX / self._scale) * arrow)
        cv2.polylines(self.rgb, [corners], True, _HALO_COLOR, 4, cv2.LINE_AA, _BITS)
        cv2.fillPoly(self.rgb, [corners], _TRACK_COLOR, cv2.LINE_AA, _BITS)

    def box(self) -> None:
        """Draw the border of the map's box."""
        drive = self._drive
        if not drive.inside.any():
            return
        i, j = (np.flatnonzero(drive.inside.any(axis=1 - axis)) for axis in (0, 1))
        x = drive.extent.x_low + np.array([i[0], i[-1] + 1]) * drive.cell
        y = drive.extent.y_low + np.array([j[0], j[-1] + 1]) * drive.cell
        corners = np.stack([x[[0, 1, 1, 0, 0]], y[[0, 0, 1, 1, 0]]], axis=-1)
        self.line(corners, _BOX_COLOR, 1)

    def legend(self) -> None:
        """Draw a bar of a round length and the directions of the axes."""
        canvas = Image.fromarray(self.rgb)
        draw, font = ImageDraw.Draw(canvas), legend_font()
        longest = canvas.width / 4 / self._scale
        length = max((bar for bar in _SCALE_BARS if bar <= longest), default=_SCALE_BARS[0])
        text, x, y = f"{length} m", 10, canvas.height - 12
        end = x + length * self._scale
        right = max(end, x + draw.textlength(text, font))
        draw.rectangle((4, y - 22, right + 6, y + 7), _HALO_COLOR)
        draw.line((x, y, end, y), INK, 3)
        draw.text((x, y - 19), text, INK, font)
        x = canvas.width - 48
        draw.rectangle((x - 12, y - 46, canvas.width - 5, y + 7), _HALO_COLOR)
        draw.line((x, y, x + 26, y), (200, 40, 40), 2)
        draw.line((x, y, x, y - 26), (40, 140, 40), 2)
        draw.text((x + 30, y), "x", INK, font, anchor="lm")
        draw.text((x, y - 35), "y", INK, font, anchor="mm")
        self.rgb = np.asarray(canvas)

    def _pixels(self, points: np.ndarray) -> np.ndarray:
        """Return (N, 2) int32 positions of points in the picture, in parts of a pixel."""
        uv = (points - (self._left, self._top)) * (self._scale, -self._scale) - 0.5
        return np.asarray(np.round(uv * (1 << _BITS)), dtype=np.int32)


def draw_top_down(
    drive: DriveMap,
    classes: ClassTable,
    track: Sequence[np.ndarray] = (),
    *,
    shown: Extent,
    size: tuple[int, int],
) -> np.ndarray:
    """Draw the topmost voxel of each column in the colour of its class, shaded by its height.

    Columns without a voxel are grey. What has left the map's box is faded.

    Args:
        drive: The map.
        classes: Gives the colours; voxels without a class are nearly white.
        track: (4, 4) poses of the robot in the fixed frame, the newest last, metres.
        shown: What is in the middle of the picture and as large as it can be.
        size: (width, height) of the picture, pixels.

    Returns:
        (height, width, 3) uint8 RGB.
    """
    sheet = _Sheet(drive, shown, size)
    shade = sheet.values(_shade(drive.height))
    colors = voxel_palette(classes)[sheet.values(drive.label)] * shade[..., None]
    colors[np.isnan(sheet.values(drive.height))] = UNKNOWN_COLOR
    return _finished(sheet, colors, track)


def draw_occupancy_grid(
    drive: DriveMap,
    track: Sequence[np.ndarray] = (),
    *,
    shown: Extent,
    size: tuple[int, int],
) -> np.ndarray:
    """Draw the occupancy grid: free is white, occupied dark, costs orange, unknown grey.

    Args and result: as of `draw_top_down`.
    """
    sheet = _Sheet(drive, shown, size)
    colors = grid_palette()[sheet.values(drive.cost).astype(int)]
    return _finished(sheet, colors, track)


def voxel_palette(classes: ClassTable) -> np.ndarray:
    """Return the (256, 3) uint8 colours of a map's voxels, by class id."""
    palette = 0.80 * classes.palette + 0.20 * 200.0  # dark classes would be black in the shade
    palette[IGNORE] = _UNNAMED_COLOR
    return palette.astype(np.uint8)


def grid_palette() -> np.ndarray:
    """Return the (256, 3) uint8 colours of an occupancy grid's values; the last is of -1."""
    palette = np.full((256, 3), UNKNOWN_COLOR, dtype=np.float32)
    palette[0] = FREE_COLOR
    part = np.linspace(0, 1, 99)[:, None]
    palette[1:100] = np.array(COST_COLORS[0]) * (1 - part) + np.array(COST_COLORS[1]) * part
    palette[100] = OCCUPIED_COLOR
    return palette.astype(np.uint8)


def _shade(height: np.ndarray) -> np.ndarray:
    """Return the (X, Y) brightness of columns: high ones and those facing the light are bright."""
    known = height[np.isfinite(height)]
    low, high = np.percentile(known, (2, 98)) if len(known) else (0.0, 1.0)
    raised = np.nan_to_num((height - low) / max(high - low, 1.0)).clip(0, 1)
    step = np.nan_to_num((height - np.roll(height, (1, -1), axis=(0, 1))) / _STEP).clip(-1, 1)
    return np.asarray(0.80 + 0.20 * raised + 0.20 * step, dtype=np.float32)


def _finished(sheet: _Sheet, colors: np.ndarray, track: Sequence[np.ndarray]) -> np.ndarray:
    sheet.fill(colors)
    sheet.box()
    sheet.robot(track)
    sheet.legend()
    return sheet.rgb
