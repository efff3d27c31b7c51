# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Where the poses of a recording come from: its transforms, its odometry, or a file."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from scenedino_ros.core.errors import InputError, TransformError
from scenedino_ros.core.reading import reading
from scenedino_ros.recordings.poses import (
    MAX_GAP_S,
    PoseTrack,
    read_numbered_poses,
    read_tum_trajectory,
)
from scenedino_ros.recordings.recording import Recording
from scenedino_ros.recordings.transforms import matrix_from_numbers, nanoseconds

FILE_KINDS = ("kitti360", "orbslam3", "tum")
KINDS = ("auto", "tf", "odometry", *FILE_KINDS)


@dataclass(frozen=True)
class PoseSource:
    """Which poses to take.

    Attributes:
        kind: ``tf``, ``odometry``, the form of a file (``kitti360``, ``orbslam3``, ``tum``), or
            ``auto``: transforms where they contain the motion of the body, else odometry.
        world_frame: Frame that does not move, of ``tf``; empty: the topmost above the body.
        topic: Topic of the odometry; empty: the only one.
        file: The pose file.
        file_frame: Frame whose poses the file holds; empty: the body.
        first_frame: Number that a file with frame numbers has for the first image of the first
            camera; missing images count, too.
        max_gap_s: Longest time between two poses that is interpolated, seconds.
    """

    kind: str = "auto"
    world_frame: str = ""
    topic: str = ""
    file: Path | None = None
    file_frame: str = ""
    first_frame: int = 0
    max_gap_s: float = MAX_GAP_S

    def __post_init__(self) -> None:
        """Refuse an unknown kind, and a file with a kind that reads none.

        Raises:
            InputError: Naming what was expected and what came.
        """
        if self.kind not in KINDS:
            raise InputError(f"poses must be {', '.join(KINDS)}, got '{self.kind}'")
        if (self.kind in FILE_KINDS) != (self.file is not None):
            raise InputError(
                f"a pose file goes with the poses {', '.join(FILE_KINDS)}, "
                f"got '{self.kind}' {'without' if self.file is None else 'with'} a file"
            )


def find_poses(recording: Recording, source: PoseSource, body_frame: str) -> tuple[PoseTrack, str]:
    """Return the trajectory of the body during a recording.

    Args:
        recording: The recording.
        source: Which poses to take.
        body_frame: Frame of the vehicle.

    Returns:
        The poses, and a description of their source.

    Raises:
        InputError: If there are no such poses, or they cannot be used.
        TransformError: If no transform connects the body with the frame of the poses.
    """
    if source.file is not None:
        return _from_file(recording, source, source.file, body_frame)
    chain = _moving_chain(recording, source.world_frame, body_frame)
    if source.kind == "tf" or (source.kind == "auto" and chain):
        return _from_transforms(recording, source, body_frame, chain)
    if source.kind == "odometry" or recording.index.odometry:
        return _from_odometry(recording, source, body_frame)
    known = ", ".join(recording.index.tree.frames()) or "none"
    raise InputError(
        f"{recording.path} does not contain the motion of '{body_frame}': there is no odometry, "
        f"and no transform on /tf above it (frames: {known})"
    )


def _moving_chain(recording: Recording, world_frame: str, body_frame: str) -> list[str]:
    """Return the frames from the body up to the world that move in their parent."""
    parents, name, chain = recording.index.parents, body_frame, []
    seen = {name}
    while name in parents and name != world_frame:
        if name in recording.index.moving:
            chain.append(name)
        name = parents[name]
        if name in seen:
            raise InputError(f"the frames above '{body_frame}' form a loop")
        seen.add(name)
    return chain if not world_frame or name == world_frame else []


def _from_transforms(
    recording: Recording, source: PoseSource, body_frame: str, chain: list[str]
) -> tuple[PoseTrack, str]:
    index = recording.index
    world = source.world_frame or _topmost(index.parents, body_frame)
    if not chain:
        raise InputError(
            f"{recording.path} has no transforms on /tf that move '{body_frame}' in '{world}'; "
            f"its frames are {', '.join(index.tree.frames()) or 'none'}"
        )
    # The link with the most messages defines the times of the poses; slower ones, such as map
    # to odom, are interpolated at these times.
    fastest = max(chain, key=lambda child: len(index.moving[child]))
    stamps, poses = [], []
    for stamp in sorted(set(index.moving[fastest])):
        try:
            poses.append(index.tree.lookup(world, body_frame, stamp))
        except TransformError:
            continue  # before or after one of the slower links
        stamps.append(stamp)
    if not poses:
        raise InputError(
            f"transforms from '{body_frame}' to '{world}' are never known at the same time"
        )
    track = PoseTrack(np.array(stamps), np.stack(poses), max_gap_s=source.max_gap_s)
    return track, f"transforms from {body_frame} to {world}"


def _topmost(parents: dict[str, str], frame: str) -> str:
    while frame in parents:
        frame = parents[frame]
    return frame


def _from_odometry(
    recording: Recording, source: PoseSource, body_frame: str
) -> tuple[PoseTrack, str]:
    odometry = recording.index.odometry
    known = ", ".join(odometry) or "none"
    if not source.topic and len(odometry) != 1:
        raise InputError(
            f"{recording.path} must have one odometry topic, or one must be chosen; it has {known}"
        )
    topic = source.topic or next(iter(odometry))
    if topic not in odometry:
        raise InputError(f"{recording.path} has no odometry on '{topic}'; it has {known}")
    with reading(f"the odometry on {topic}"):  # of a recorded definition
        by_stamp = {nanoseconds(m.header.stamp): m for m in odometry[topic]}
        messages = [by_stamp[stamp] for stamp in sorted(by_stamp)]
        track = PoseTrack(
            np.array(sorted(by_stamp)),
            np.stack([_matrix_of_pose(message.pose.pose) for message in messages]),
            max_gap_s=source.max_gap_s,
        )
        child = messages[0].child_frame_id or body_frame
    return _of_body(recording, track, child, body_frame), f"odometry on {topic}"


def _from_file(
    recording: Recording, source: PoseSource, file: Path, body_frame: str
) -> tuple[PoseTrack, str]:
    if source.kind == "tum":
        track = read_tum_trajectory(file, max_gap_s=source.max_gap_s)
    else:
        images = next(iter(recording.cameras.values())).images
        numbers = images.numbers(source.first_frame)
        stamps = dict(zip(numbers, images.stamps_ns.tolist(), strict=True))
        track = read_numbered_poses(file, stamps, max_gap_s=source.max_gap_s)
    track = _of_body(recording, track, source.file_frame or body_frame, body_frame)
    return track, f"{source.kind} file {file.name}"


def _of_body(recording: Recording, track: PoseTrack, frame: str, body_frame: str) -> PoseTrack:
    if frame == body_frame:
        return track
    T_frame_body = recording.index.tree.lookup(frame, body_frame, int(track.stamps_ns[0]))
    return track.of_frame(T_frame_body)


def _matrix_of_pose(pose: Any) -> np.ndarray:
    """Return the (4, 4) matrix of a geometry_msgs/Pose."""
    move, turn = pose.position, pose.orientation
    return matrix_from_numbers((move.x, move.y, move.z, turn.x, turn.y, turn.z, turn.w))
