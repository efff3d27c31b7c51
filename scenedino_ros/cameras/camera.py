# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Camera models: projection and intrinsics, also of cropped and scaled images."""

from dataclasses import dataclass, field

import numpy as np

from scenedino_ros.cameras.distortion import MEI, distortion
from scenedino_ros.core.errors import InputError
from scenedino_ros.core.limits import FOCAL_LENGTHS

# Pixels. A skew that moves no pixel of the image by more than this is a rounding error of
# calibration and scaling; it is taken as 0.
_LEAST_SKEW_PX = 0.01


@dataclass(frozen=True, eq=False)
class PinholeCamera:
    """An ideal camera: u = fx X/Z + cx, v = fy Y/Z + cy.

    Attributes:
        K: (3, 3) float64 intrinsics in pixels of this image, integer coordinates at pixel
            centres. Read-only: `resized` and `cropped` return new cameras.
        width: Columns of the image.
        height: Rows of the image.
    """

    K: np.ndarray
    width: int
    height: int

    def __post_init__(self) -> None:
        """Refuse an uncalibrated or impossible camera; store a read-only copy of K.

        Raises:
            InputError: If K is not (3, 3) and finite with positive focal lengths and no skew,
                or the size is not positive.
        """
        K = np.array(self.K, dtype=np.float64)
        if K.shape != (3, 3) or not np.isfinite(K).all():
            raise InputError(f"K must be (3, 3) and finite, got {np.asarray(self.K).tolist()}")
        if K[0, 0] <= 0 or K[1, 1] <= 0:
            raise InputError(
                "the camera is not calibrated: focal lengths must be > 0 px, "
                f"got fx {K[0, 0]:g}, fy {K[1, 1]:g}"
            )
        if K[0, 1] or K[1, 0] or K[2, 0] or K[2, 1] or K[2, 2] != 1:
            raise InputError(f"K must be [fx 0 cx; 0 fy cy; 0 0 1], got {K.tolist()}")
        if self.width < 1 or self.height < 1:
            raise InputError(f"image size must be positive, got {self.width} x {self.height} px")
        K.setflags(write=False)
        object.__setattr__(self, "K", K)

    @classmethod
    def from_focal(
        cls, fx: float, fy: float, cx: float, cy: float, width: int, height: int
    ) -> "PinholeCamera":
        """Build a camera from focal lengths and principal point, all in pixels."""
        return cls(np.array([[fx, 0.0, cx], [0.0, fy, cy], [0.0, 0.0, 1.0]]), width, height)

    @property
    def K_norm(self) -> np.ndarray:
        """(3, 3) intrinsics for coordinates in [-1, 1] over the whole image.

        (-1, -1) is the outer corner of the first pixel and (1, 1) that of the last. The principal
        point is taken as 2 cx / w - 1 without a half-pixel term, as in the published datasets;
        therefore scaling the image does not change this matrix.

        Source: normalisation of the reference's KITTI-360 intrinsics.
        """
        size = np.array([self.width, self.height], dtype=np.float64)
        K = np.eye(3)
        K[0, 0], K[1, 1] = 2.0 * np.array([self.K[0, 0], self.K[1, 1]]) / size
        K[:2, 2] = 2.0 * self.K[:2, 2] / size - 1.0
        return K

    def resized(self, width: int, height: int) -> "PinholeCamera":
        """Return the camera of this image scaled to another size (aspect may change)."""
        scale = np.array([[width / self.width], [height / self.height], [1.0]])
        return PinholeCamera(self.K * scale, width, height)

    def cropped(self, x: float, y: float, width: int, height: int) -> "PinholeCamera":
        """Return the camera of the part of this image whose first pixel is (x, y)."""
        K = self.K.copy()
        K[:2, 2] -= (x, y)
        return PinholeCamera(K, width, height)

    def project(self, points_cam: np.ndarray) -> np.ndarray:
        """Project points of the optical frame (x right, y down, z forward) to pixels.

        Args:
            points_cam: (..., 3) points, metres; z must not be 0.

        Returns:
            (..., 2) pixel positions (u, v), float64; meaningless where z < 0.
        """
        points_cam = np.asarray(points_cam, dtype=np.float64)
        rays = points_cam[..., :2] / points_cam[..., 2:]
        return rays * np.diag(self.K)[:2] + self.K[:2, 2]


@dataclass(frozen=True, eq=False)
class CalibratedCamera:
    """A camera as it was calibrated: a pinhole camera and the distortion of its lens.

    u = fx x + skew y + cx, v = fy y + cy of a ray's distorted coordinates x, y on the plane z = 1.

    Attributes:
        pinhole: Intrinsics of the image as it arrives (K for raw images, P for rectified ones),
            without skew.
        distortion_model: ``plumb_bob``, ``rational_polynomial``, ``equidistant`` or ``mei``;
            synonyms become one of these; empty: the image has no distortion.
        D: Distortion coefficients in OpenCV's order, as many as `distortion` says; of ``mei``:
            k1, k2, p1, p2, xi.
        skew: K[0, 1] of the calibration, pixels; 0 where no pixel of the image is moved by it.
    """

    pinhole: PinholeCamera
    distortion_model: str = ""
    D: np.ndarray = field(default_factory=lambda: np.zeros(0))
    skew: float = 0.0

    def __post_init__(self) -> None:
        """Normalise distortion and skew.

        Raises:
            InputError: If the distortion is unknown, see `distortion`, or the skew is absurd or
                belongs to a ``mei`` fisheye.
        """
        model, D = distortion(self.distortion_model, self.D)
        if not abs(self.skew) <= FOCAL_LENGTHS[1]:
            raise InputError(f"skew must be within +-{FOCAL_LENGTHS[1]:g} px, got {self.skew}")
        pinhole = self.pinhole
        reach = max(abs(pinhole.K[1, 2]), abs(pinhole.height - 1 - pinhole.K[1, 2]))
        moved = abs(self.skew) * reach / pinhole.K[1, 1]
        if moved > _LEAST_SKEW_PX and model == MEI:
            raise InputError(f"a camera of distortion model mei has no skew, got {self.skew:g} px")
        D.setflags(write=False)
        object.__setattr__(self, "distortion_model", model)
        object.__setattr__(self, "D", D)
        object.__setattr__(self, "skew", float(self.skew) if moved > _LEAST_SKEW_PX else 0.0)

    @property
    def is_distorted(self) -> bool:
        """Whether the image must be resampled to match a pinhole camera."""
        return bool(self.distortion_model) or self.skew != 0.0

    @property
    def K(self) -> np.ndarray:
        """(3, 3) float64 intrinsics with their skew, pixels."""
        K = self.pinhole.K.copy()
        K[0, 1] = self.skew
        return K

    def key(self) -> tuple[object, ...]:
        """Return a hashable value that is equal for equal calibrations, for caches."""
        size = (self.pinhole.width, self.pinhole.height)
        return (*size, self.K.tobytes(), self.distortion_model, self.D.tobytes())
