# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Preprocessing: turns any calibrated image into the network input image and its camera."""

import math
from collections import OrderedDict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import cv2
import numpy as np
import torch

from scenedino_ros.cameras.camera import CalibratedCamera, PinholeCamera
from scenedino_ros.cameras.distortion import EQUIDISTANT, MEI
from scenedino_ros.cameras.fisheye import MeiCamera
from scenedino_ros.core.errors import InputError

# 'auto' stretches up to this ratio between the aspect ratios; the published networks
# stretch KITTI-360's images by 1.12.
_MAX_STRETCH = 1.25
# Beyond this reduction plain bilinear sampling skips source pixels; areas are averaged instead.
_MAX_BILINEAR_REDUCTION = 3.0
# How far apart neighbours of the network input image may be in the image, of their mean distance.
_LARGEST_STEP = 2.0
# Angle from the optical axis. If the middle of an image's edge is farther, the tangent of that
# angle pushes OpenCV's pinhole camera of an equidistant lens aside; near 90 degrees it is none.
_WIDE = np.radians(75.0)
_BAND = 1 << 18  # pixels that are projected at once


@dataclass(frozen=True, eq=False)
class ModelImage:
    """A network input image and its camera.

    Attributes:
        rgb: (H, W, 3) uint8 RGB.
        camera: Its pinhole camera, W x H pixels, in the same optical frame.
        kept: Fraction of the source image's area that it shows, 0 to 1.
    """

    rgb: np.ndarray
    camera: PinholeCamera
    kept: float


@dataclass(frozen=True, eq=False)
class _Plan:
    """How images of one calibration become network input images."""

    box: tuple[int, int, int, int]  # x, y, width, height in the (undistorted) image
    camera: PinholeCamera  # of the network input image
    interpolation: int
    maps: tuple[np.ndarray, np.ndarray] | None  # undistortion of the box, if there is any
    kept: float  # fraction of the image's area that is in the box


class ImagePreprocessor:
    """Undistort, crop and scale images to one size, keeping track of the intrinsics."""

    def __init__(self, image_size: tuple[int, int], fit: str = "auto", n_cameras: int = 1) -> None:
        """Set the target.

        Args:
            image_size: (height, width) of the network input image, pixels.
            fit: ``stretch`` scales each axis on its own; ``crop`` scales both alike and crops
                around the image centre; ``auto`` crops only if stretching would change the aspect
                ratio by more than a quarter.
            n_cameras: Number of cameras that take turns: the undistortion of each is kept.

        Raises:
            InputError: If ``fit`` is none of these.
        """
        if fit not in ("auto", "stretch", "crop"):
            raise InputError(f"fit must be auto, stretch or crop, got '{fit}'")
        self.image_size = image_size
        self.fit = fit
        self._n_cameras = n_cameras
        # By calibration; the one that was used last comes last.
        self._plans: OrderedDict[tuple[object, ...], _Plan] = OrderedDict()

    def __call__(self, rgb: np.ndarray, camera: CalibratedCamera) -> ModelImage:
        """Prepare one image.

        Args:
            rgb: (h, w, 3) uint8 RGB; any strides, so that a BGR buffer may come as a view.
            camera: The camera that took it.

        Returns:
            The network input image and its camera. A raw image is undistorted in the same optical
            frame; the result shows only what the lens saw.

        Raises:
            InputError: If the array is no RGB image of the camera's size.
        """
        if rgb.ndim != 3 or rgb.shape[2] != 3 or rgb.dtype != np.uint8:
            raise InputError(f"image must be (h, w, 3) uint8, got {rgb.shape} {rgb.dtype}")
        plan = self._plan_for(rgb, camera)
        # OpenCV wants channels side by side: keep the buffer's order, swap the small result.
        swapped = rgb.strides[2] < 0
        result = self._apply(plan, rgb[..., ::-1] if swapped else rgb)
        rgb = result[..., ::-1].copy() if swapped else result
        return ModelImage(rgb, plan.camera, plan.kept)

    def nearest(
        self, values: np.ndarray, camera: CalibratedCamera, *, outside: float = 0
    ) -> np.ndarray:
        """Resample a per-pixel map, such as class ids, as `__call__` resamples colours.

        Args:
            values: (h, w) numbers; each result is one of them, never a mixture.
            camera: The camera of the image.
            outside: Value for pixels that the lens did not see.

        Returns:
            (H, W) values of the same type.

        Raises:
            InputError: If the map has not the camera's size.
        """
        plan = self._plan_for(values, camera)
        rows, columns = self.image_size
        x, y, width, height = plan.box
        if plan.maps is not None:
            values = cv2.remap(
                values,
                *plan.maps,
                cv2.INTER_NEAREST,
                borderMode=cv2.BORDER_CONSTANT,
                borderValue=outside,
            )
        else:
            values = values[y : y + height, x : x + width]
        return cv2.resize(values, (columns, rows), interpolation=cv2.INTER_NEAREST_EXACT)

    def locate(self, camera: CalibratedCamera, pixel: tuple[float, float]) -> tuple[int, int]:
        """Return the column and row of the network input image that show a pixel of the image.

        Args:
            camera: The camera of the image.
            pixel: Column and row in the image as the camera took it.

        Raises:
            InputError: If the network input image does not show the pixel.
        """
        width, height = camera.pinhole.width, camera.pinhole.height
        column, row = (np.arange(size, dtype=np.float32) for size in (width, height))
        distances = np.hypot(column[None] - pixel[0], row[:, None] - pixel[1])
        shown = self.nearest(distances.astype(np.float32), camera, outside=np.inf)
        place = np.unravel_index(int(shown.argmin()), shown.shape)
        rows, columns = self.image_size
        if shown[place] > _LARGEST_STEP * max(1.0, width / columns, height / rows):
            raise InputError(
                f"the network input image does not show the pixel {pixel[0]:g}, {pixel[1]:g}: it "
                "is cropped or outside the undistorted view"
            )
        return int(place[1]), int(place[0])

    def _plan_for(self, image: np.ndarray, camera: CalibratedCamera) -> _Plan:
        check_fits((image.shape[1], image.shape[0]), camera)
        key = camera.key()
        if key not in self._plans:
            while len(self._plans) >= self._n_cameras:
                self._plans.popitem(last=False)
            self._plans[key] = self._plan(camera)
        self._plans.move_to_end(key)
        return self._plans[key]

    def _apply(self, plan: _Plan, image: np.ndarray) -> np.ndarray:
        x, y, width, height = plan.box
        if plan.maps is not None:
            image = cv2.remap(image, *plan.maps, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT)
        else:
            image = image[y : y + height, x : x + width]
        rows, columns = self.image_size
        return cv2.resize(image, (columns, rows), interpolation=plan.interpolation)

    def _plan(self, camera: CalibratedCamera) -> _Plan:
        source = undistorted_camera(camera) if camera.is_distorted else camera.pinhole
        box = self._box(source.width, source.height)
        x, y, width, height = box
        rows, columns = self.image_size
        cropped = source.cropped(x, y, width, height)
        reduction = max(width / columns, height / rows)
        interpolation = cv2.INTER_AREA if reduction > _MAX_BILINEAR_REDUCTION else cv2.INTER_LINEAR
        maps = undistortion_maps(camera, cropped) if camera.is_distorted else None
        area = float(width * height) if maps is None else _area_of(maps)
        kept = area / (camera.pinhole.width * camera.pinhole.height)
        return _Plan(box, cropped.resized(columns, rows), interpolation, maps, kept)

    def _box(self, width: int, height: int) -> tuple[int, int, int, int]:
        rows, columns = self.image_size
        stretch = (width / height) / (columns / rows)
        within = 1 / _MAX_STRETCH <= stretch <= _MAX_STRETCH
        if self.fit == "stretch" or (self.fit == "auto" and within):
            return 0, 0, width, height
        box_width = min(width, max(1, round(height * columns / rows)))
        box_height = min(height, max(1, round(width * rows / columns)))
        return (width - box_width) // 2, (height - box_height) // 2, box_width, box_height


def check_fits(size: tuple[int, int], camera: CalibratedCamera) -> None:
    """Refuse an image, by its (width, height), of another size than its calibration.

    Raises:
        InputError: If they differ.
    """
    pinhole = camera.pinhole
    if size != (pinhole.width, pinhole.height):
        raise InputError(
            f"image is {size[0]} x {size[1]} px, but its calibration is for {pinhole.width} x "
            f"{pinhole.height} px (its region of interest, binned)"
        )


def undistorted_camera(camera: CalibratedCamera) -> PinholeCamera:
    """Return a pinhole camera whose whole image the lens saw, of the size of the camera's image.

    Where the camera has a skew, columns that it moves out of the image are left out at both sides.

    Source: OpenCV's optimal new camera matrix with alpha 0 (fisheye: balance 0). A MEI fisheye and
    a wide equidistant lens see too much for one: their pinhole camera looks straight ahead and
    shows what lies on the optical axis as large as the fisheye does.

    Raises:
        InputError: If such a fisheye did not see all that this camera shows.
    """
    pinhole = camera.pinhole
    if camera.distortion_model == MEI:
        fisheye = MeiCamera.from_calibrated(camera)
        fx, fy = fisheye.gamma1 / (1 + fisheye.xi), fisheye.gamma2 / (1 + fisheye.xi)
        view = PinholeCamera.from_focal(
            fx, fy, fisheye.u0, fisheye.v0, fisheye.width, fisheye.height
        )
        return _seen(view, (uv for _, uv in _projected_rows(view, fisheye)))
    if camera.skew:
        # In image row v the lens saw the columns of a camera without skew that are moved by this.
        moved = (
            camera.skew / pinhole.K[1, 1] * (np.array([0, pinhole.height - 1]) - pinhole.K[1, 2])
        )
        left, right = math.ceil(max(0.0, *-moved)), math.ceil(max(0.0, *moved))
        if left + right >= pinhole.width:
            raise InputError(
                f"skew must leave columns of {pinhole.width} px, got one of {camera.skew:g} px"
            )
        pinhole = pinhole.cropped(left, 0, pinhole.width - left - right, pinhole.height)
    size = (pinhole.width, pinhole.height)
    if not camera.distortion_model:
        return pinhole
    if camera.distortion_model == EQUIDISTANT:
        if _widest_angle(camera, pinhole) > _WIDE:
            flat = CalibratedCamera(pinhole, EQUIDISTANT, camera.D)
            uv = cv2.convertMaps(*undistortion_maps(flat, pinhole), cv2.CV_32FC1)
            return _seen(pinhole, [np.stack(uv, axis=-1)])
        K = cv2.fisheye.estimateNewCameraMatrixForUndistortRectify(
            pinhole.K, camera.D, size, np.eye(3), balance=0.0
        )
    else:
        K, _ = cv2.getOptimalNewCameraMatrix(pinhole.K, camera.D, size, 0.0)
    return PinholeCamera(K, *size)


def _widest_angle(camera: CalibratedCamera, pinhole: PinholeCamera) -> float:
    """Return the largest angle from the axis of an equidistant lens to an edge's middle, rad."""
    right, bottom = pinhole.width - 1, pinhole.height - 1
    middles = np.array([[0, bottom / 2], [right, bottom / 2], [right / 2, 0], [right / 2, bottom]])
    bent = (middles - pinhole.K[:2, 2]) / pinhole.K.diagonal()[:2]
    straight = cv2.fisheye.undistortPoints(middles[None], pinhole.K, camera.D)[0]
    # OpenCV's inverse ends at 90 degrees; there the bent angles are wide, too.
    angles = np.arctan(np.linalg.norm(straight, axis=1))
    return float(max(angles.max(), np.linalg.norm(bent, axis=1).max()))


def _seen(view: PinholeCamera, looked_up: Iterable[np.ndarray]) -> PinholeCamera:
    """Return a camera that looks straight ahead, if the lens saw all that it shows.

    Args:
        view: The camera, of the image's size.
        looked_up: (..., 2) positions in the image of all its pixels, in parts.

    Raises:
        InputError: If one is outside.
    """
    size = (view.width, view.height)
    if not all(((uv > -1) & (uv < size)).all() for uv in looked_up):
        fx, fy = view.K.diagonal()[:2]
        raise InputError(
            "a fisheye image must hold a straight view of its own size and central scale, but "
            f"with focal lengths {fx:.0f} and {fy:.0f} px that reaches beyond it"
        )
    return view


def undistortion_maps(
    camera: CalibratedCamera, target: PinholeCamera
) -> tuple[np.ndarray, np.ndarray]:
    """Return the lookup maps from the pixels of a pinhole camera to the distorted image.

    Args:
        camera: The camera that took the image.
        target: The pinhole camera to show it through, in the same optical frame.

    Returns:
        Two arrays for ``cv2.remap``.
    """
    size = (target.width, target.height)
    K, D = camera.pinhole.K, camera.D
    if camera.distortion_model == MEI:
        fisheye = MeiCamera.from_calibrated(camera)
        where = np.empty((target.height, target.width, 2), np.float32)
        for rows, uv in _projected_rows(target, fisheye):
            where[rows] = uv
        return cv2.convertMaps(where[..., 0], where[..., 1], cv2.CV_16SC2)
    kind = cv2.CV_32FC1 if camera.skew else cv2.CV_16SC2
    if camera.distortion_model == EQUIDISTANT:
        maps = cv2.fisheye.initUndistortRectifyMap(K, D, np.eye(3), target.K, size, kind)
    else:
        maps = cv2.initUndistortRectifyMap(
            K, D if D.size else None, np.eye(3), target.K, size, kind
        )
    if not camera.skew:
        return maps
    # OpenCV ignores the skew in K.
    u, v = maps
    u += np.float32(camera.skew / K[1, 1]) * (v - np.float32(K[1, 2]))
    return cv2.convertMaps(u, v, cv2.CV_16SC2)


def _area_of(maps: tuple[np.ndarray, np.ndarray]) -> float:
    """Return the area of an image within the rim of what lookup maps take from it, px^2."""
    rims = [np.concatenate([m[0], m[:, -1], m[-1, ::-1], m[::-1, 0]])[None] for m in maps]
    rim = cv2.convertMaps(*rims, cv2.CV_32FC1)
    return float(cv2.contourArea(np.concatenate(rim).T))


def _projected_rows(
    camera: PinholeCamera, fisheye: MeiCamera
) -> Iterator[tuple[slice, np.ndarray]]:
    """Yield bands of rows of a pinhole camera, with the positions (h, w, 2) in the fisheye image.

    A band at a time, because the projection takes some hundred bytes for each pixel.
    """
    to_rays = np.linalg.inv(camera.K).T  # with z = 1
    count = max(1, _BAND // camera.width)
    for first in range(0, camera.height, count):
        rows = slice(first, min(first + count, camera.height))
        u, v = np.meshgrid(np.arange(camera.width), np.arange(rows.start, rows.stop))
        pixels = np.stack([u, v, np.ones_like(u)], axis=-1)
        yield rows, fisheye.project(pixels @ to_rays)


def image_tensor(rgb: np.ndarray, device: torch.device | str = "cpu") -> torch.Tensor:
    """Return (1, 3, H, W) float32 in [-1, 1] from an (H, W, 3) uint8 image."""
    if torch.device(device).type == "cuda":
        # The copy runs in the background. PyTorch keeps pinned memory, and gives it to another
        # image only after the copy.
        pixels = torch.empty(rgb.shape, dtype=torch.uint8, pin_memory=True)
        # By NumPy: to copy, PyTorch would wake all its threads, which then keep OpenCV's waiting.
        np.copyto(pixels.numpy(), rgb)
        pixels = pixels.to(device, non_blocking=True)
    else:
        pixels = torch.from_numpy(np.ascontiguousarray(rgb)).to(device)
    return pixels.permute(2, 0, 1).unsqueeze(0).float() / 255 * 2 - 1
