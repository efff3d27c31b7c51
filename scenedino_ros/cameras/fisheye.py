# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Fisheye cameras of the MEI model, and pinhole images resampled from theirs.

A point is first projected onto a unit sphere, then, from `xi` behind the sphere's centre, onto a
plane, whose coordinates the lens distorts. Source: Mei and Rives, Single view point
omnidirectional camera calibration from planar grids, 2007. As a distortion model its name is
``mei``, with D = [k1, k2, p1, p2, xi].

Two conventions meet here. `MeiCamera.project` and `MeiCamera.rays` are the exact geometry: the
full model, with integer pixel coordinates at pixel centres. `virtual_grid` is the resampling by
which the published networks were trained on KITTI-360; it ignores tangential distortion and takes
the centres of the outermost pixels as the image's edges.
"""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from scenedino_ros.cameras.camera import CalibratedCamera, PinholeCamera
from scenedino_ros.cameras.distortion import MEI
from scenedino_ros.core.errors import InputError
from scenedino_ros.core.file_limits import YAML_BYTES
from scenedino_ros.core.reading import parse_yaml, read_text, reading

# About the y and the x axis: the published networks' side cameras look down by 15 degrees.
PUBLISHED_ROTATION_DEG = (0.0, -15.0)
# Angle from the optical axis at which the black ring around KITTI-360's fisheye images begins.
LENS_ANGLE_DEG = 95.0

_NEWTON_STEPS = 12  # four reach 1e-9 px inside the lens circle
_SECTIONS = {
    "mirror_parameters": ("xi",),
    "distortion_parameters": ("k1", "k2", "p1", "p2"),
    "projection_parameters": ("gamma1", "gamma2", "u0", "v0"),
}


@dataclass(frozen=True)
class MeiCamera:
    """A fisheye camera.

    Attributes:
        xi: Distance of the second projection's centre behind that of the unit sphere.
        k1: Radial distortion, factor of the squared radius.
        k2: Radial distortion, factor of the fourth power of the radius.
        p1: Tangential distortion.
        p2: Tangential distortion.
        gamma1: Horizontal focal length, pixels of distance on the plane.
        gamma2: Vertical focal length.
        u0: Column of the optical axis, pixels; integer coordinates at pixel centres.
        v0: Its row.
        width: Columns of the image.
        height: Rows of the image.
    """

    xi: float
    k1: float
    k2: float
    p1: float
    p2: float
    gamma1: float
    gamma2: float
    u0: float
    v0: float
    width: int
    height: int

    def __post_init__(self) -> None:
        """Refuse a negative mirror offset and values that `CalibratedCamera` refuses.

        Raises:
            InputError: If xi is negative, a focal length or the size is not positive, or a value
                is not finite.
        """
        if self.xi < 0:
            raise InputError(f"xi of a MEI camera must be >= 0, got {self.xi:g}")
        _ = self.calibrated

    @classmethod
    def from_yaml(cls, path: Path) -> "MeiCamera":
        """Read a calibration file of KITTI-360, such as ``image_02.yaml``.

        Raises:
            InputError: If the file cannot be read, or lacks a number of the model.
        """
        with reading(f"fisheye calibration {path}"):
            text = read_text(path, YAML_BYTES)
            # OpenCV writes a first line that is no YAML directive.
            content = parse_yaml(text.removeprefix("%YAML:1.0"))
        try:
            values = {key: content[part][key] for part, keys in _SECTIONS.items() for key in keys}
            values["width"], values["height"] = content["image_width"], content["image_height"]
            numbers = {key: float(value) for key, value in values.items()}
            width, height = int(numbers.pop("width")), int(numbers.pop("height"))
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            parts = ", ".join([*_SECTIONS, "image_width and image_height"])
            raise InputError(
                f"fisheye calibration {path} must hold the numbers of {parts}; "
                f"{type(error).__name__}: {error}"
            ) from error
        return cls(**numbers, width=width, height=height)

    @classmethod
    def from_calibrated(cls, camera: CalibratedCamera) -> "MeiCamera":
        """Return the camera that a calibration of distortion model ``mei`` describes.

        Raises:
            InputError: If the calibration is of another model.
        """
        if camera.distortion_model != MEI:
            raise InputError(f"distortion model must be '{MEI}', got '{camera.distortion_model}'")
        k1, k2, p1, p2, xi = camera.D.tolist()
        (gamma1, _, u0), (_, gamma2, v0), _ = camera.pinhole.K.tolist()
        size = (camera.pinhole.width, camera.pinhole.height)
        return cls(xi, k1, k2, p1, p2, gamma1, gamma2, u0, v0, *size)

    @property
    def calibrated(self) -> CalibratedCamera:
        """This camera in the form of a CameraInfo: K of the projection, D = [k1 k2 p1 p2 xi]."""
        pinhole = PinholeCamera.from_focal(
            self.gamma1, self.gamma2, self.u0, self.v0, self.width, self.height
        )
        D = np.array([self.k1, self.k2, self.p1, self.p2, self.xi])
        return CalibratedCamera(pinhole, MEI, D)

    def scaled(self, width: int, height: int) -> "MeiCamera":
        """Return the camera of this image scaled to another size (aspect may change)."""
        x, y = width / self.width, height / self.height
        return replace(
            self,
            gamma1=self.gamma1 * x,
            gamma2=self.gamma2 * y,
            u0=self.u0 * x,
            v0=self.v0 * y,
            width=width,
            height=height,
        )

    def project(self, points_cam: np.ndarray) -> np.ndarray:
        """Project points of the camera's frame (x right, y down, z forward) to pixels.

        Args:
            points_cam: (..., 3) points, metres.

        Returns:
            (..., 2) pixel positions (u, v), float64, which may lie outside the image; NaN where
            the model has none: behind the widest ray it knows, and at the camera's centre.
        """
        points = np.asarray(points_cam, dtype=np.float64)
        with np.errstate(divide="ignore", invalid="ignore"):
            unit = points / np.linalg.norm(points, axis=-1, keepdims=True)
            plane = unit[..., :2] / (unit[..., 2:] + self.xi)
        uv = self._pixels(self._distorted(plane))
        # Farther back than this the second projection folds over, or meets its own centre.
        limit = -self.xi if self.xi <= 1 else -1 / self.xi
        return np.where(unit[..., 2:] > limit, uv, np.nan)

    def rays(self, uv: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the rays of pixels: the inverse of `project`, by Newton's method.

        Args:
            uv: (..., 2) pixel positions.

        Returns:
            (..., 3) float64 unit rays in the camera's frame, zero outside the lens circle; and
            (...) bool, True inside it.
        """
        uv = np.asarray(uv, dtype=np.float64)
        target = (uv - (self.u0, self.v0)) / (self.gamma1, self.gamma2)
        plane = self._undistorted(target)
        squared = (plane**2).sum(axis=-1, keepdims=True)
        root = 1 + (1 - self.xi**2) * squared
        factor = (self.xi + np.sqrt(np.maximum(root, 0))) / (1 + squared)
        rays = np.concatenate([factor * plane, factor - self.xi], axis=-1)
        # Far outside the circle the distortion's inverse has no solution, or not this one.
        solved = np.abs(self._distorted(plane) - target).max(axis=-1) < 1e-9
        ahead = rays[..., 2] >= np.cos(np.radians(LENS_ANGLE_DEG))
        inside = solved & (root[..., 0] >= 0) & ahead
        return np.where(inside[..., None], rays, 0.0), inside

    def _pixels(self, plane: np.ndarray) -> np.ndarray:
        return plane * (self.gamma1, self.gamma2) + (self.u0, self.v0)

    def _radial(self, plane: np.ndarray) -> np.ndarray:
        squared = (plane**2).sum(axis=-1, keepdims=True)
        return plane * (1 + self.k1 * squared + self.k2 * squared**2)

    def _distorted(self, plane: np.ndarray) -> np.ndarray:
        x, y = plane[..., 0], plane[..., 1]
        squared = x**2 + y**2
        tangential = [
            2 * self.p1 * x * y + self.p2 * (squared + 2 * x**2),
            self.p1 * (squared + 2 * y**2) + 2 * self.p2 * x * y,
        ]
        return self._radial(plane) + np.stack(tangential, axis=-1)

    def _undistorted(self, target: np.ndarray) -> np.ndarray:
        # The tangential part of the derivative is small: the radial part is enough to converge.
        plane = target.copy()
        with np.errstate(all="ignore"):
            for _ in range(_NEWTON_STEPS):
                squared = (plane**2).sum(axis=-1, keepdims=True)
                slope = 1 + 3 * self.k1 * squared + 5 * self.k2 * squared**2
                plane = plane - (self._distorted(plane) - target) / slope
        return np.nan_to_num(plane, posinf=0.0, neginf=0.0)


def virtual_rotation(about_y_deg: float, about_x_deg: float) -> np.ndarray:
    """Return R_cam_virtual of a pinhole camera that looks out of a fisheye camera.

    It turns rays about the camera's fixed x axis, then about its fixed y axis. A negative angle
    about x looks down. The angle about y changes sign between KITTI-360's left and right fisheye
    (cameras 02 and 03), that about x does not.

    Args:
        about_y_deg: Degrees.
        about_x_deg: Degrees.

    Returns:
        (3, 3) float64: ray_cam = R_cam_virtual @ ray_virtual.
    """
    y, x = np.radians((about_y_deg, about_x_deg))
    about_y = [[np.cos(y), 0, np.sin(y)], [0, 1, 0], [-np.sin(y), 0, np.cos(y)]]
    about_x = [[1, 0, 0], [0, np.cos(x), -np.sin(x)], [0, np.sin(x), np.cos(x)]]
    return np.array(about_y) @ np.array(about_x)


def virtual_grid(
    camera: MeiCamera,
    K_norm: np.ndarray,
    image_size: tuple[int, int],
    R_cam_virtual: np.ndarray,
) -> np.ndarray:
    """Return the fisheye image positions of a virtual pinhole image's pixels, as published.

    It reproduces two peculiarities. The first and last pixel centres of the pinhole image lie at
    -1 and 1, where the rest of the package has the pixels' outer edges; and tangential distortion
    is ignored. Therefore the result is off by up to half a pixel of the pinhole image at its
    border, and by half a pixel of the fisheye image.

    Args:
        camera: The fisheye camera.
        K_norm: (3, 3) intrinsics of the pinhole image for coordinates in [-1, 1].
        image_size: (H, W) of the pinhole image, pixels.
        R_cam_virtual: (3, 3) rotation from the pinhole camera to the fisheye's frame.

    Returns:
        (H, W, 2) float32 for `resample`: x and y of the fisheye image, -1 and 1 at the centres of
        its outermost pixels.
    """
    rows, columns = image_size
    xy_norm = _mesh(np.linspace(-1, 1, columns), np.linspace(-1, 1, rows))
    unit = _virtual_rays(xy_norm, K_norm, R_cam_virtual)
    plane = unit[..., :2] / (unit[..., 2:] + camera.xi)
    uv = camera._pixels(camera._radial(plane))
    return (2 * uv / (camera.width, camera.height) - 1).astype(np.float32)


def resample(image: np.ndarray, grid: np.ndarray) -> np.ndarray:
    """Look an image up at the positions of a grid, bilinearly, with black outside.

    Args:
        image: (h, w, C) of the fisheye camera; uint8 or float.
        grid: (H, W, 2) as from `virtual_grid`.

    Returns:
        (H, W, C) of the image's dtype; uint8 is rounded to the nearest value.
    """
    height, width, channels = image.shape
    # One ring of black pixels around the image suffices: positions outside are clamped into it.
    framed = np.zeros((height + 2, width + 2, channels), np.float32)
    framed[1:-1, 1:-1] = image
    x = np.clip((grid[..., 0] + 1) * np.float32((width - 1) / 2), -1, width) + 1
    y = np.clip((grid[..., 1] + 1) * np.float32((height - 1) / 2), -1, height) + 1
    column = np.minimum(x.astype(np.intp), width)
    row = np.minimum(y.astype(np.intp), height)
    right, below = (x - column)[..., None], (y - row)[..., None]
    upper = framed[row, column] * (1 - right) + framed[row, column + 1] * right
    lower = framed[row + 1, column] * (1 - right) + framed[row + 1, column + 1] * right
    values = upper * (1 - below) + lower * below
    if image.dtype == np.uint8:
        values = np.rint(values)
    return values.astype(image.dtype)


def _mesh(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return np.stack(np.meshgrid(x, y), axis=-1)


def _virtual_rays(
    xy_norm: np.ndarray, K_norm: np.ndarray, R_cam_virtual: np.ndarray
) -> np.ndarray:
    ones = np.ones((*xy_norm.shape[:2], 1))
    rays = np.concatenate([xy_norm, ones], axis=-1) @ (R_cam_virtual @ np.linalg.inv(K_norm)).T
    return rays / np.linalg.norm(rays, axis=-1, keepdims=True)
