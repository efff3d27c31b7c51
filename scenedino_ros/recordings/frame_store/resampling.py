# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Resamples what one camera recorded to the network input: images, labels and depth alike."""

from typing import Protocol

import cv2
import numpy as np

from scenedino_ros.cameras.camera import CalibratedCamera
from scenedino_ros.cameras.distortion import MEI
from scenedino_ros.cameras.fisheye import MeiCamera, resample, virtual_grid, virtual_rotation
from scenedino_ros.cameras.image import ImagePreprocessor, check_fits
from scenedino_ros.core.errors import InputError
from scenedino_ros.recordings.frame_store.store import NO_LABEL


class CameraResampler(Protocol):
    """Turns what a camera recorded into network input images of one size.

    Attributes:
        K_norm: (3, 3) intrinsics of the input images for coordinates in [-1, 1].
        R_cam_input: (3, 3) rotation from the camera of the input images to the recorded one.
    """

    K_norm: np.ndarray
    R_cam_input: np.ndarray

    def image(self, rgb: np.ndarray) -> np.ndarray:
        """Return the (H, W, 3) uint8 input image of a recorded image."""
        ...

    def label(self, ids: np.ndarray) -> np.ndarray:
        """Return (H, W) uint8 ids of the input image's pixels, 255 outside the lens."""
        ...

    def depth(self, metres: np.ndarray) -> np.ndarray:
        """Return the (H, W) z-depth of the input image's pixels, metres."""
        ...


class PinholeResampler:
    """Resamples a pinhole camera with the preprocessing that the predictor uses."""

    def __init__(self, camera: CalibratedCamera, image_size: tuple[int, int], fit: str) -> None:
        """Prepare for a camera.

        Args:
            camera: Calibration of the recorded images.
            image_size: (height, width) of the input images, pixels.
            fit: As for `ImagePreprocessor`.
        """
        self._camera, self._prepare = camera, ImagePreprocessor(image_size, fit)
        pinhole = camera.pinhole
        black = np.zeros((pinhole.height, pinhole.width, 3), np.uint8)
        self.K_norm = self._prepare(black, camera).camera.K_norm
        self.R_cam_input = np.eye(3)

    def image(self, rgb: np.ndarray) -> np.ndarray:
        """Return the (H, W, 3) uint8 input image of a recorded image."""
        return self._prepare(rgb, self._camera).rgb

    def label(self, ids: np.ndarray) -> np.ndarray:
        """Return (H, W) uint8 ids of the input image's pixels, 255 outside the lens."""
        return self._prepare.nearest(ids, self._camera, outside=NO_LABEL)

    def depth(self, metres: np.ndarray) -> np.ndarray:
        """Return the (H, W) z-depth of the input image's pixels, metres."""
        return self._prepare.nearest(metres, self._camera)


class FisheyeResampler:
    """Resamples a MEI fisheye camera to a virtual pinhole camera."""

    def __init__(
        self,
        camera: CalibratedCamera,
        image_size: tuple[int, int],
        K_norm: np.ndarray,
        rotation_deg: tuple[float, float],
    ) -> None:
        """Prepare for a camera.

        Args:
            camera: Calibration of the recorded images.
            image_size: (height, width) of the input images, pixels.
            K_norm: (3, 3) intrinsics of the virtual camera.
            rotation_deg: Rotation of the virtual camera about the fisheye's y and x axes.
        """
        self.K_norm = K_norm
        self.R_cam_input = virtual_rotation(*rotation_deg)
        self._camera = camera
        self._grid = virtual_grid(
            MeiCamera.from_calibrated(camera), K_norm, image_size, self.R_cam_input
        )

    def image(self, rgb: np.ndarray) -> np.ndarray:
        """Return the (H, W, 3) uint8 input image of a recorded image."""
        check_fits(rgb.shape[1::-1], self._camera)
        return resample(rgb, self._grid)

    def label(self, ids: np.ndarray) -> np.ndarray:
        """Return (H, W) uint8 ids of the input image's pixels, 255 outside the lens."""
        check_fits(ids.shape[1::-1], self._camera)
        scale = (np.array(ids.shape[1::-1], np.float32) - 1) / 2
        uv = (self._grid + 1) * scale
        return cv2.remap(ids, uv, None, cv2.INTER_NEAREST, borderValue=NO_LABEL)

    def depth(self, metres: np.ndarray) -> np.ndarray:
        """Refuse: z-depth along the fisheye's axis is not z-depth along the virtual camera's.

        Raises:
            InputError: Always.
        """
        raise InputError("depth maps of fisheye cameras cannot be used, got one")


def is_fisheye(camera: CalibratedCamera) -> bool:
    """Return whether a camera is resampled to a virtual pinhole camera."""
    return camera.distortion_model == MEI
