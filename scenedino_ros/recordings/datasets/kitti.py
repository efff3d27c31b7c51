# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""KITTI: drives in the layouts of the odometry benchmark, of the raw data and of single frames.

Odometry: ``sequences/NN`` with ``calib.txt``, ``times.txt`` and ``image_0`` to ``image_3``, beside
``poses/NN.txt``, poses of camera 0. Raw: ``DATE/DATE_drive_NNNN_sync`` with
``image_0N/data`` and ``oxts``, beside ``calib_cam_to_cam.txt`` and others. Images are rectified,
PNG or JPEG; those of cameras 0 and 1 are grey, those of 2 and 3 colour. Cameras are called
``camera_00`` to ``camera_03``. The object benchmark's layout is in `kitti_pairs`.

Frames: ``base_link`` (x forward, y left, z up) is the IMU in raw drives whose calibration has it;
elsewhere it is at camera 0, whose optical axis is its x axis. The map is ``base_link`` at the
first pose; with oxts, its axes point to the east, to the north and up.
"""

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from scenedino_ros.core.errors import InputError
from scenedino_ros.recordings.datasets.drive import Drive, body_track, refuse_without_poses
from scenedino_ros.recordings.datasets.kitti_oxts import read_oxts
from scenedino_ros.recordings.datasets.kitti_pairs import (
    drives_of_single_frames,
    holds_single_frames,
)
from scenedino_ros.recordings.datasets.kitti_rig import KittiRig, odometry_rig, raw_rig
from scenedino_ros.recordings.datasets.numbered_files import (
    FRAME_PERIOD_NS,
    numbered_files,
    place_of,
    read_stamps,
    read_times,
)
from scenedino_ros.recordings.poses import PoseTrack
from scenedino_ros.recordings.trajectory_files import read_trajectory
from scenedino_ros.recordings.transforms import inverse

AUTO, NO_POSES = "auto", "none"
_CAMERAS = ("00", "01", "02", "03")
_SEQUENCES, _OXTS = "sequences", "oxts/data"
_SUFFIXES = (".png", ".jpg", ".jpeg")
_DATE = re.compile(r"\d{4}_\d{2}_\d{2}")


def find_kitti_drives(folder: Path) -> list[Path]:
    """Return the folders of all drives, by name.

    Args:
        folder: With ``sequences`` (odometry), with dates or drives of the raw data, or one drive.

    Raises:
        InputError: If there is none.
    """
    folder = Path(folder)
    if _image_folders(folder):
        return [folder]
    dates = [path for path in _folders(folder) if _DATE.fullmatch(path.name)]
    places = [folder / _SEQUENCES, folder, *dates]
    drives = [path for place in places for path in _folders(place) if _image_folders(path)]
    if not drives:
        raise InputError(
            f"{folder} must hold {_SEQUENCES}/NN/image_N, DATE/DATE_drive_NNNN_sync/"
            "image_0N/data or training/image_N of KITTI, or be one of these folders"
        )
    return drives


def is_kitti_drive(folder: Path) -> bool:
    """Return whether a folder is one drive."""
    return bool(_image_folders(Path(folder)))


def read_kitti_drives(
    folder: Path, cameras: Sequence[str] = (), *, poses: str | Path = AUTO
) -> list[Drive]:
    """Find the files of one drive, or of a folder of single frames, which may become several.

    Arguments and errors as for `read_kitti_drive`; single frames take no file of poses.
    """
    folder = place_of(folder)
    if not holds_single_frames(folder):
        return [read_kitti_drive(folder, cameras, poses=poses)]
    if poses not in (AUTO, NO_POSES):
        raise InputError(f"--poses is for a drive, but {folder} has single frames")
    images = _images(folder, cameras)
    return drives_of_single_frames(folder, images, with_poses=poses == AUTO)


def read_kitti_drive(
    folder: Path, cameras: Sequence[str] = (), *, poses: str | Path = AUTO
) -> Drive:
    """Find the files of one drive.

    Args:
        folder: ``sequences/NN``, or a raw drive.
        cameras: Numbers such as ``00``; none: all that have images.
        poses: ``auto`` (``poses/NN.txt`` or oxts, where they are), ``none``, or a file with poses
            of camera 0 in TUM's format, or in KITTI's with line i for frame number i.

    Raises:
        InputError: If images, calibration or poses that were asked for are missing, a file is
            not as specified, or its poses are those of no image.
    """
    folder = place_of(folder)
    is_raw = (folder / f"image_{_CAMERAS[0]}").is_dir() or not (folder / "calib.txt").is_file()
    if folder.name.endswith("_extract"):
        raise InputError(f"{folder} must be a rectified drive (_sync), got an unrectified one")
    images = _images(folder, cameras)
    frames = sorted({frame for files in images.values() for frame in files})
    if is_raw:
        rig = raw_rig(folder.parent, list(images))
        stamps = read_stamps(folder, [f"image_{number}" for number in images], frames)
    else:
        first = {number: next(iter(files.values())) for number, files in images.items()}
        rig = odometry_rig(folder / "calib.txt", first)
        stamps = _odometry_stamps(folder / "times.txt", frames)
    track, source = _poses(folder, rig, stamps, poses)
    return Drive(
        folder.name,
        {f"camera_{number}": camera for number, camera in rig.cameras.items()},
        {f"camera_{number}": rig.T_base_cam0 @ T for number, T in rig.T_cam0_cam.items()},
        {f"camera_{number}": files for number, files in images.items()},
        stamps,
        track,
        source,
        rig.T_base_cam0,
    )


def _folders(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.is_dir()) if folder.is_dir() else []


def _image_folders(folder: Path) -> dict[str, Path]:
    """Return the folders of images by the camera's number."""
    found = {}
    for number in _CAMERAS:
        places = (folder / f"image_{int(number)}", folder / f"image_{number}" / "data")
        place = next((path for path in places if path.is_dir()), None)
        if place is not None:
            found[number] = place
    return found


def _images(folder: Path, cameras: Sequence[str]) -> dict[str, dict[int, Path]]:
    found = {
        number: numbered_files(path, *_SUFFIXES) for number, path in _image_folders(folder).items()
    }
    found = {number: files for number, files in found.items() if files}
    for number in cameras or _CAMERAS:
        if number not in found and (cameras or not found):
            raise InputError(
                f"{folder} must have images of camera {number} (PNG or JPEG, named by frame "
                f"number), found those of {', '.join(found) or 'none'}"
            )
    return {number: found[number] for number in cameras or found}


def _odometry_stamps(path: Path, frames: list[int]) -> dict[int, int]:
    if path.is_file():
        return read_times(path, frames)
    return {number: max(number * FRAME_PERIOD_NS, 1) for number in frames}


def _poses(
    folder: Path, rig: KittiRig, stamps: dict[int, int], poses: str | Path
) -> tuple[PoseTrack | None, str]:
    """Return the poses of ``base_link`` and where they come from."""
    if poses == NO_POSES:
        return None, ""
    if poses == AUTO and (folder / _OXTS).is_dir():
        return _oxts(folder / _OXTS, rig, stamps)
    path = folder.parent.parent / "poses" / f"{folder.name}.txt"
    if poses != AUTO:
        path = Path(poses)
    elif not path.is_file():
        return None, ""
    track = read_trajectory(path, stamps)
    refuse_without_poses(track, stamps.values(), path)
    return body_track(track, inverse(rig.T_base_cam0)), str(path)


def _oxts(path: Path, rig: KittiRig, stamps: dict[int, int]) -> tuple[PoseTrack | None, str]:
    if not rig.has_imu:
        raise InputError(
            f"poses from {path} need calib_imu_to_velo.txt and calib_velo_to_cam.txt in "
            f"{path.parents[2]}; without them, choose --poses none or a file"
        )
    found = {number: T for number, T in read_oxts(path).items() if number in stamps}
    if not found:
        raise InputError(f"no packet in {path} has the number of an image")
    times = np.array([stamps[number] for number in found])
    return PoseTrack(times, np.stack([*found.values()])), str(path)
