# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Depth, classes and voxels of one frame as pictures for people."""

import io
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from scenedino_ros.cameras.camera import PinholeCamera
from scenedino_ros.cameras.image_file import encode_png
from scenedino_ros.core.errors import InputError
from scenedino_ros.core.files import write_atomically
from scenedino_ros.core.labels import IGNORE, ClassTable
from scenedino_ros.core.voxels import SemanticVoxels
from scenedino_ros.viewing.voxel_view import draw_voxels

DEPTH_LIMITS = (2.0, 80.0)  # metres; the colours are spread over the logarithm
DEPTH_TICKS = (2, 5, 10, 20, 40, 80)
UNKNOWN_COLOR = (120, 120, 120)

TILE = (560, 176)  # width and height of the small pictures, pixels
VOXEL_TILE = (800, 572)
MARGIN = 12
CAPTION = 22
LEGEND = 30
BACKGROUND = (250, 250, 252)
INK = (30, 34, 42)
_LEAST_WIDTH = 64  # of an animation, pixels
_FAINT = (110, 116, 128)
_WARNING = (190, 30, 30)


class RenderedImages(Protocol):
    """What was rendered into a camera; any part may be missing (None)."""

    @property
    def depth(self) -> np.ndarray | None:
        """(h, w) depth, metres."""

    @property
    def label(self) -> np.ndarray | None:
        """(h, w) class ids."""

    @property
    def camera(self) -> PinholeCamera | None:
        """Camera of the images."""


def depth_palette() -> np.ndarray:
    """Return the (256, 3) uint8 RGB colours of the depth scale, near (warm) to far (cold)."""
    ramp = np.arange(255, -1, -1, dtype=np.uint8)[:, None]
    return np.ascontiguousarray(cv2.applyColorMap(ramp, cv2.COLORMAP_TURBO)[:, 0, ::-1])


def color_depth(depth: np.ndarray) -> np.ndarray:
    """Return the depth image in colours.

    Args:
        depth: (h, w) metres along the optical axis. Values that are not finite or not positive
            are unknown and become grey.

    Returns:
        (h, w, 3) uint8 RGB, from 2 m (red) over the logarithm to 80 m (blue).
    """
    depth = np.asarray(depth, dtype=np.float32)
    if depth.ndim != 2:
        raise InputError(f"depth must be (h, w), got shape {depth.shape}")
    known = np.isfinite(depth) & (depth > 0)
    near, far = np.log(DEPTH_LIMITS)
    scaled = (np.log(np.where(known, depth, 1.0)) - near) / (far - near)
    colors = depth_palette()[(np.clip(scaled, 0, 1) * 255).round().astype(np.uint8)]
    colors[~known] = UNKNOWN_COLOR
    return colors


def color_labels(label: np.ndarray, classes: ClassTable) -> np.ndarray:
    """Return the (h, w) class ids as (h, w, 3) uint8 RGB; 255 (no class) becomes grey."""
    label = np.asarray(label)
    if label.ndim != 2 or label.dtype != np.uint8:
        raise InputError(f"label must be (h, w) uint8, got shape {label.shape} {label.dtype}")
    palette = classes.palette
    palette[IGNORE] = UNKNOWN_COLOR
    return palette[label]


def panel(
    rgb: np.ndarray,
    view: RenderedImages | None,
    voxels: SemanticVoxels,
    classes: ClassTable,
    *,
    T_grid_cam: np.ndarray | None = None,
    camera: PinholeCamera | None = None,
    title: str = "",
    weights: str = "",
) -> np.ndarray:
    """Compose one picture: input, rendered depth and classes at the left, voxels at the right.

    Args:
        rgb: (H, W, 3) uint8 input image.
        view: What was rendered into the camera, or None.
        voxels: The occupied voxels.
        classes: Class table of voxels and labels.
        T_grid_cam: (4, 4) camera to grid frame; None: the grid lies in the camera's frame.
        camera: Camera of the input image, or None. Its field of view is drawn among the voxels,
            and where the view shows only a part of the image, that part is outlined.
        title: First line of the picture.
        weights: One sentence on the weights. Untrained weights are pointed out in red.

    Returns:
        (682, 1396, 3) uint8 RGB.
    """
    depth = None if view is None else view.depth
    label = None if view is None else view.label
    outlined, part = _with_outline(rgb, camera, None if view is None else view.camera)
    shown = "" if part is None else f"; the network sees the outlined {100 * part:.0f} %"
    tiles = [
        (f"Input image{shown}", outlined),
        ("Rendered depth (grey: no surface)", None if depth is None else color_depth(depth)),
        ("Rendered classes", None if label is None else color_labels(label, classes)),
    ]
    width = TILE[0] + VOXEL_TILE[0] + 3 * MARGIN
    height = 2 * MARGIN + CAPTION + len(tiles) * (CAPTION + TILE[1]) + MARGIN + LEGEND
    canvas = Image.new("RGB", (width, height), BACKGROUND)
    draw_heading(canvas, title, weights)
    top = MARGIN + CAPTION
    for number, (caption, picture) in enumerate(tiles):
        y = top + number * (CAPTION + TILE[1])
        place_picture(canvas, picture, caption, (MARGIN, y), TILE)
    drawing = draw_voxels(
        voxels, classes, T_grid_cam=T_grid_cam, camera=camera, size=VOXEL_TILE[::-1]
    )
    step = voxels.grid.voxel_size
    caption = f"{len(voxels):,} voxels of {step:g} m"
    place_picture(canvas, drawing, caption, (2 * MARGIN + TILE[0], top), VOXEL_TILE)
    y = height - MARGIN - LEGEND + 8
    _depth_legend(canvas, (MARGIN, y))
    class_legend(canvas, (2 * MARGIN + TILE[0], y), _shown_classes(voxels, label), classes)
    return np.asarray(canvas)


def draw_heading(canvas: Image.Image, title: str, weights: str) -> None:
    """Draw the first line of a picture.

    Args:
        canvas: The picture.
        title: Text on the left.
        weights: One sentence on the weights, on the right; untrained ones in red.
    """
    draw = ImageDraw.Draw(canvas)
    draw.text((MARGIN, MARGIN - 2), title, INK, _font(17))
    color = _WARNING if "untrained" in weights.lower() else _FAINT
    draw.text((canvas.width - MARGIN, MARGIN), weights, color, _font(14), anchor="ra")


def _with_outline(
    rgb: np.ndarray, camera: PinholeCamera | None, view: PinholeCamera | None
) -> tuple[np.ndarray, float | None]:
    """Return the image with the part outlined that another camera at its place sees.

    The second value is that part's share of the area, None where it is all of it.
    """
    if camera is None or view is None:
        return rgb, None
    corners = np.array([[-0.5, -0.5, 1.0], [view.width - 0.5, view.height - 0.5, 1.0]])
    box = camera.project(corners @ np.linalg.inv(view.K).T)
    size = np.array([camera.width, camera.height])
    if (np.abs(box - [[0, 0], size]) < 0.02 * size).all():
        return rgb, None
    share = float(np.prod(np.clip(box[1], 0, size) - np.clip(box[0], 0, size)) / np.prod(size))
    (left, top), (right, bottom) = np.clip(box, 0, size - 1).round().astype(int).tolist()
    thickness = max(1, camera.width // 200)
    outlined = np.ascontiguousarray(rgb).copy()
    cv2.rectangle(outlined, (left, top), (right, bottom), (255, 220, 0), thickness)
    return outlined, share


def place_picture(
    canvas: Image.Image,
    picture: np.ndarray | None,
    caption: str,
    corner: tuple[int, int],
    size: tuple[int, int],
) -> None:
    """Draw a picture into a canvas, its caption above it; it fills the size as far as it can.

    Args:
        canvas: Where to draw.
        picture: (h, w, 3) uint8 RGB, or None: an empty frame.
        caption: A few words.
        corner: x and y of the caption's corner, pixels.
        size: Width and height for the picture, below the caption.
    """
    draw = ImageDraw.Draw(canvas)
    x, y = corner
    draw.text((x, y + 3), caption, INK, _font(13))
    box = (x, y + CAPTION, x + size[0], y + CAPTION + size[1])
    draw.rectangle((box[0], box[1], box[2] - 1, box[3] - 1), (228, 230, 235))
    if picture is None:
        draw.text((x + size[0] / 2, y + CAPTION + size[1] / 2), "none", _FAINT, _font(13), "mm")
        return
    height, width = picture.shape[:2]
    scale = min(size[0] / width, size[1] / height)
    fitted = (max(1, round(width * scale)), max(1, round(height * scale)))
    method = cv2.INTER_AREA if scale < 1 else cv2.INTER_NEAREST
    resized = Image.fromarray(cv2.resize(picture, fitted, interpolation=method))
    canvas.paste(resized, (x + (size[0] - fitted[0]) // 2, box[1] + (size[1] - fitted[1]) // 2))


def _depth_legend(canvas: Image.Image, corner: tuple[int, int]) -> None:
    draw = ImageDraw.Draw(canvas)
    x, y = corner
    width = TILE[0] - 40
    bar = np.broadcast_to(depth_palette()[None], (9, 256, 3))
    canvas.paste(Image.fromarray(cv2.resize(bar, (width, 9))), (x, y - 6))
    near, far = np.log(DEPTH_LIMITS)
    for tick in DEPTH_TICKS:
        position = x + (np.log(tick) - near) / (far - near) * width
        anchor = "la" if tick == DEPTH_TICKS[0] else "ma"
        draw.text((position, y + 5), f"{tick} m", _FAINT, _font(12), anchor=anchor)


def _shown_classes(voxels: SemanticVoxels, label: np.ndarray | None) -> list[int]:
    shown = set(np.unique(voxels.label).tolist())
    if label is not None:
        shown |= set(np.unique(label).tolist())
    return sorted(shown - {IGNORE})


def class_legend(
    canvas: Image.Image, corner: tuple[int, int], shown: Sequence[int], classes: ClassTable
) -> None:
    """Draw names and colours of classes into a canvas from a corner on, in at most two lines."""
    draw = ImageDraw.Draw(canvas)
    x, y = float(corner[0]), corner[1]
    end = canvas.width - MARGIN
    for class_id in shown:
        name, color = classes.names[class_id], classes.colors[class_id]
        width = 18 + draw.textlength(name, _font(12)) + 12
        if x + width > end:  # second line
            x, y = corner[0], y + 17
        draw.rectangle((x, y - 6, x + 12, y + 5), color)
        draw.text((x + 17, y), name, INK, _font(12), anchor="lm")
        x += width


def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)


def legend_font() -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """Return the font of the numbers at a legend."""
    return _font(12)


def write_png(path: Path, rgb: np.ndarray) -> None:
    """Write an (H, W, 3) uint8 RGB picture as PNG, complete or not at all."""
    write_atomically(path, encode_png(rgb[..., ::-1]))


def write_animation(
    path: Path,
    frames: Sequence[np.ndarray],
    *,
    rate_hz: float,
    width: int = 1120,
    most_bytes: float = math.inf,
) -> None:
    """Write pictures as an animation that browsers play, WebP, complete or not at all.

    Args:
        path: File to write.
        frames: At least one (H, W, 3) uint8 RGB picture, all of one size.
        rate_hz: Pictures per second.
        width: Width of the animation, pixels; pictures are scaled down to it.
        most_bytes: Size of the file to stay below; the animation becomes narrower until it does.

    Raises:
        InputError: If there is no picture.
    """
    if not frames:
        raise InputError("an animation needs at least one picture, got none")
    content = _animation(frames, rate_hz, width)
    while len(content) > most_bytes and width > _LEAST_WIDTH:
        width = max(_LEAST_WIDTH, int(0.9 * width * math.sqrt(most_bytes / len(content))))
        content = _animation(frames, rate_hz, width)
    write_atomically(path, content)


def _animation(frames: Sequence[np.ndarray], rate_hz: float, width: int) -> bytes:
    height = round(frames[0].shape[0] * width / frames[0].shape[1])
    images = [
        Image.fromarray(cv2.resize(frame, (width, height), interpolation=cv2.INTER_AREA))
        for frame in frames
    ]
    content = io.BytesIO()
    images[0].save(
        content,
        format="WEBP",
        save_all=True,
        append_images=images[1:],
        duration=max(1, round(1000 / rate_hz)),
        loop=0,
        quality=70,
        method=2,
    )
    return content.getvalue()
