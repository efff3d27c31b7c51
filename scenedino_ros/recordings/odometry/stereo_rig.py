# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""A calibrated stereo pair, and its images as a rectified pair would have taken them."""

from dataclasses import dataclass

import cv2
import numpy as np

from scenedino_ros.cameras.camera import CalibratedCamera
from scenedino_ros.cameras.distortion import MEI
from scenedino_ros.core.errors import InputError

_MIN_BASELINE = 0.01  # metres
_LEAST_DISPARITY = 0.1  # pixels; smaller ones are noise of points at infinity
_MAX_ANGLE_DEG = 30.0  # between the cameras, and between the baseline and the left camera's x axis
_SAME_PX = 0.05  # intrinsics of a rectified pair may differ by this
_SAME_ANGLE = 1e-3  # radians by which a rectified pair's axes and baseline may differ


@dataclass(frozen=True, eq=False)
class RectifiedPair:
    """Two equal pinhole cameras, the right one moved along the x axis.

    Attributes:
        K: (3, 3) intrinsics, pixels.
        baseline: Metres.
        offset_px: By how much disparities in the images are smaller than they should be, pixels;
            0 where the calibration is right.
    """

    K: np.ndarray
    baseline: float
    offset_px: float = 0.0

    def points(self, positions: np.ndarray) -> np.ndarray:
        """Return (N, 3) points in the left optical frame, metres.

        Args:
            positions: (N, 3) u, v and disparity in the images, pixels.
        """
        disparity = np.maximum(positions[:, 2] + self.offset_px, _LEAST_DISPARITY)
        depth = self.K[0, 0] * self.baseline / disparity
        rays = (positions[:, :2] - self.K[:2, 2]) / np.diag(self.K)[:2]
        return np.column_stack([rays * depth[:, None], depth])

    def disparity(self, depth: np.ndarray) -> np.ndarray:
        """Return (N,) disparities in the images, pixels, of points at a depth, metres."""
        return self.K[0, 0] * self.baseline / depth - self.offset_px

    def positions(self, points: np.ndarray) -> np.ndarray:
        """Return (N, 3) u, v and disparity in the images, pixels, of points in front of them."""
        z = points[:, 2:]
        uv = points[:, :2] / z * np.diag(self.K)[:2] + self.K[:2, 2]
        return np.column_stack([uv, self.disparity(z[:, 0])])


class StereoRig:
    """Turns the images of a calibrated pair into those of a rectified one.

    Attributes:
        pair: The rectified cameras.
        T_left_rect: (4, 4) rectified left camera to the left camera's optical frame, metres.
    """

    def __init__(
        self,
        left: CalibratedCamera,
        right: CalibratedCamera,
        T_left_right: np.ndarray,
        *,
        offset_px: float = 0.0,
    ) -> None:
        """Prepare for a pair.

        Args:
            left: Calibration of the left images.
            right: Calibration of the right images.
            T_left_right: (4, 4) right optical frame to left optical frame, metres.
            offset_px: As for `RectifiedPair`.

        Raises:
            InputError: If the cameras do not look in one direction side by side, have images of
                different size, or are MEI fisheyes.
        """
        _check(left, right, T_left_right)
        self.T_left_rect = np.eye(4)
        size = (left.pinhole.width, left.pinhole.height)
        if _is_rectified(left, right, T_left_right):
            self.pair = RectifiedPair(left.pinhole.K, float(T_left_right[0, 3]), offset_px)
            self._maps = None
            return
        T_right_left = np.linalg.inv(T_left_right)
        R_left, R_right, P_left, P_right, *_ = cv2.stereoRectify(
            left.K,
            np.zeros(4),
            right.K,
            np.zeros(4),
            size,
            T_right_left[:3, :3],
            T_right_left[:3, 3:],
            flags=cv2.CALIB_ZERO_DISPARITY,
            alpha=-1,
        )
        self.T_left_rect[:3, :3] = R_left.T
        K = P_left[:, :3]
        self.pair = RectifiedPair(K, float(-P_right[0, 3] / P_right[0, 0]), offset_px)
        self._maps = [
            _maps(camera, R, K, size) for camera, R in ((left, R_left), (right, R_right))
        ]

    @property
    def is_rectified(self) -> bool:
        """Whether the images are rectified already."""
        return self._maps is None

    def rectified(self, left: np.ndarray, right: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return both images as (H, W) uint8 grey, rectified.

        Args:
            left: (H, W, 3) uint8 RGB.
            right: (H, W, 3) uint8 RGB of the same time.
        """
        grey = [_grey(image) for image in (left, right)]
        if self._maps is not None:
            grey = [
                cv2.remap(image, *maps, cv2.INTER_LINEAR)
                for image, maps in zip(grey, self._maps, strict=True)
            ]
        return grey[0], grey[1]


def _check(left: CalibratedCamera, right: CalibratedCamera, T_left_right: np.ndarray) -> None:
    sizes = [(camera.pinhole.width, camera.pinhole.height) for camera in (left, right)]
    if sizes[0] != sizes[1]:
        raise InputError(
            f"the images of a stereo pair must have one size, got {sizes[0][0]} x {sizes[0][1]} "
            f"and {sizes[1][0]} x {sizes[1][1]}"
        )
    if MEI in (left.distortion_model, right.distortion_model):
        raise InputError("a stereo pair must be of pinhole cameras, got a mei fisheye")
    offset = T_left_right[:3, 3]
    baseline = float(np.linalg.norm(offset))
    if baseline < _MIN_BASELINE:
        raise InputError(
            f"the cameras of a stereo pair must be {_MIN_BASELINE:g} m apart or more, got "
            f"{baseline:.3g} m"
        )
    turn, _ = cv2.Rodrigues(T_left_right[:3, :3])
    angles = np.degrees([np.linalg.norm(turn), np.arccos(offset[0] / baseline)])
    if max(angles) > _MAX_ANGLE_DEG:
        raise InputError(
            "the right camera of a stereo pair must be to the right of the left one and look in "
            f"its direction, within {_MAX_ANGLE_DEG:g} degrees, got x, y, z = "
            f"{', '.join(f'{value:.3g}' for value in offset)} m, turned by {angles[0]:.3g} degrees"
        )


def _is_rectified(
    left: CalibratedCamera, right: CalibratedCamera, T_left_right: np.ndarray
) -> bool:
    offset = T_left_right[:3, 3]
    return (
        not left.is_distorted
        and not right.is_distorted
        and np.allclose(left.K, right.K, atol=_SAME_PX)
        and np.allclose(T_left_right[:3, :3], np.eye(3), atol=_SAME_ANGLE)
        and np.allclose(offset[1:] / offset[0], 0, atol=_SAME_ANGLE)
    )


def _maps(
    camera: CalibratedCamera, R: np.ndarray, K: np.ndarray, size: tuple[int, int]
) -> tuple[np.ndarray, np.ndarray]:
    """Return the maps of `cv2.remap` from a camera's image to the rectified one."""
    fisheye = camera.distortion_model == "equidistant"
    make = cv2.fisheye.initUndistortRectifyMap if fisheye else cv2.initUndistortRectifyMap
    D = np.array(camera.D) if camera.D.size else np.zeros(4)
    maps = make(camera.K, D, R, K, size, cv2.CV_32FC1)
    return maps[0], maps[1]


def _grey(image: np.ndarray) -> np.ndarray:
    if image.strides[2] == 0:  # a grey image whose channels are one
        return np.ascontiguousarray(image[..., 0])
    return cv2.cvtColor(np.ascontiguousarray(image), cv2.COLOR_RGB2GRAY)
