"""The network's pictures of one recorded camera: images, labels and depth resampled alike."""

from typing import Protocol

import cv2
import numpy as np

from scenedino_ros.cameras.camera import CalibratedCamera
from scenedino_ros.cameras.distortion import MEI
from scenedino_ros.cameras.fisheye import MeiCamera, resample, virtual_grid, virtual_rotation
from scenedino_ros.cameras.image import ImagePreprocessor
from scenedino_ros.core.errors import InputError
from scenedino_ros.recordings.frame_store.store import NO_LABEL


class CameraPictures(Protocol):
    """Turns what a camera recorded into pictures of one size.

    Attributes:
        K_norm: (3, 3) intrinsics of the pictures for coordinates in [-1, 1].
        R_cam_picture: (3, 3) rotation from the pictures' camera to the recorded one.
    """

    K_norm: np.ndarray
    R_cam_picture: np.ndarray

    def image(self, rgb: np.ndarray) -> np.ndarray:
        """Return the (H, W, 3) uint8 picture of a recorded image."""
        ...

    def label(self, ids: np.ndarray) -> np.ndarray:
        """Return (H, W) uint8 ids of the picture's pixels, 255 where the lens saw nothing."""
        ...

    def depth(self, metres: np.ndarray) -> np.ndarray:
        """Return the (H, W) z-depth of the picture's pixels, metres."""
        ...


class PinholePictures:
    """Pictures of a camera that is rectified or nearly so, by the package's one preprocessing."""

    def __init__(self, camera: CalibratedCamera, image_size: tuple[int, int], fit: str) -> None:
        """Prepare for a camera.

        Args:
            camera: Calibration of the recorded images.
            image_size: (height, width) of the pictures, pixels.
            fit: As for `ImagePreprocessor`.
        """
        self._camera, self._prepare = camera, ImagePreprocessor(image_size, fit)
        pinhole = camera.pinhole
        black = np.zeros((pinhole.height, pinhole.width, 3), np.uint8)
        self.K_norm = self._prepare(black, camera).camera.K_norm
        self.R_cam_picture = np.eye(3)

    def image(self, rgb: np.ndarray) -> np.ndarray:
        """Return the (H, W, 3) uint8 picture of a recorded image."""
        return self._prepare(rgb, self._camera).rgb

    def label(self, ids: np.ndarray) -> np.ndarray:
        """Return (H, W) uint8 ids of the picture's pixels, 255 where the lens saw nothing."""
        return self._prepare.nearest(ids, self._camera, outside=NO_LABEL)

    def depth(self, metres: np.ndarray) -> np.ndarray:
        """Return the (H, W) z-depth of the picture's pixels, metres."""
        return self._prepare.nearest(metres, self._camera)


class FisheyePictures:
    """Pictures that a virtual pinhole camera would take out of a MEI fisheye's images."""

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
            image_size: (height, width) of the pictures, pixels.
            K_norm: (3, 3) intrinsics the pictures shall have.
            rotation_deg: How the virtual camera is turned about the fisheye's y and x axes.
        """
        self.K_norm = K_norm
        self.R_cam_picture = virtual_rotation(*rotation_deg)
        self._size = (camera.pinhole.height, camera.pinhole.width)
        self._grid = virtual_grid(
            MeiCamera.from_calibrated(camera), K_norm, image_size, self.R_cam_picture
        )

    def image(self, rgb: np.ndarray) -> np.ndarray:
        """Return the (H, W, 3) uint8 picture of a recorded image."""
        self._check(rgb)
        return resample(rgb, self._grid)

    def label(self, ids: np.ndarray) -> np.ndarray:
        """Return (H, W) uint8 ids of the picture's pixels, 255 where the lens saw nothing."""
        self._check(ids)
        scale = (np.array(self._size[::-1], np.float32) - 1) / 2
        uv = (self._grid + 1) * scale
        return cv2.remap(ids, uv, None, cv2.INTER_NEAREST, borderValue=NO_LABEL)

    def depth(self, metres: np.ndarray) -> np.ndarray:
        """Refuse: z-depth along a fisheye's axis is not that along the picture's.

        Raises:
            InputError: Always.
        """
        raise InputError("depth maps of fisheye cameras cannot be used, got one")

    def _check(self, image: np.ndarray) -> None:
        if image.shape[:2] != self._size:
            raise InputError(
                f"image is {image.shape[1]} x {image.shape[0]} px, but its calibration is for "
                f"{self._size[1]} x {self._size[0]} px"
            )


def is_fisheye(camera: CalibratedCamera) -> bool:
    """Return whether a camera's pictures are cut out of it by a virtual camera."""
    return camera.distortion_model == MEI
