# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Pictures in rows and columns with captions, for the panels of a report."""

from collections.abc import Callable, Sequence
from pathlib import Path

import cv2
import matplotlib
import numpy as np
from PIL import Image, ImageDraw, ImageFont
from scipy.ndimage import distance_transform_edt

from scenedino_ros.core.errors import InputError
from scenedino_ros.evaluation.result import Figure
from scenedino_ros.viewing.pictures import BACKGROUND, CAPTION, INK, MARGIN, write_png

Tile = tuple[str, np.ndarray]


def tile_rows(title: str, rows: Sequence[Sequence[Tile]], width: int = 480) -> np.ndarray:
    """Compose captioned pictures.

    Args:
        title: First line.
        rows: Captions and (h, w, 3) uint8 RGB pictures; the rows may differ in length.
        width: Width of every picture, pixels; heights follow from the first one.

    Returns:
        (H, W, 3) uint8 RGB.
    """
    first = rows[0][0][1]
    height = round(first.shape[0] * width / first.shape[1])
    columns = max(map(len, rows))
    size = (
        MARGIN + columns * (width + MARGIN),
        2 * MARGIN + CAPTION + len(rows) * (CAPTION + height + MARGIN),
    )
    canvas = Image.new("RGB", size, BACKGROUND)
    draw = ImageDraw.Draw(canvas)
    draw.text((MARGIN, MARGIN - 2), title, INK, ImageFont.load_default(17))
    for row, tiles in enumerate(rows):
        for column, (caption, picture) in enumerate(tiles):
            x = MARGIN + column * (width + MARGIN)
            y = 2 * MARGIN + CAPTION + row * (CAPTION + height + MARGIN) - MARGIN // 2
            draw.text((x, y + 3), caption, INK, ImageFont.load_default(13))
            fitted = cv2.resize(picture, (width, height), interpolation=cv2.INTER_NEAREST)
            canvas.paste(Image.fromarray(fitted), (x, y + CAPTION))
    return np.asarray(canvas)


def color_scale(values: np.ndarray, limits: tuple[float, float], name: str) -> np.ndarray:
    """Return (h, w) values as (h, w, 3) uint8 colours of a matplotlib map; grey where NaN."""
    low, high = limits
    colors = matplotlib.colormaps[name](np.clip((values - low) / (high - low), 0, 1))
    colors = (colors[..., :3] * 255).round().astype(np.uint8)
    colors[~np.isfinite(values)] = 120
    return colors


def nearest_values(values: np.ndarray) -> np.ndarray:
    """Return values in which pixels beside known ones have theirs, so that the eye sees them."""
    distance, (rows, columns) = distance_transform_edt(~np.isfinite(values), return_indices=True)
    return np.where(distance <= 1.5, values[rows, columns], np.nan)


def spread(items: Sequence[str], count: int) -> list[str]:
    """Return at most `count` items, evenly spread from the first to the last."""
    places = np.linspace(0, len(items) - 1, min(count, len(items))).round().astype(int)
    return [items[place] for place in dict.fromkeys(places.tolist())]


def write_panels(
    folder: Path,
    items: Sequence[str],
    count: int,
    unit: str,
    begin: Callable[[], Callable[[str], np.ndarray]],
) -> list[Figure]:
    """Write pictures of some items, evenly spread.

    Args:
        folder: Where to.
        items: The items that are done.
        count: Most pictures.
        unit: What an item is called, for the captions.
        begin: Returns what draws an item as (H, W, 3) uint8 RGB; not called if there is nothing
            to draw.
    """
    chosen = spread(items, count)
    if not chosen:
        return []
    draw, figures = begin(), list[Figure]()
    for item in chosen:
        try:
            picture = draw(item)
        except InputError:
            continue  # a file went missing after the item was counted
        stem = file = f"panel_{item.replace('/', '_')}"
        others = [figure.file for figure in figures]
        while f"{file}.png" in others:  # of an item that differs by "/" and "_" alone
            file = f"{stem}_{len(others)}"
        file = f"{file}.png"
        write_png(folder / file, picture)
        figures.append(Figure(file, f"{unit.capitalize()} {item}"))
    return figures
