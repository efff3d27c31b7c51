# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Converts Image, CompressedImage and CameraInfo messages to arrays and cameras.

Messages are read by attribute: those of rclpy and those of the rosbags package both work, and no
ROS package is imported.
"""

from typing import Any

import cv2
import numpy as np

from scenedino_ros.cameras.camera import CalibratedCamera, PinholeCamera
from scenedino_ros.cameras.encodings import (
    PlanarLayout,
    bayer_code,
    eight_bit,
    layout_of,
    rgb_from_nv24,
    rgb_from_packed,
    rgb_from_planar,
)
from scenedino_ros.cameras.image_file import decode_image
from scenedino_ros.cameras.image_header import ImageSize, image_size
from scenedino_ros.cameras.plausibility import refuse_impossible
from scenedino_ros.core.errors import InputError
from scenedino_ros.core.limits import check_image_size


def stamp_ns(header: Any) -> int:
    """Return a header's stamp in nanoseconds."""
    return header.stamp.sec * 1_000_000_000 + header.stamp.nanosec


def rgb_from_image(msg: Any) -> np.ndarray:
    """Return the pixels of a sensor_msgs/Image as RGB.

    Padded rows (`step` larger than a row of pixels) and big-endian 16-bit values are supported.
    16-bit values are divided by 257. The bare OpenCV types 8UC1, 8UC3, 8UC4, 16UC1, 16UC3 and
    16UC4 are taken as grey, BGR and BGRA; alpha is dropped.

    Args:
        msg: The message; `data` may be bytes, bytearray, memoryview, array.array or numpy uint8.

    Returns:
        (H, W, 3) uint8 RGB, read-only. Where the encoding allows (8-bit colour and grey) it is a
        view of the message's data without a copy; its strides may be negative.

    Raises:
        InputError: If the encoding is no colour or grey one, the size is zero or beyond
            `check_image_size`, rows are shorter than their pixels, or the data does not hold
            step * height bytes.
    """
    layout = layout_of(msg.encoding)
    height, width, step = int(msg.height), int(msg.width), int(msg.step)
    check_image_size(width, height, "image")
    data = _bytes_of(msg)
    if isinstance(layout, PlanarLayout):
        if layout.yuv is not None and (width % 2 or height % 2):
            raise InputError(f"{msg.encoding} images need an even size, got {width} x {height} px")
        luma_bytes = step * height
        _check_size(msg, data, width, step, luma_bytes + int(luma_bytes * layout.chroma_rows))
        if layout.yuv is None:
            rgb = rgb_from_nv24(data, step, width, height)
        else:
            rgb = rgb_from_planar(data, step, width, height, layout.yuv)
    else:
        pixel_bytes = layout.channels * layout.item_bytes
        _check_size(msg, data, width * pixel_bytes, step, step * height)
        order = ">" if msg.is_bigendian else "<"
        pixels: np.ndarray = np.ndarray(
            (height, width, layout.channels),
            np.uint8 if layout.item_bytes == 1 else np.dtype(f"{order}u2"),
            data,
            strides=(step, pixel_bytes, layout.item_bytes),
        )
        rgb = rgb_from_packed(pixels, layout)
    rgb.flags.writeable = False
    return rgb


def rgb_from_compressed(msg: Any) -> np.ndarray:
    """Return the pixels of a sensor_msgs/CompressedImage (JPEG, PNG, TIFF, ...) as RGB.

    `format` may be just "jpeg" or "png", or what image_transport writes: "<encoding of the raw
    image>; <codec> compressed <encoding given to the codec>". It matters in two cases only: a
    Bayer encoding whose mosaic itself was compressed, and "compressed rgb8", by which old
    publishers state that red and blue are swapped in the file. A rotation in the file's EXIF
    data is ignored, because the calibration is that of the pixels as they were taken.

    Args:
        msg: The message; `data` as in `rgb_from_image`.

    Returns:
        (H, W, 3) uint8 RGB, read-only, with any strides.

    Raises:
        InputError: If the data is empty, cannot be decoded or lacks rows, or holds a depth image.
    """
    pixels = decode_image(_image_file_of(msg), f"compressed image ('{msg.format}')")
    rgb = _rgb_from_decoded(pixels, msg.format)
    rgb.flags.writeable = False
    return rgb


def size_of_compressed(msg: Any) -> ImageSize:
    """Return the size of a sensor_msgs/CompressedImage by its header; nothing is decoded.

    Args:
        msg: The message; `data` as in `rgb_from_image`.

    Raises:
        InputError: If the data is empty or has no known header, the image is larger than
            `check_image_size` allows, or it is a depth image.
    """
    return image_size(_image_file_of(msg).data, f"compressed image ('{msg.format}')")


def camera_from_info(info: Any, *, rectified: bool) -> CalibratedCamera:
    """Return the camera of the images that travel with a sensor_msgs/CameraInfo.

    The message describes the full sensor; the region of interest, then the binning, turn that
    into the camera of the images, as image_geometry does it. A region of all zeros is the full
    sensor and a binning of 0 is 1.

    R is not applied: raw images are seen from the camera's own optical frame, rectified ones
    from the rectified frame, which is what the images' frame_id names. P's fourth column, the
    baseline of a stereo pair, does not move pixels' rays and is not used.

    Args:
        info: The message.
        rectified: Whether the images are rectified: take P and no distortion instead of K and D.

    Returns:
        The camera; its pinhole has the size of the images.

    Raises:
        InputError: If the camera is not calibrated, a value is not finite, the region lies
            outside the sensor, the distortion is unknown (see `distortion`), or the intrinsics
            are impossible (see `refuse_impossible`).

    Source:
        Comments of sensor_msgs/CameraInfo; image_geometry's PinholeCameraModel.
    """
    width, height = int(info.width), int(info.height)
    if width < 1 or height < 1:
        raise InputError(
            "CameraInfo width and height must be the size the camera was calibrated at, got "
            f"{width} x {height} px"
        )
    check_image_size(width, height, "CameraInfo")
    K = _intrinsics(info, rectified=rectified)
    x, y, width, height = _region(info.roi, width, height)
    binning_x, binning_y = max(int(info.binning_x), 1), max(int(info.binning_y), 1)
    if binning_x > width or binning_y > height:
        raise InputError(
            f"CameraInfo binning must leave pixels of {width} x {height}, "
            f"got {binning_x} x {binning_y}"
        )
    skew, K[0, 1] = K[0, 1], 0.0
    model, D = ("", np.zeros(0)) if rectified else (str(info.distortion_model), info.d)
    refuse_impossible(PinholeCamera(K, int(info.width), int(info.height)), model, D)
    K[0, 2] -= x
    K[1, 2] -= y
    K[0] /= binning_x
    K[1] /= binning_y
    pinhole = PinholeCamera(K, width // binning_x, height // binning_y)
    return CalibratedCamera(pinhole, model, D, skew / binning_x)


def _intrinsics(info: Any, *, rectified: bool) -> np.ndarray:
    """Return K, or the left part of P, of the full sensor as a (3, 3) float64 array."""
    name, values, shape = ("P", info.p, (3, 4)) if rectified else ("K", info.k, (3, 3))
    matrix = np.array(values, dtype=np.float64)
    if matrix.size != shape[0] * shape[1] or not np.isfinite(matrix).all():
        raise InputError(
            f"CameraInfo {name} must be {shape[0] * shape[1]} finite numbers, "
            f"got {matrix.reshape(-1).tolist()}"
        )
    matrix = matrix.reshape(shape)[:, :3]
    if matrix[0, 0] == 0.0:
        other = info.k if rectified else info.p
        hint = ""
        if np.array(other, dtype=np.float64).any():
            hint = (
                "; K is set: where images are raw, take it with rectified off"
                if rectified
                else "; P is set: where images are rectified, take it with rectified on"
            )
        raise InputError(
            f"the camera is not calibrated: CameraInfo {name}[0] must be the focal length in "
            f"pixels, got 0{hint}"
        )
    # The message defines the last row as 0 0 1, so a driver that leaves it 0 0 0 means the same.
    if not (matrix[1, 0] == 0 and matrix[2].tolist() in ([0, 0, 1], [0, 0, 0])):
        raise InputError(
            f"CameraInfo {name} must be [fx s cx; 0 fy cy; 0 0 1], got {matrix.tolist()}"
        )
    matrix[2, 2] = 1.0
    return matrix


def _region(roi: Any, width: int, height: int) -> tuple[int, int, int, int]:
    """Return (x, y, width, height) of the region of interest; all zeros mean the full sensor."""
    region = (int(roi.x_offset), int(roi.y_offset), int(roi.width), int(roi.height))
    if not any(region):
        return 0, 0, width, height
    inside = region[0] + region[2] <= width and region[1] + region[3] <= height
    if region[2] < 1 or region[3] < 1 or not inside:
        raise InputError(
            f"CameraInfo region of interest must lie within {width} x {height} px, "
            f"got {region[2]} x {region[3]} at ({region[0]}, {region[1]})"
        )
    return region


def _image_file_of(msg: Any) -> np.ndarray:
    """Return the (N,) uint8 image file in a CompressedImage, N > 0; refuse depth images."""
    if "compressedDepth" in msg.format:
        raise InputError(f"compressed image must be a colour or grey one, got '{msg.format}'")
    data = _bytes_of(msg)
    if data.size == 0:
        raise InputError(f"compressed image ('{msg.format}') is empty, got 0 bytes")
    return data


def _bytes_of(msg: Any) -> np.ndarray:
    """Return a message's data as a read-only (N,) uint8 view."""
    data = msg.data
    if isinstance(data, np.ndarray):
        data = np.ascontiguousarray(data)
    try:
        view = memoryview(data)
    except TypeError as error:
        raise InputError(
            f"image data must be bytes or uint8 values, got {type(data).__name__}"
        ) from error
    if view.itemsize != 1:
        raise InputError(f"image data must be bytes or uint8 values, got format '{view.format}'")
    return np.frombuffer(view.toreadonly(), np.uint8) if view.nbytes else np.empty(0, np.uint8)


def _check_size(msg: Any, data: np.ndarray, row_bytes: int, step: int, expected: int) -> None:
    """Refuse rows shorter than their pixels, and data that is not exactly all the rows."""
    if step < row_bytes:
        raise InputError(
            f"image step must be at least {row_bytes} bytes ({msg.width} px of {msg.encoding}), "
            f"got {step}"
        )
    if data.size != expected:
        raise InputError(
            f"image data must be {expected} bytes ({msg.width} x {msg.height} px of "
            f"{msg.encoding}, step {step}), got {data.size}"
        )


def _rgb_from_decoded(pixels: np.ndarray, text: str) -> np.ndarray:
    """Return (H, W, 3) uint8 RGB of what OpenCV decoded: grey, BGR or BGRA of 8 or 16 bits."""
    encoding, _, codec = text.partition(";")
    target = codec.partition("compressed")[2].strip()
    if pixels.ndim == 2:
        code = bayer_code(encoding.strip())
        if code is not None and not target:
            return eight_bit(cv2.cvtColor(pixels, code))
        return np.broadcast_to(eight_bit(pixels)[:, :, None], (*pixels.shape, 3))
    exchanged = target.startswith("rgb")
    return eight_bit(pixels[:, :, :3] if exchanged else pixels[:, :, 2::-1])
