# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""The motion between two stereo frames from points seen in both, and how certain it is."""

from dataclasses import dataclass

import cv2
import numpy as np

from scenedino_ros.recordings.odometry.stereo_rig import RectifiedPair

NOISE_PX = 0.3  # standard deviation of a tracked position in one image
_RANSAC_PX, _RANSAC_ROUNDS, _RANSAC_CONFIDENCE = 2.0, 300, 0.999
_OUTLIER = 3.0  # standard deviations from which on a point is an outlier of the refined motion
_HUBER = 1.5  # standard deviations up to which errors count quadratically
_NEAREST_M = 0.1  # points nearer to the camera than this cannot be seen
_MOST_OFFSET_SIGMA = 0.3  # pixels; above it the offset is unknown
_ROUNDS = 8  # of Gauss-Newton


@dataclass(frozen=True, eq=False)
class StereoMotion:
    """A motion and its uncertainty.

    Attributes:
        T_new_old: (4, 4) old rectified left camera to the new one, metres.
        inliers: (N,) bool, True: the point agrees with the motion.
        error_px: Root mean square distance of inliers from where they project to in the new left
            image, pixels.
        covariance: (6, 6) of a small motion of the new camera: rotation (rad), translation (m).
        offset_px: What added to all disparities would explain the points best, pixels; it is
            not added. Other than 0, the calibration is not that of the images. NaN: uncertain.
    """

    T_new_old: np.ndarray
    inliers: np.ndarray
    error_px: float
    covariance: np.ndarray
    offset_px: float

    @property
    def sigma_m(self) -> float:
        """Standard deviation of the position, metres."""
        return float(np.sqrt(np.trace(self.covariance[3:, 3:])))

    @property
    def sigma_deg(self) -> float:
        """Standard deviation of the rotation, degrees."""
        return float(np.degrees(np.sqrt(np.trace(self.covariance[:3, :3]))))


def stereo_motion(pair: RectifiedPair, old: np.ndarray, new: np.ndarray) -> StereoMotion | None:
    """Find the motion that explains where points are seen.

    Perspective-n-point with RANSAC chooses inliers. Gauss-Newton then minimises their errors in
    both new images, each weighted by the noise of all four positions that it depends on: a point's
    distance is the less certain the smaller its disparity.

    Args:
        pair: The cameras.
        old: (N, 3) u, v and disparity in the old frame, pixels.
        new: (N, 3) the same in the new frame; disparity NaN: not seen in the right image.

    Returns:
        The motion; None: none was found.
    """
    points = pair.points(old)
    try:
        found, rvec, tvec, chosen = cv2.solvePnPRansac(
            points,
            np.ascontiguousarray(new[:, :2]),
            pair.K,
            None,
            iterationsCount=_RANSAC_ROUNDS,
            reprojectionError=_RANSAC_PX,
            confidence=_RANSAC_CONFIDENCE,
            flags=cv2.SOLVEPNP_SQPNP,
        )
    except cv2.error:
        return None
    if not found or chosen is None:
        return None
    T = np.eye(4)
    T[:3, :3], _ = cv2.Rodrigues(rvec)
    T[:3, 3] = tvec[:, 0]
    covariances = _point_covariances(pair, points)
    inliers = np.zeros(len(old), bool)
    inliers[chosen[:, 0]] = True
    for _ in range(_ROUNDS):
        errors, jacobians, whitening = _terms(pair, T, points, covariances, new)
        distance = np.linalg.norm(np.einsum("nij,nj->ni", whitening, errors), axis=1)
        inliers = distance < _OUTLIER * np.sqrt(2)
        weights = np.where(inliers, 1 / np.maximum(distance / _HUBER, 1), 0.0)
        A = whitening @ jacobians
        H = np.einsum("n,nij,nik->jk", weights, A, A)
        g = np.einsum("n,nij,ni->j", weights, A, np.einsum("nij,nj->ni", whitening, errors))
        if np.linalg.matrix_rank(H[:6, :6]) < 6:
            return None
        T = _small_motion(-np.linalg.solve(H[:6, :6], g[:6])) @ T
    # Errors larger than their noise say that the noise is larger than assumed.
    excess = max(float(np.median(distance[inliers] ** 2)) / 2.4, 1.0) if inliers.any() else 1.0
    error_px = float(np.sqrt((errors[inliers, :2] ** 2).sum(axis=1).mean()))
    return StereoMotion(
        T,
        inliers,
        error_px,
        np.linalg.inv(H[:6, :6]) * excess,
        _offset(H, g, excess),
    )


def _offset(H: np.ndarray, g: np.ndarray, excess: float) -> float:
    """Return the offset of all disparities that minimises the errors, pixels; NaN: uncertain.

    A camera that stands still does not show it.

    Args:
        H: (7, 7) sum of squared derivatives; the offset is last.
        g: (7,) their sum of products with the errors.
        excess: Factor on the squares of the noise.
    """
    if np.linalg.matrix_rank(H) < len(H):
        return float("nan")
    sigma = np.sqrt(np.linalg.inv(H)[6, 6] * excess)
    return float(-np.linalg.solve(H, g)[6]) if sigma < _MOST_OFFSET_SIGMA else float("nan")


def _point_covariances(pair: RectifiedPair, points: np.ndarray) -> np.ndarray:
    """Return (N, 3, 3) covariances of points, square metres.

    u and v have the noise of the left position; the disparity also that of the right one.
    """
    depth = points[:, 2]
    J = np.zeros((len(points), 3, 3))
    J[:, 0, 0], J[:, 1, 1] = depth / pair.K[0, 0], depth / pair.K[1, 1]
    J[:, :, 2] = _by_disparity(pair, points)
    # Of u, v and u - u_right.
    S = NOISE_PX**2 * np.array([[1.0, 0, 1], [0, 1, 0], [1, 0, 2]])
    return J @ S @ J.transpose(0, 2, 1)


def _terms(
    pair: RectifiedPair,
    T: np.ndarray,
    points: np.ndarray,
    covariances: np.ndarray,
    new: np.ndarray,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return errors (N, 3) of u, v, u_right, their derivatives (N, 3, 7), and whitening (N, 3, 3).

    Derivatives are by a small motion of the new camera, and by an offset of all disparities. Where
    a point is not seen in the right image its third error counts nothing.
    """
    moved = points @ T[:3, :3].T + T[:3, 3]
    moved[moved[:, 2] < _NEAREST_M, 2] = np.nan
    x, y, z = moved.T
    fx, fy = np.diag(pair.K)[:2]
    projected, seen = (
        np.column_stack([p[:, :2], p[:, 0] - p[:, 2]]) for p in (pair.positions(moved), new)
    )
    zero = np.zeros_like(z)
    D = np.stack(
        [
            np.stack([fx / z, zero, -fx * x / z**2], 1),
            np.stack([zero, fy / z, -fy * y / z**2], 1),
            np.stack([fx / z, zero, -fx * (x - pair.baseline) / z**2], 1),
        ],
        axis=1,
    )
    R = T[:3, :3]
    # A larger disparity draws the point nearer, and its position in the right image to the left.
    by_offset = D @ R @ _by_disparity(pair, points)[:, :, None]
    by_offset[:, 2] += 1.0
    J = np.concatenate([-D @ _cross_matrices(moved), D, by_offset], axis=2)
    S = D @ R @ covariances @ R.T @ D.transpose(0, 2, 1) + NOISE_PX**2 * np.eye(3)
    errors = projected - seen
    alone = np.isnan(errors[:, 2])
    errors[alone, 2], J[alone, 2] = 0.0, 0.0
    S[alone, 2, :], S[alone, :, 2], S[alone, 2, 2] = 0.0, 0.0, 1.0
    behind = np.isnan(z)
    errors[behind], J[behind], S[behind] = 1e6, 0.0, np.eye(3)
    return errors, J, np.linalg.inv(np.linalg.cholesky(S))


def _by_disparity(pair: RectifiedPair, points: np.ndarray) -> np.ndarray:
    """Return (N, 3) derivatives of points by their disparity, metres per pixel."""
    return -points * points[:, 2:] / (pair.K[0, 0] * pair.baseline)


def _cross_matrices(vectors: np.ndarray) -> np.ndarray:
    """Return (N, 3, 3) matrices C with C @ w = vector x w."""
    x, y, z = vectors.T
    zero = np.zeros_like(x)
    rows = [np.stack(row, 1) for row in ((zero, -z, y), (z, zero, -x), (-y, x, zero))]
    return np.stack(rows, axis=1)


def _small_motion(step: np.ndarray) -> np.ndarray:
    """Return (4, 4) of a rotation vector and a translation."""
    T = np.eye(4)
    T[:3, :3], _ = cv2.Rodrigues(step[:3])
    T[:3, 3] = step[3:]
    return T
