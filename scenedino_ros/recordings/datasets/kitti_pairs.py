# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""KITTI's object benchmark: single frames of many streets, mostly stereo pairs, as drives.

A folder (``training``, ``testing``) has ``image_2`` (left, colour) and ``image_3`` (right) with
files named by frame number, and ``calib/NNNNNN.txt`` for each frame. The frames are from many
drives, and in no order. Those with one calibration become one drive, in which a frame is a
kilometre and a hundred seconds from the next: nothing takes two of them for views of one place.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from scenedino_ros.core.errors import InputError
from scenedino_ros.recordings.datasets.drive import Drive
from scenedino_ros.recordings.datasets.kitti_rig import KittiRig, odometry_rig
from scenedino_ros.recordings.datasets.numbered_files import FIRST_STAMP_NS
from scenedino_ros.recordings.poses import PoseTrack

APART_M, APART_NS = 1000.0, 100_000_000_000  # between two frames

_CALIBRATIONS = "calib"


def holds_single_frames(folder: Path) -> bool:
    """Return whether a folder is of the object benchmark."""
    return (folder / _CALIBRATIONS).is_dir()


def drives_of_single_frames(
    folder: Path,
    images: dict[str, dict[int, Path]],
    *,
    with_poses: bool,
) -> list[Drive]:
    """Sort frames into drives by their calibration.

    Args:
        folder: With ``calib``.
        images: Image files by the camera's number and frame number.
        with_poses: Whether the drives have the poses that keep frames apart.

    Returns:
        The drives, each named by the folder and its first frame.

    Raises:
        InputError: If a frame lacks an image or its calibration, or that is none.
    """
    groups: dict[bytes, list[int]] = {}
    rigs: dict[bytes, KittiRig] = {}
    for frame in sorted({frame for files in images.values() for frame in files}):
        path = folder / _CALIBRATIONS / f"{frame:06d}.txt"
        lacking = [number for number, files in images.items() if frame not in files]
        if lacking:
            raise InputError(
                f"{folder} must have an image of every camera for frame {frame}, found none of "
                f"{', '.join(lacking)}"
            )
        rig = odometry_rig(path, {number: files[frame] for number, files in images.items()})
        key = _key(rig)
        rigs.setdefault(key, rig)
        groups.setdefault(key, []).append(frame)
    return [
        _drive(folder.name, rigs[key], images, frames, with_poses)
        for key, frames in groups.items()
    ]


def _key(rig: KittiRig) -> bytes:
    mounted = b"".join(T.tobytes() for T in rig.T_cam0_cam.values())
    return repr([camera.key() for camera in rig.cameras.values()]).encode() + mounted


def _drive(
    name: str,
    rig: KittiRig,
    images: dict[str, dict[int, Path]],
    frames: Sequence[int],
    with_poses: bool,
) -> Drive:
    stamps = {frame: FIRST_STAMP_NS + order * APART_NS for order, frame in enumerate(frames)}
    poses = np.tile(np.eye(4), (len(frames), 1, 1))
    poses[:, 0, 3] = APART_M * np.arange(len(frames))
    return Drive(
        f"{name}_{frames[0]:06d}",
        {f"camera_{number}": camera for number, camera in rig.cameras.items()},
        {f"camera_{number}": rig.T_base_cam0 @ T for number, T in rig.T_cam0_cam.items()},
        {
            f"camera_{number}": {frame: files[frame] for frame in frames}
            for number, files in images.items()
        },
        stamps,
        PoseTrack(np.array([*stamps.values()]), poses) if with_poses else None,
        f"none in the data set; frames are put {APART_M:g} m apart" if with_poses else "",
        rig.T_base_cam0,
    )
