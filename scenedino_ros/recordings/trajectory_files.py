# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Files of trajectories: TUM's, ORB-SLAM3's and KITTI's, read and written.

A TUM file has ``time x y z qx qy qz qw`` per line; ORB-SLAM3 writes the same, for some cameras
with nanoseconds. A KITTI file has a row-major 3x4 matrix per frame, and no times. Lines that begin
with ``#`` are comments.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from scenedino_ros.core.errors import InputError
from scenedino_ros.core.files import write_atomically
from scenedino_ros.core.reading import reads
from scenedino_ros.recordings.datasets.kitti360_calibration import numbers, read_text, rigid
from scenedino_ros.recordings.poses import PoseTrack, read_tum_trajectory
from scenedino_ros.recordings.transforms import numbers_from_matrix

_TUM_VALUES, _KITTI_VALUES = 8, 12


@reads("pose file")
def read_trajectory(path: Path, stamps_ns: Mapping[int, int]) -> PoseTrack:
    """Read a trajectory in TUM's or KITTI's format, which the numbers in a line distinguish.

    Args:
        path: The file.
        stamps_ns: Time by frame number, nanoseconds, ascending; line i of a KITTI file is the
            pose of frame i, comments not counted, and lines of other frames are left out.

    Raises:
        InputError: If it has another number of values per line, or cannot be used.
    """
    count = _values_per_line(path)
    if count == _TUM_VALUES:
        return read_tum_trajectory(path)
    if count != _KITTI_VALUES:
        raise InputError(
            f"{path} must have {_TUM_VALUES} values per line (TUM: time x y z qx qy qz qw) or "
            f"{_KITTI_VALUES} (KITTI: a 3x4 matrix), got {count}"
        )
    poses = read_kitti_poses(path)
    if max(stamps_ns) >= len(poses):
        raise InputError(
            f"{path} has {len(poses)} lines, too few for the image of frame {max(stamps_ns)}"
        )
    try:
        chosen = np.stack([poses[number] for number in stamps_ns])
        return PoseTrack(np.array([*stamps_ns.values()]), chosen)
    except InputError as error:
        raise InputError(f"{path}: {error}") from error


@reads("pose file")
def read_kitti_poses(path: Path) -> list[np.ndarray]:
    """Return the (4, 4) poses of a file in KITTI's format, one for each line.

    Raises:
        InputError: If a line has not 12 numbers.
    """
    poses = []
    for number, line in enumerate(read_text(path).splitlines(), start=1):
        if _is_comment(line):
            continue
        values = numbers(line, path)
        if values.size not in (0, _KITTI_VALUES):
            raise InputError(
                f"{path} line {number}: expected the 12 numbers of a 3x4 matrix, got {values.size}"
            )
        if values.size:
            poses.append(rigid(values))
    return poses


def write_tum_trajectory(path: Path, stamps_ns: Sequence[int], poses: np.ndarray) -> None:
    """Write a trajectory in TUM's format, atomically; times are exact seconds.

    Args:
        path: The file.
        stamps_ns: (N,) times, nanoseconds.
        poses: (N, 4, 4) rigid transforms, metres.
    """
    lines = ["# time x y z qx qy qz qw"]
    for stamp, T in zip(stamps_ns, poses, strict=True):
        seconds, rest = divmod(int(stamp), 1_000_000_000)
        values = " ".join(f"{value:.9f}" for value in numbers_from_matrix(T))
        lines.append(f"{seconds}.{rest:09d} {values}")
    write_atomically(path, ("\n".join(lines) + "\n").encode())


def write_kitti_trajectory(path: Path, poses: np.ndarray) -> None:
    """Write (N, 4, 4) rigid transforms, metres, in KITTI's format, atomically."""
    lines = [" ".join(f"{value:.9e}" for value in T[:3].reshape(-1)) for T in poses]
    write_atomically(path, ("\n".join(lines) + "\n").encode())


def _is_comment(line: str) -> bool:
    return line.lstrip().startswith("#")


def _values_per_line(path: Path) -> int:
    """Return how many values the first line has that is no comment.

    Raises:
        InputError: If there is none.
    """
    for line in read_text(path).splitlines():
        if line.strip() and not _is_comment(line):
            return len(line.split())
    raise InputError(f"{path} holds no poses")
