# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""The trajectory of a stereo pair, frame by frame.

Each frame is compared with a keyframe before it, which stays as long as most of its points are
seen, so that errors add up per keyframe and not per frame. A frame whose motion is not certain is
refused with the reason, and gets no pose. After some refused frames a new part begins, whose
place relative to the one before is unknown.
"""

import functools
from dataclasses import dataclass

import numpy as np

from scenedino_ros.recordings.odometry.stereo_motion import StereoMotion, stereo_motion
from scenedino_ros.recordings.odometry.stereo_points import (
    StereoPoints,
    find_points,
    right_disparity,
    track_points,
)
from scenedino_ros.recordings.odometry.stereo_rig import RectifiedPair
from scenedino_ros.recordings.transforms import inverse

_LEAST_POINTS = 20  # inliers of a motion
_LEAST_FRACTION = 0.3  # of the tracked points that must be inliers
_KEPT_FRACTION = 0.8  # of its first inliers that a keyframe must keep
_MOST_SIGMA_M, _MOST_SIGMA_DEG = 0.2, 0.5
_FASTEST = 100.0  # metres per second
_NEAREST_M = 0.5  # points are expected no nearer than this
_LOST_AFTER = 5  # refused frames


@dataclass(frozen=True, eq=False)
class FramePose:
    """What is known of a frame.

    Attributes:
        stamp_ns: Time, nanoseconds.
        part: Poses of different parts are not comparable.
        T_world_cam: (4, 4) rectified left camera to the world of the part, metres; None: refused.
        points: Points of the keyframe that were followed.
        inliers: Those that agree with the motion.
        error_px: Root mean square reprojection error of inliers, pixels.
        sigma_m: Standard deviation of the position relative to the keyframe, metres.
        sigma_deg: Standard deviation of the rotation relative to the keyframe, degrees.
        offset_px: Offset of the disparities that the motion hints at, see `StereoMotion`, pixels.
        reason: Why it was refused; empty: it was not.
    """

    stamp_ns: int
    part: int
    T_world_cam: np.ndarray | None
    points: int = 0
    inliers: int = 0
    error_px: float = 0.0
    sigma_m: float = 0.0
    sigma_deg: float = 0.0
    offset_px: float = 0.0
    reason: str = ""


@dataclass(eq=False)
class _Frame:
    """A frame that others may be compared with."""

    left: np.ndarray
    right: np.ndarray
    stamp_ns: int
    T_world_cam: np.ndarray
    most_inliers: int = 0

    @functools.cached_property
    def points(self) -> StereoPoints:
        """Its points, which most frames are not asked for."""
        return find_points(self.left, self.right)


class StereoOdometry:
    """Estimates the pose of one frame after the other."""

    def __init__(self, pair: RectifiedPair) -> None:
        """Begin at the next frame.

        Args:
            pair: The cameras.
        """
        self._pair = pair
        self._key: _Frame | None = None
        self._last: _Frame | None = None
        self._T_last_key = np.eye(4)  # keyframe to the last posed frame
        self._T_step = np.eye(4)  # frame before to the last posed frame
        self._part, self._refused = 0, 0

    def add(self, left: np.ndarray, right: np.ndarray, stamp_ns: int) -> FramePose:
        """Estimate the pose of the next frame.

        Args:
            left: (H, W) uint8 rectified image.
            right: (H, W) uint8 its partner.
            stamp_ns: Time, nanoseconds.
        """
        key, last = self._key, self._last
        if key is None or last is None:
            return self._begin(left, right, stamp_ns)
        motion, found = self._compared(key, self._T_last_key, left, right, stamp_ns)
        if motion is None and last is not key:
            key = last
            motion, found = self._compared(key, np.eye(4), left, right, stamp_ns)
        if motion is None or found.T_world_cam is None:
            self._refused += 1
            self._key = None if self._refused >= _LOST_AFTER else self._key
            return found
        self._refused = 0
        self._T_step = inverse(found.T_world_cam) @ last.T_world_cam
        self._key, self._T_last_key = key, motion.T_new_old
        self._last = _Frame(left, right, stamp_ns, found.T_world_cam)
        key.most_inliers = max(key.most_inliers, found.inliers)
        if found.inliers < _KEPT_FRACTION * key.most_inliers:
            self._key, self._T_last_key = self._last, np.eye(4)
        return found

    def _begin(self, left: np.ndarray, right: np.ndarray, stamp_ns: int) -> FramePose:
        frame = _Frame(left, right, stamp_ns, np.eye(4))
        count = len(frame.points.positions)
        if count < _LEAST_POINTS:
            reason = f"{count} points have a disparity, {_LEAST_POINTS} are needed"
            return FramePose(stamp_ns, self._part, None, count, reason=reason)
        self._part += 1
        self._refused = 0
        self._key = self._last = frame
        self._T_last_key, self._T_step = np.eye(4), np.eye(4)
        return FramePose(stamp_ns, self._part, np.eye(4), count, count)

    def _compared(
        self,
        key: _Frame,
        T_before_key: np.ndarray,
        left: np.ndarray,
        right: np.ndarray,
        stamp_ns: int,
    ) -> tuple[StereoMotion | None, FramePose]:
        """Return the motion since a keyframe, None if it is refused, and what is known."""
        old = key.points.positions
        T_new_old = self._T_step @ T_before_key  # if it goes on as before
        cloud = self._pair.points(old) @ T_new_old[:3, :3].T + T_new_old[:3, 3]
        cloud[:, 2] = np.maximum(cloud[:, 2], _NEAREST_M)
        expected = self._pair.positions(cloud)
        uv = track_points(key.points, left, expected[:, :2])
        seen = ~np.isnan(uv[:, 0])
        old, uv, expected = old[seen], uv[seen].astype(np.float64), expected[seen]
        if len(old) < _LEAST_POINTS:
            reason = f"{len(old)} points are followed, {_LEAST_POINTS} are needed"
            return None, FramePose(stamp_ns, self._part, None, len(old), reason=reason)
        disparity = right_disparity(left, right, uv, expected[:, 2])
        motion = stereo_motion(self._pair, old, np.column_stack([uv, disparity]))
        if motion is None:
            reason = f"no motion explains where {len(old)} points are seen"
            return None, FramePose(stamp_ns, self._part, None, len(old), reason=reason)
        T_world_cam = key.T_world_cam @ inverse(motion.T_new_old)
        reason = _problem(motion) or self._speed_problem(T_world_cam, stamp_ns)
        found = FramePose(
            stamp_ns,
            self._part,
            None if reason else T_world_cam,
            len(old),
            int(motion.inliers.sum()),
            motion.error_px,
            motion.sigma_m,
            motion.sigma_deg,
            motion.offset_px,
            reason,
        )
        return (None if reason else motion), found

    def _speed_problem(self, T_world_cam: np.ndarray, stamp_ns: int) -> str:
        """Return why a pose is too far from the last one; empty: it is not."""
        if self._last is None:
            return ""
        step = float(np.linalg.norm(T_world_cam[:3, 3] - self._last.T_world_cam[:3, 3]))
        speed = step / ((stamp_ns - self._last.stamp_ns) / 1e9)
        if speed <= _FASTEST:
            return ""
        return f"the camera would move at {speed:.0f} m/s, {_FASTEST:g} m/s are allowed"


def _problem(motion: StereoMotion) -> str:
    """Return why a motion is refused; empty: it is not."""
    count, total = int(motion.inliers.sum()), len(motion.inliers)
    if count < _LEAST_POINTS:
        return f"{count} points agree with one motion, {_LEAST_POINTS} are needed"
    if count < _LEAST_FRACTION * total:
        return (
            f"{count / total:.0%} of {total} points agree with one motion, {_LEAST_FRACTION:.0%} "
            "are needed"
        )
    if motion.sigma_m > _MOST_SIGMA_M or motion.sigma_deg > _MOST_SIGMA_DEG:
        return (
            f"the motion is uncertain by {motion.sigma_m:.3f} m and {motion.sigma_deg:.3f} "
            f"degrees, {_MOST_SIGMA_M:g} m and {_MOST_SIGMA_DEG:g} degrees are allowed"
        )
    return ""
