# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""How far a trajectory is from a reference: error per frame, and drift over a distance."""

from dataclasses import dataclass

import numpy as np

from scenedino_ros.core.errors import InputError
from scenedino_ros.recordings.poses import PoseTrack
from scenedino_ros.recordings.transforms import inverse

DRIFT_M = 100.0  # length of the segments of drift, metres


@dataclass(frozen=True, eq=False)
class TrajectoryError:
    """Errors relative to a reference, which no common frame of the two is needed for.

    Attributes:
        step_m: (N,) error of the position from one frame to the next, metres.
        step_deg: (N,) error of the rotation from one frame to the next, degrees.
        step_length: (N,) the reference's motion, metres.
        length: The reference's whole length, metres.
        drift_length: Length of the segments of drift, metres: 100, or half of a shorter drive.
        drift_m: (M,) error of the position at the end of a segment, seen from its beginning.
        drift_deg: (M,) error of the rotation there, degrees.
    """

    step_m: np.ndarray
    step_deg: np.ndarray
    step_length: np.ndarray
    length: float
    drift_length: float
    drift_m: np.ndarray
    drift_deg: np.ndarray


def trajectory_error(estimated: PoseTrack, reference: PoseTrack) -> TrajectoryError:
    """Compare poses of one frame, at the times at which both have them.

    Args:
        estimated: Its times are compared.
        reference: Interpolated at these times.

    Raises:
        InputError: If less than two of the times are in the reference.

    Source:
        Relative errors as in Geiger et al., CVPR 2012 (KITTI odometry), over one length.
    """
    both = [
        (T, reference.at(stamp))
        for stamp, T in zip(estimated.stamps_ns.tolist(), estimated.T_world_body, strict=True)
        if not reference.problem_at(stamp)
    ]
    if len(both) < 2:
        raise InputError(
            "trajectories must have two times in common or more, got "
            f"{len(both)} of {len(estimated)}: {reference.problem_at(int(estimated.stamps_ns[0]))}"
        )
    ours, theirs = (np.stack(poses) for poses in zip(*both, strict=True))
    step_length = np.linalg.norm(np.diff(theirs[:, :3, 3], axis=0), axis=1)
    travelled = np.concatenate([[0.0], np.cumsum(step_length)])
    length = float(travelled[-1])
    drift_length = min(DRIFT_M, length / 2)
    starts = np.arange(len(ours))
    ends = np.searchsorted(travelled, travelled + drift_length)
    inside = (ends < len(ours)) & (drift_length > 0)
    steps = _errors(ours, theirs, starts[:-1], starts[1:])
    drifts = _errors(ours, theirs, starts[inside], ends[inside])
    return TrajectoryError(*steps, step_length, length, drift_length, *drifts)


def _errors(
    ours: np.ndarray, theirs: np.ndarray, starts: np.ndarray, ends: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return errors of motions from some frames to others: metres, degrees."""
    metres, degrees = [], []
    for start, end in zip(starts.tolist(), ends.tolist(), strict=True):
        motion, expected = (inverse(T[start]) @ T[end] for T in (ours, theirs))
        T = inverse(expected) @ motion
        metres.append(float(np.linalg.norm(T[:3, 3])))
        # The sine is exact for small angles, where the trace is not.
        sine = np.linalg.norm([T[2, 1] - T[1, 2], T[0, 2] - T[2, 0], T[1, 0] - T[0, 1]]) / 2
        degrees.append(float(np.degrees(np.arctan2(sine, (np.trace(T[:3, :3]) - 1) / 2))))
    return np.array(metres), np.array(degrees)
