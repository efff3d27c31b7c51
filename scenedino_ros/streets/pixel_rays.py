# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""The rays of a camera's pixels: one through the centre for ground truth, others for colour."""

from dataclasses import dataclass

import numpy as np

from scenedino_ros.cameras.camera import PinholeCamera
from scenedino_ros.cameras.fisheye import MeiCamera
from scenedino_ros.core.errors import InputError

Lens = PinholeCamera | MeiCamera

# Where in a pixel its rays for colour go through, by their number; pixels from its centre.
_POSITIONS = {
    1: ((0.0, 0.0),),
    2: ((-0.25, -0.25), (0.25, 0.25)),
    4: ((-0.25, -0.25), (0.25, -0.25), (-0.25, 0.25), (0.25, 0.25)),
}
RAYS_PER_PIXEL = tuple(_POSITIONS)


@dataclass(frozen=True, eq=False)
class PixelRays:
    """The rendered pixels of a camera and their rays in the camera's frame (z forward).

    Attributes:
        height: Rows of the image.
        width: Columns of the image.
        pixels: (N,) int64 flat indices of the pixels that are rendered, ascending.
        centers: (N, 3) float32 unit rays through the pixels' centres.
        samples: (S, N, 3) float32 unit rays whose colours are averaged.
        spread: (N,) float32 width of a pixel as seen from the camera, radians.
        along_axis: Whether depth is measured along the optical axis (pinhole), not along the ray
            (fisheye).
    """

    height: int
    width: int
    pixels: np.ndarray
    centers: np.ndarray
    samples: np.ndarray
    spread: np.ndarray
    along_axis: bool

    def image(self, values: np.ndarray, elsewhere: float) -> np.ndarray:
        """Return (N, ...) values of the pixels as an (H, W, ...) image of the same type."""
        shape = (self.height * self.width, *values.shape[1:])
        image = np.full(shape, elsewhere, dtype=values.dtype)
        image[self.pixels] = values
        return image.reshape(self.height, self.width, *values.shape[1:])


def pixel_rays(lens: Lens, per_pixel: int = 4, shown: np.ndarray | None = None) -> PixelRays:
    """Return the rays of a camera's pixels.

    Args:
        lens: The camera; integer pixel coordinates are pixel centres.
        per_pixel: Rays per pixel for colour: 1, 2 or 4.
        shown: (H, W) bool, True where a pixel is rendered; None: everywhere. A fisheye camera
            shows nothing outside its lens circle either way.

    Raises:
        InputError: If the number of rays is another, or no pixel is rendered.
    """
    if per_pixel not in RAYS_PER_PIXEL:
        raise InputError(f"rays per pixel must be one of {RAYS_PER_PIXEL}, got {per_pixel}")
    columns, rows = np.meshgrid(np.arange(lens.width), np.arange(lens.height))
    uv: np.ndarray = np.stack([columns, rows], axis=-1).reshape(-1, 2).astype(np.float64)
    centers, inside = unit_rays(lens, uv)
    if shown is not None:
        inside &= shown.reshape(-1)
    pixels = np.flatnonzero(inside)
    if not len(pixels):
        raise InputError("a camera must render at least 1 pixel, got none")
    uv, centers = uv[pixels], centers[pixels]
    across = _step(lens, uv, centers, (0.5, 0.0))
    down = _step(lens, uv, centers, (0.0, 0.5))
    samples = np.stack([centers + x * across + y * down for x, y in _POSITIONS[per_pixel]])
    samples /= np.linalg.norm(samples, axis=-1, keepdims=True)
    return PixelRays(
        height=lens.height,
        width=lens.width,
        pixels=pixels,
        centers=centers.astype(np.float32),
        samples=samples.astype(np.float32),
        spread=np.linalg.norm(across, axis=1).astype(np.float32),
        along_axis=isinstance(lens, PinholeCamera),
    )


def unit_rays(lens: Lens, uv: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the (N, 3) unit rays of (N, 2) pixel positions, and (N,) bool where there is one."""
    if isinstance(lens, MeiCamera):
        return lens.rays(uv)
    K = lens.K
    rays = np.ones((len(uv), 3))
    rays[:, :2] = (uv - K[:2, 2]) / (K[0, 0], K[1, 1])
    return rays / np.linalg.norm(rays, axis=1, keepdims=True), np.ones(len(uv), dtype=bool)


def _step(
    lens: Lens, uv: np.ndarray, centers: np.ndarray, shift: tuple[float, float]
) -> np.ndarray:
    """Return how the rays change over a pixel, from half of one; zero at the lens circle's rim."""
    rays, inside = unit_rays(lens, uv + shift)
    return np.where(inside[:, None], 2 * (rays - centers), 0.0)
