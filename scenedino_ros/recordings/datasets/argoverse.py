# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Argoverse 1: one rectified stereo pair with the disparity of the left image.

Frames: ``base_link`` is Argoverse's vehicle frame (x forward, y left, z up). The calibration file
gives both cameras as they are mounted, and the rotations that rectify their images.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from scenedino_ros.cameras.camera import PinholeCamera
from scenedino_ros.cameras.image_folder import read_pixels, read_rgb
from scenedino_ros.cameras.plausibility import camera_from_intrinsics
from scenedino_ros.core.errors import InputError
from scenedino_ros.core.reading import read_json, reads
from scenedino_ros.recordings.transforms import matrix_from_numbers

_CALIBRATION = "vehicle_calibration_stereo_info.json"
_IMAGES = {"left": "left_rect.jpg", "right": "right_rect.jpg"}
_DISPARITY = "left_disparity_gt.png"
_DISPARITY_UNIT = 1 / 256  # pixels


@dataclass(frozen=True, eq=False)
class ArgoverseStereo:
    """One stereo pair.

    Attributes:
        camera: Intrinsics and size of both rectified images.
        images: Image files, ``left`` and ``right``.
        T_base_cam: (4, 4) rectified camera to vehicle, by the same names, metres.
        disparity: (H, W) float32 of the left image, pixels; 0 where unknown.
    """

    camera: PinholeCamera
    images: dict[str, Path]
    T_base_cam: dict[str, np.ndarray]
    disparity: np.ndarray

    @property
    def depth(self) -> np.ndarray:
        """(H, W) float32 z-depth of the left image, metres; 0 where unknown."""
        centres = {side: T[:3, 3] for side, T in self.T_base_cam.items()}
        baseline = float(np.linalg.norm(centres["right"] - centres["left"]))
        known = self.disparity > 0
        depth = self.camera.K[0, 0] * baseline / np.where(known, self.disparity, 1)
        return np.where(known, depth, 0).astype(np.float32)


@reads("the Argoverse pair in")
def read_argoverse_stereo(folder: Path) -> ArgoverseStereo:
    """Read a folder with both images, the disparity and the calibration.

    Raises:
        InputError: If a file is missing or not as specified, or sizes differ.
    """
    folder = Path(folder)
    images = {side: folder / name for side, name in _IMAGES.items()}
    sizes = {side: read_rgb(path).shape[:2] for side, path in images.items()}
    disparity = read_pixels(folder / _DISPARITY)
    if disparity.dtype != np.uint16:
        raise InputError(f"{folder / _DISPARITY} must be a 16-bit image, got {disparity.dtype}")
    if len({*sizes.values(), disparity.shape}) != 1:
        raise InputError(
            f"images and disparity in {folder} must have one size, got {sizes['left']}, "
            f"{sizes['right']} and {disparity.shape}"
        )
    path = folder / _CALIBRATION
    try:
        entries = read_json(path)["camera_data_"]
        calibration = {entry["key"]: entry["value"] for entry in entries}
        left = calibration["image_raw_stereo_front_left_rect"]
        names = ("length_x", "length_y", "center_x", "center_y")
        fx, fy, cx, cy = (float(left[f"focal_{name}_px_"]) for name in names)
        camera = camera_from_intrinsics((fx, fy, cx, cy), *disparity.shape[::-1]).pinhole
        mounted = {side: _mounted(calibration, side) for side in images}
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"{path} cannot be read: {error}") from error
    except (KeyError, TypeError) as error:
        raise InputError(
            f"{path} is not as specified by Argoverse: {type(error).__name__} {error}"
        ) from error
    return ArgoverseStereo(
        camera, images, mounted, disparity.astype(np.float32) * np.float32(_DISPARITY_UNIT)
    )


def _mounted(calibration: dict[str, Any], side: str) -> np.ndarray:
    """Return the (4, 4) rectified camera to vehicle."""
    camera = _transform(calibration[f"image_raw_stereo_front_{side}"])
    return camera @ _transform(calibration[f"image_raw_stereo_front_{side}_rect"])


def _transform(camera: dict[str, Any]) -> np.ndarray:
    pose = camera["vehicle_SE3_camera_"]
    w, x, y, z = pose["rotation"]["coefficients"]
    return matrix_from_numbers([float(number) for number in (*pose["translation"], x, y, z, w)])
