# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""A drive of a camera rig as image files on disk, from whichever layout."""

from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from scenedino_ros.cameras.camera import CalibratedCamera
from scenedino_ros.core.errors import InputError
from scenedino_ros.recordings.poses import PoseTrack
from scenedino_ros.recordings.transforms import inverse

# Of a camera that looks ahead: optical axes (x right, y down, z forward) in a body frame with
# ROS's axes (x forward, y left, z up) at the same place.
T_BASE_AHEAD = np.array(
    [[0.0, 0.0, 1.0, 0.0], [-1.0, 0.0, 0.0, 0.0], [0.0, -1.0, 0.0, 0.0], [0.0, 0.0, 0.0, 1.0]]
)


@dataclass(frozen=True, eq=False)
class Drive:
    """A drive. A frame is a number of which at least one camera has an image.

    Attributes:
        name: Name of the drive, and of its recording.
        cameras: Calibration by camera.
        T_base_cam: (4, 4) camera's optical frame to ``base_link``, by camera, metres.
        images: Image file by camera and frame number.
        stamps_ns: Time by frame number, nanoseconds; all frames, ascending.
        track: Poses of ``base_link`` in the map over time; None: no poses.
        pose_source: Where the poses come from, in words; empty: no poses.
        T_base_file: (4, 4) frame whose poses files of this layout hold to ``base_link``, metres.
    """

    name: str
    cameras: dict[str, CalibratedCamera]
    T_base_cam: dict[str, np.ndarray]
    images: dict[str, dict[int, Path]]
    stamps_ns: dict[int, int]
    track: PoseTrack | None = None
    pose_source: str = ""
    T_base_file: np.ndarray = field(default_factory=lambda: np.eye(4))

    @property
    def frames(self) -> list[int]:
        """The frame numbers, ascending."""
        return list(self.stamps_ns)

    def lacking(self) -> dict[str, list[int]]:
        """Return the frames that lack something others have, by what they lack."""
        kinds: dict[str, Collection[int]] = {
            f"image of {name}": files for name, files in self.images.items()
        }
        track = self.track
        if track is not None:
            posed = {n for n, stamp in self.stamps_ns.items() if not track.problem_at(stamp)}
            kinds["pose"] = posed
        lacking = {kind: [n for n in self.frames if n not in has] for kind, has in kinds.items()}
        return {kind: frames for kind, frames in lacking.items() if frames}


def body_track(
    track: PoseTrack, T_body_base: np.ndarray, *, scale: float = 1.0, keep_world: bool = False
) -> PoseTrack:
    """Return the poses of ``base_link`` from those of another frame fixed to the rig.

    Args:
        track: Poses of that frame in its own world.
        T_body_base: (4, 4) ``base_link`` to that frame, metres.
        scale: Metres per unit of the track's positions.
        keep_world: Keep the track's world as the map; otherwise the map is ``base_link`` at the
            first pose.
    """
    poses = track.T_world_body.copy()
    poses[:, :3, 3] *= scale
    poses = poses @ T_body_base
    if not keep_world:
        poses = inverse(poses[0]) @ poses
    stamps = np.maximum(track.stamps_ns, 1)  # zero would mean "latest" in TF
    return PoseTrack(stamps, poses, max_gap_s=track.max_gap_ns / 1e9)


def refuse_without_poses(track: PoseTrack, stamps_ns: Collection[int], path: Path | str) -> None:
    """Refuse a trajectory that has no pose of any image.

    Args:
        track: The trajectory.
        stamps_ns: Times of the images, nanoseconds.
        path: Where the trajectory comes from.

    Raises:
        InputError: Naming the times of both, and what an image between the poses lacks.
    """
    problems = {stamp: track.problem_at(stamp) for stamp in stamps_ns}
    if not all(problems.values()):
        return
    begin, end = (int(track.stamps_ns[place]) for place in (0, -1))
    between = next((why for stamp, why in problems.items() if begin < stamp < end), "")
    first, last = min(stamps_ns), max(stamps_ns)
    raise InputError(
        f"no image has a pose: images are taken from {first / 1e9:.3f} to {last / 1e9:.3f} s, "
        f"poses in {path} go from {begin / 1e9:.3f} to {end / 1e9:.3f} s"
        + (f"; {between}" if between else "")
    )
