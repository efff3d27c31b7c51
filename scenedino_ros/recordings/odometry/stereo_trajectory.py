# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""The trajectory of a whole drive from its stereo frames, and how certain it is."""

import math
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from scenedino_ros.core.errors import InputError
from scenedino_ros.recordings.odometry.stereo_odometry import FramePose, StereoOdometry
from scenedino_ros.recordings.odometry.stereo_rig import StereoRig
from scenedino_ros.recordings.odometry.stereo_sequence import StereoSequence
from scenedino_ros.recordings.poses import PoseTrack
from scenedino_ros.recordings.transforms import inverse


@dataclass(frozen=True, eq=False)
class StereoTrajectory:
    """The longest part of a drive whose frames are connected.

    Attributes:
        frames: What is known of each frame. Frames of other parts than the longest have no pose,
            with that reason.
        T_left_rect: (4, 4) rectified left camera to the left camera's optical frame.
    """

    frames: list[FramePose]
    T_left_rect: np.ndarray

    @property
    def posed(self) -> list[FramePose]:
        """The frames with a pose."""
        return [frame for frame in self.frames if frame.T_world_cam is not None]

    @property
    def measured(self) -> list[FramePose]:
        """The frames with a pose but the first, which has no motion."""
        return self.posed[1:]

    @property
    def offset_px(self) -> float:
        """Offset of all disparities that the motions hint at, pixels; 0: none, or unknown."""
        offsets = [f.offset_px for f in self.measured if not math.isnan(f.offset_px)]
        return float(np.median(offsets)) if offsets else 0.0

    def refused(self) -> dict[str, list[int]]:
        """Return the indices of the frames without a pose, by reason."""
        found: dict[str, list[int]] = {}
        for index, frame in enumerate(self.frames):
            if frame.reason:
                found.setdefault(frame.reason, []).append(index)
        return found

    def track(self, T_left_frame: np.ndarray) -> PoseTrack:
        """Return the poses of a frame fixed to the left camera; the world is it at the first one.

        Args:
            T_left_frame: (4, 4) the frame to the left optical frame, metres.

        Raises:
            InputError: If no frame has a pose.
        """
        posed = self.posed
        if not posed:
            raise InputError("no frame has a pose")
        T_rect_frame = inverse(self.T_left_rect) @ T_left_frame
        poses = np.stack([T for T in (frame.T_world_cam for frame in posed) if T is not None])
        poses = inverse(poses[0] @ T_rect_frame) @ poses @ T_rect_frame
        return PoseTrack(np.array([frame.stamp_ns for frame in posed]), poses)


def stereo_trajectory(
    sequence: StereoSequence,
    *,
    offset_px: float = 0.0,
    progress: Callable[[int, int], None] | None = None,
) -> StereoTrajectory:
    """Estimate the trajectory of a drive.

    Args:
        sequence: Its stereo frames.
        offset_px: As for `RectifiedPair`.
        progress: Called after every frame.

    Raises:
        InputError: If less than two frames in a row have a pose; with the most frequent reason.
    """
    rig = StereoRig(
        sequence.left.camera, sequence.right.camera, sequence.T_left_right, offset_px=offset_px
    )
    odometry, frames = StereoOdometry(rig.pair), []
    for index, stamp in enumerate(sequence.stamps_ns):
        try:
            images = rig.rectified(*sequence.images(index))
        except InputError as error:
            frames.append(FramePose(stamp, 0, None, reason=str(error)))
        else:
            frames.append(odometry.add(*images, stamp))
        if progress:
            progress(index + 1, len(sequence.stamps_ns))
    frames = _longest_part(frames)
    trajectory = StereoTrajectory(frames, rig.T_left_rect)
    if len(trajectory.posed) < 2:
        reasons = Counter(frame.reason for frame in frames if frame.reason).most_common(1)
        raise InputError(
            f"two frames in a row must have a pose or more, got none of {len(frames)} frames"
            + "".join(f"; {count} because {reason}" for reason, count in reasons)
        )
    return trajectory


def _longest_part(frames: list[FramePose]) -> list[FramePose]:
    """Return the frames without the poses of all but the longest part."""
    sizes = Counter(frame.part for frame in frames if frame.T_world_cam is not None)
    longest, _ = max(sizes.items(), key=lambda item: item[1], default=(0, 0))
    reason = "its part of the drive is not connected with the longest one"
    return [
        frame
        if frame.T_world_cam is None or frame.part == longest
        else replace(frame, T_world_cam=None, reason=reason)
        for frame in frames
    ]
