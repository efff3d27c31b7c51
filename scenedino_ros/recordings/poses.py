# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""The trajectory of a vehicle: poses over time, interpolated but never across a gap."""

from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from pathlib import Path

import numpy as np

from scenedino_ros.core.errors import InputError
from scenedino_ros.core.reading import read_text, reading, reads
from scenedino_ros.recordings.datasets.kitti360 import read_poses
from scenedino_ros.recordings.transforms import (
    Quaternion,
    matrix_from_numbers,
    matrix_from_rotation,
    numbers_from_matrix,
    slerp,
)

MAX_GAP_S = 0.3  # three frames at 10 Hz
_JUMP_FACTOR = 3.0  # how many times the usual speed around it a step must exceed to be a jump
_NEIGHBOURS = 10  # steps before and after that define the usual speed
_SLOW = 1.0  # metres per second; below this, noise counts as usual
_END_NS = 2**63
_SHOWN = 40  # characters of a damaged word
_NANOSECONDS_FROM = 10**12  # larger times in a file are nanoseconds, as ORB-SLAM3 may write them


class PoseTrack:
    """The pose of a vehicle at every time between its first and last one.

    Attributes:
        stamps_ns: (N,) int64 times, ascending, nanoseconds.
        T_world_body: (N, 4, 4) float64 body to world at those times, metres.
        max_gap_ns: Neighbours further apart than this are not interpolated, nanoseconds.
    """

    def __init__(
        self, stamps_ns: np.ndarray, T_world_body: np.ndarray, *, max_gap_s: float = MAX_GAP_S
    ) -> None:
        """Take over poses.

        Args:
            stamps_ns: (N,) times, strictly ascending, nanoseconds.
            T_world_body: (N, 4, 4) rigid transforms body to world, metres.
            max_gap_s: Longest time between two poses that is still interpolated, seconds.

        Raises:
            InputError: If there is no pose, times do not ascend, or a pose is not rigid.
        """
        self.stamps_ns = np.asarray(stamps_ns, dtype=np.int64)
        self.T_world_body = np.asarray(T_world_body, dtype=np.float64)
        if self.stamps_ns.size == 0:
            raise InputError("a pose track needs at least one pose, got none")
        if self.T_world_body.shape != (*self.stamps_ns.shape, 4, 4):
            raise InputError(
                f"poses must be ({self.stamps_ns.size}, 4, 4) for as many times, "
                f"got {self.T_world_body.shape}"
            )
        late = np.flatnonzero(np.diff(self.stamps_ns) <= 0)
        if late.size:
            raise InputError(
                f"times of poses must ascend, got {self.stamps_ns[late[0] + 1]} ns after "
                f"{self.stamps_ns[late[0]]} ns"
            )
        if not max_gap_s > 0:
            raise InputError(f"the longest gap between poses must be > 0 s, got {max_gap_s}")
        self.max_gap_ns = round(max_gap_s * 1e9)
        self._numbers = [numbers_from_matrix(T) for T in self.T_world_body]

    def __len__(self) -> int:
        return self.stamps_ns.size

    def at(self, stamp_ns: int) -> np.ndarray:
        """Return the pose at a time: positions linearly, rotations spherically interpolated.

        Args:
            stamp_ns: Time, nanoseconds.

        Returns:
            (4, 4) float64 T_world_body, metres.

        Raises:
            InputError: If the time is outside the track, or in a gap.
        """
        problem = self.problem_at(stamp_ns)
        if problem:
            raise InputError(problem)
        place = int(np.searchsorted(self.stamps_ns, stamp_ns))
        if self.stamps_ns[place] == stamp_ns:
            return self.T_world_body[place].copy()
        start, end = int(self.stamps_ns[place - 1]), int(self.stamps_ns[place])
        ratio = (stamp_ns - start) / (end - start)
        first, second = np.array(self._numbers[place - 1]), np.array(self._numbers[place])
        move = first[:3] + ratio * (second[:3] - first[:3])
        turn = slerp(_quaternion(first), _quaternion(second), ratio)
        return matrix_from_rotation(move.tolist(), turn)

    def problem_at(self, stamp_ns: int) -> str:
        """Return why there is no pose at a time, in one sentence; empty if there is one."""
        first, last = int(self.stamps_ns[0]), int(self.stamps_ns[-1])
        if stamp_ns < first:
            return (
                f"poses begin at {_seconds(first)} s, {_seconds(first - stamp_ns)} s after "
                f"{_seconds(stamp_ns)} s"
            )
        if stamp_ns > last:
            return (
                f"poses end at {_seconds(last)} s, {_seconds(stamp_ns - last)} s before "
                f"{_seconds(stamp_ns)} s"
            )
        place = int(np.searchsorted(self.stamps_ns, stamp_ns))
        if self.stamps_ns[place] == stamp_ns:
            return ""
        gap = int(self.stamps_ns[place] - self.stamps_ns[place - 1])
        if gap <= self.max_gap_ns:
            return ""
        return (
            f"poses around {_seconds(stamp_ns)} s are {_seconds(gap)} s apart, and may be "
            f"{_seconds(self.max_gap_ns)} s apart at most"
        )

    def of_frame(self, T_body_frame: np.ndarray) -> "PoseTrack":
        """Return the poses of a frame fixed to the body.

        Args:
            T_body_frame: (4, 4) frame to body, metres.
        """
        return PoseTrack(
            self.stamps_ns, self.T_world_body @ T_body_frame, max_gap_s=self.max_gap_ns / 1e9
        )


def pose_jumps(stamps_ns: np.ndarray, T_world_body: np.ndarray) -> np.ndarray:
    """Find steps that no vehicle takes: relocalisation and loop closure of the odometry.

    A step is compared by its speed, so that frames missing in between do not make it a jump. The
    usual speed is the median of the steps around it.

    Args:
        stamps_ns: (N,) ascending times, nanoseconds.
        T_world_body: (N, 4, 4) poses, metres.

    Returns:
        (N - 1,) bool, True where the step from one pose to the next is a jump.
    """
    positions = np.asarray(T_world_body)[:, :3, 3]
    seconds = np.diff(np.asarray(stamps_ns, dtype=np.int64)) / 1e9
    speeds = np.linalg.norm(np.diff(positions, axis=0), axis=1) / seconds
    if speeds.size == 0:
        return np.zeros(0, dtype=bool)
    padded = np.pad(speeds, _NEIGHBOURS, constant_values=np.nan)
    around = np.lib.stride_tricks.sliding_window_view(padded, 2 * _NEIGHBOURS + 1)
    usual = np.nanmedian(around, axis=1)  # (N - 1,)
    return np.asarray(speeds > _JUMP_FACTOR * np.maximum(usual, _SLOW))


@reads("pose file")
def read_numbered_poses(
    path: Path, stamps_ns: Mapping[int, int], *, max_gap_s: float = MAX_GAP_S
) -> PoseTrack:
    """Read a pose file of KITTI-360: a frame number, and a row-major 3x4 or 4x4 matrix per line.

    ``poses.txt`` holds T_world_imu (x forward, y right, z down), ``cam0_to_world.txt`` the poses
    of rectified camera 00. The published ORB-SLAM3 poses of KITTI-360 are T_world_imu, too, of
    every frame; what ORB-SLAM3 itself writes, `read_tum_trajectory` reads. Frames without a pose
    are gaps of the track.

    Args:
        path: The file.
        stamps_ns: Time of every frame number, nanoseconds; lines of other frames are left out.
        max_gap_s: As for `PoseTrack`.

    Raises:
        InputError: If a line is not as specified, or none of the frames has a time.
    """
    found = read_poses(path)
    poses = {n: T for n, T in found.items() if n in stamps_ns}
    if not poses:
        raise InputError(
            f"{path} must have poses of frames {min(stamps_ns)} to {max(stamps_ns)}, got "
            + (f"those of {min(found)} to {max(found)}" if found else "none")
        )
    numbers = sorted(poses, key=lambda number: stamps_ns[number])
    return PoseTrack(
        np.array([stamps_ns[n] for n in numbers]),
        np.stack([poses[n] for n in numbers]),
        max_gap_s=max_gap_s,
    )


@reads("pose file")
def read_tum_trajectory(path: Path, *, max_gap_s: float = MAX_GAP_S) -> PoseTrack:
    """Read a trajectory in TUM's format: ``time x y z qx qy qz qw`` per line.

    Times are seconds, or nanoseconds where they are larger than 1e12, as ORB-SLAM3 writes them
    for some cameras. Lines that begin with ``#`` are comments.

    Args:
        path: The file.
        max_gap_s: As for `PoseTrack`.

    Raises:
        InputError: If it cannot be read, a line has not eight numbers, a quaternion is not of
            unit length, or times do not ascend.
    """
    stamps, poses = [], []
    for number, line in enumerate(_read_lines(path), start=1):
        words = line.split()
        if not words or words[0].startswith("#"):
            continue
        if len(words) != 8:
            raise InputError(
                f"{path} line {number}: expected time x y z qx qy qz qw, got {len(words)} values"
            )
        try:
            stamps.append(_nanoseconds(words[0]))
            poses.append(matrix_from_numbers([float(word) for word in words[1:]]))
        except (ValueError, InvalidOperation, OverflowError) as error:
            raise InputError(f"{path} line {number}: {error}") from error
    if not poses:
        raise InputError(f"{path} holds no poses")
    try:
        return PoseTrack(np.array(stamps), np.stack(poses), max_gap_s=max_gap_s)
    except InputError as error:
        raise InputError(f"{path}: {error}") from error


def _nanoseconds(word: str) -> int:
    """Return a time exactly; a float would round it to a fifth of a microsecond."""
    time = Decimal(word)
    found = time if time >= _NANOSECONDS_FROM else time * 1_000_000_000
    if not -_END_NS < found < _END_NS:  # converting 1e1000000 to an integer takes for ever
        raise ValueError(f"a time must be below 2^63 ns, got {word[:_SHOWN]}")
    return round(found)


def _read_lines(path: Path) -> list[str]:
    with reading(str(path)):
        return read_text(path).splitlines()


def _quaternion(numbers: np.ndarray) -> Quaternion:
    x, y, z, w = numbers[3:].tolist()
    return x, y, z, w


def _seconds(nanoseconds: int) -> str:
    return f"{nanoseconds / 1e9:.3f}"
