# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Pixel encodings of sensor_msgs/Image, and how each becomes 8-bit RGB.

Names and layouts: sensor_msgs/image_encodings.hpp, which refers to the Linux V4L2 pixel formats.
Conversions of Bayer mosaics and YUV are OpenCV's (YUV: BT.601, 16..235), as in cv_bridge.
"""

from dataclasses import dataclass

import cv2
import numpy as np

from scenedino_ros.core.errors import InputError


@dataclass(frozen=True)
class PackedLayout:
    """Pixels whose channels lie side by side.

    Attributes:
        channels: Values per pixel.
        item_bytes: Bytes per value, 1 or 2.
        rgb: Which of the channels are red, green, blue, as a slice; None for a single channel.
        bayer: OpenCV's code that makes RGB of a mosaic; None where there is no mosaic.
        yuv: OpenCV's code that makes RGB of YUV 4:2:2; None for other colours.
    """

    channels: int
    item_bytes: int
    rgb: slice | None = None
    bayer: int | None = None
    yuv: int | None = None


@dataclass(frozen=True)
class PlanarLayout:
    """A plane of luma rows followed by a plane of interleaved chroma rows, 8 bit each.

    Attributes:
        chroma_rows: Chroma bytes per luma row of `step` bytes: 1/2 for 4:2:0, 2 for 4:4:4.
        yuv: OpenCV's code that makes RGB of it; None: 4:4:4, converted here.
    """

    chroma_rows: float
    yuv: int | None


_FORWARD, _BACKWARD = slice(0, 3), slice(2, None, -1)

# OpenCV names a mosaic by the second row's second and third pixel, ROS by the first row's first.
_BAYER = {
    "rggb": cv2.COLOR_BayerBG2RGB,
    "bggr": cv2.COLOR_BayerRG2RGB,
    "gbrg": cv2.COLOR_BayerGR2RGB,
    "grbg": cv2.COLOR_BayerGB2RGB,
}

LAYOUTS: dict[str, PackedLayout | PlanarLayout] = {
    "rgb8": PackedLayout(3, 1, _FORWARD),
    "bgr8": PackedLayout(3, 1, _BACKWARD),
    "rgba8": PackedLayout(4, 1, _FORWARD),
    "bgra8": PackedLayout(4, 1, _BACKWARD),
    "mono8": PackedLayout(1, 1),
    "rgb16": PackedLayout(3, 2, _FORWARD),
    "bgr16": PackedLayout(3, 2, _BACKWARD),
    "rgba16": PackedLayout(4, 2, _FORWARD),
    "bgra16": PackedLayout(4, 2, _BACKWARD),
    "mono16": PackedLayout(1, 2),
    # Bare OpenCV types say nothing about colour. Who publishes them from OpenCV means BGR.
    "8UC1": PackedLayout(1, 1),
    "8UC3": PackedLayout(3, 1, _BACKWARD),
    "8UC4": PackedLayout(4, 1, _BACKWARD),
    "16UC1": PackedLayout(1, 2),
    "16UC3": PackedLayout(3, 2, _BACKWARD),
    "16UC4": PackedLayout(4, 2, _BACKWARD),
    **{f"bayer_{name}8": PackedLayout(1, 1, bayer=code) for name, code in _BAYER.items()},
    **{f"bayer_{name}16": PackedLayout(1, 2, bayer=code) for name, code in _BAYER.items()},
    "uyvy": PackedLayout(2, 1, yuv=cv2.COLOR_YUV2RGB_UYVY),
    "yuv422": PackedLayout(2, 1, yuv=cv2.COLOR_YUV2RGB_UYVY),
    "yuyv": PackedLayout(2, 1, yuv=cv2.COLOR_YUV2RGB_YUY2),
    "yuv422_yuy2": PackedLayout(2, 1, yuv=cv2.COLOR_YUV2RGB_YUY2),
    "nv12": PlanarLayout(0.5, cv2.COLOR_YUV2RGB_NV12),
    "nv21": PlanarLayout(0.5, cv2.COLOR_YUV2RGB_NV21),
    "nv24": PlanarLayout(2.0, None),
}


def layout_of(encoding: str) -> PackedLayout | PlanarLayout:
    """Return the layout of an encoding.

    Raises:
        InputError: If it is not a colour or grey encoding.
    """
    layout = LAYOUTS.get(encoding)
    if layout is None:
        what = "a depth or matrix type" if encoding[:3] in ("32F", "64F") else "unknown"
        raise InputError(
            f"image encoding must be one of {', '.join(LAYOUTS)}, got '{encoding}' ({what})"
        )
    return layout


def bayer_code(encoding: str) -> int | None:
    """Return OpenCV's code that makes RGB of a Bayer encoding; None for any other."""
    layout = LAYOUTS.get(encoding)
    return layout.bayer if isinstance(layout, PackedLayout) else None


def eight_bit(values: np.ndarray) -> np.ndarray:
    """Scale 16-bit values to 8 bit: value / 257 to the nearest, so that 65535 becomes 255.

    The full range of 16 bits is taken as white, as cv_bridge does; a sensor that fills only
    12 of the 16 bits gives a dark image. 8-bit values are returned unchanged.

    Args:
        values: (H, ...) uint8 or uint16 array of either byte order.

    Returns:
        uint8 array of the same shape.
    """
    if values.dtype == np.uint8:
        return values
    rows = np.ascontiguousarray(values, np.uint16).reshape(len(values), -1)  # native byte order
    return cv2.convertScaleAbs(rows, alpha=255 / 65535).reshape(values.shape)


def rgb_from_packed(pixels: np.ndarray, layout: PackedLayout) -> np.ndarray:
    """Convert pixels whose channels lie side by side to RGB.

    Args:
        pixels: (H, W, C) uint8 or uint16 of either byte order, C as the layout says.
        layout: What the channels mean.

    Returns:
        (H, W, 3) uint8 RGB; a view of `pixels` where they are 8-bit colour or grey.

    Raises:
        InputError: If YUV 4:2:2 has an odd width.
    """
    height, width = pixels.shape[:2]
    if layout.bayer is not None:
        native = pixels.dtype.newbyteorder("=")
        mosaic = pixels[:, :, 0].astype(native, copy=False)
        return eight_bit(cv2.cvtColor(mosaic, layout.bayer))
    if layout.yuv is not None:
        if width % 2:
            raise InputError(f"YUV 4:2:2 images need an even width, got {width} px")
        return cv2.cvtColor(pixels, layout.yuv)
    if layout.rgb is None:
        return np.broadcast_to(eight_bit(pixels), (height, width, 3))
    return eight_bit(pixels)[:, :, layout.rgb]


def rgb_from_planar(data: np.ndarray, step: int, width: int, height: int, yuv: int) -> np.ndarray:
    """Convert a luma plane and a half-size plane of chroma pairs (4:2:0) to RGB.

    Args:
        data: (step * height * 3 / 2,) uint8.
        step: Bytes per row of either plane.
        width: Columns, even.
        height: Rows, even.
        yuv: OpenCV's conversion code.

    Returns:
        (H, W, 3) uint8 RGB.
    """
    planes = data.reshape(height * 3 // 2, step)[:, :width]
    return cv2.cvtColor(planes, yuv)


def rgb_from_nv24(data: np.ndarray, step: int, width: int, height: int) -> np.ndarray:
    """Convert a luma plane and a full-size plane of (U, V) pairs (4:4:4) to RGB.

    Args:
        data: (step * height * 3,) uint8; a chroma row has 2 * step bytes.
        step: Bytes per luma row.
        width: Columns.
        height: Rows.

    Returns:
        (H, W, 3) uint8 RGB.
    """
    luma = data[: step * height].reshape(height, step)[:, :width]
    chroma = data[step * height :].reshape(height, 2 * step)[:, : 2 * width]
    # OpenCV has no 4:4:4 code with this range: every pixel becomes a pair of 4:2:2 pixels that
    # share its chroma, and one of each pair is kept.
    pairs = np.empty((height, width, 4), np.uint8)  # U Y V Y
    pairs[:, :, 0::2] = chroma.reshape(height, width, 2)
    pairs[:, :, 1::2] = luma[:, :, None]
    doubled = cv2.cvtColor(pairs.reshape(height, 2 * width, 2), cv2.COLOR_YUV2RGB_UYVY)
    return doubled[:, ::2]
