# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Folders of images of one calibrated camera, or a stereo pair, with a trajectory."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from scenedino_ros.cameras.camera import CalibratedCamera
from scenedino_ros.cameras.image_folder import ImageFolder
from scenedino_ros.core.errors import InputError
from scenedino_ros.recordings.datasets.colmap import (
    ColmapImage,
    read_colmap_camera,
    read_colmap_images,
)
from scenedino_ros.recordings.datasets.drive import Drive, body_track, refuse_without_poses
from scenedino_ros.recordings.poses import PoseTrack, read_tum_trajectory
from scenedino_ros.recordings.trajectory_files import read_kitti_poses
from scenedino_ros.recordings.transforms import inverse

TUM, KITTI, COLMAP, ORB_SLAM3 = "tum", "kitti", "colmap", "orb-slam3"
CAMERA, BODY = "camera", "body"
LEFT, RIGHT = "camera_00", "camera_01"


@dataclass(frozen=True, eq=False)
class FolderTrajectory:
    """A trajectory of the camera or of its body.

    Attributes:
        path: The file; for COLMAP the folder of the text model.
        format: ``tum``, ``kitti``, ``colmap`` or ``orb-slam3``.
        poses_of: ``camera`` (its optical frame) or ``body`` (``base_link``).
        scale: Metres per unit of the trajectory.
        keep_world: Keep the trajectory's own world as the map; otherwise the map is
            ``base_link`` at the first pose.
    """

    path: Path
    format: str
    poses_of: str = CAMERA
    scale: float = 1.0
    keep_world: bool = False

    def __post_init__(self) -> None:
        """Refuse poses of a body from COLMAP, which has none.

        Raises:
            InputError: If the format is COLMAP's and the poses are those of a body.
        """
        if self.format == COLMAP and self.poses_of != CAMERA:
            raise InputError(f"COLMAP's poses are those of the camera, got '{self.poses_of}'")


@dataclass(frozen=True, eq=False)
class FolderCamera:
    """Images of a camera.

    Attributes:
        images: The images.
        camera: Their calibration.
        T_base_cam: (4, 4) optical frame to ``base_link``, metres.
    """

    images: ImageFolder
    camera: CalibratedCamera
    T_base_cam: np.ndarray

    def __post_init__(self) -> None:
        """Refuse a calibration of another image size.

        Raises:
            InputError: Naming both sizes.
        """
        pinhole, images = self.camera.pinhole, self.images
        if (pinhole.width, pinhole.height) != (images.width, images.height):
            raise InputError(
                f"the calibration is for images of {pinhole.width} x {pinhole.height}, but those "
                f"in {images.paths[0].parent} have {images.width} x {images.height}"
            )


def folder_drive(
    name: str,
    left: FolderCamera,
    right: FolderCamera | None,
    stamps_ns: Sequence[int],
    trajectory: FolderTrajectory | None,
) -> Drive:
    """Return the drive in one or two folders; frames are the images of the first by time, from 0.

    Args:
        name: Of the drive.
        left: The camera that the trajectory is of; it is called ``camera_00``.
        right: A second one, ``camera_01``. Its images belong to those of the same name without
            the suffix; if there are no such names, to those of the same place in the order of
            names, which must be that of the times then.
        stamps_ns: Times of the left images, nanoseconds, all different.
        trajectory: Of the left camera, or of the body; None: no poses. Line i of a KITTI file is
            of frame i.

    Raises:
        InputError: If a file is not as specified, or no image has a pose or a partner.
    """
    places = sorted(range(len(stamps_ns)), key=lambda place: stamps_ns[place])
    stamps = {n: stamps_ns[place] for n, place in enumerate(places)}
    paths = tuple(left.images.paths[place] for place in places)
    left = replace(left, images=replace(left.images, paths=paths))
    cameras = {LEFT: left} if right is None else {LEFT: left, RIGHT: right}
    images = {LEFT: dict(enumerate(paths))}
    if right is not None:
        images[RIGHT] = _partners(left.images, right.images, has_order=places == sorted(places))
    track, source = None, ""
    if trajectory is not None:
        track = _track(trajectory, left, stamps)
        what = "camera" if trajectory.poses_of == CAMERA else "body"
        source = (
            f"{trajectory.format} trajectory of the {what} in {trajectory.path}, 1 unit = "
            f"{trajectory.scale:g} m"
        )
    return Drive(
        name,
        {camera: each.camera for camera, each in cameras.items()},
        {camera: each.T_base_cam for camera, each in cameras.items()},
        images,
        stamps,
        track,
        source,
    )


def colmap_calibration(model: Path, images: ImageFolder) -> CalibratedCamera:
    """Return the calibration of a folder's images from a COLMAP model.

    Raises:
        InputError: If its images have no camera in the model, or several.
    """
    found = {image.camera for image in _colmap_images(model, images).values()}
    if len(found) != 1:
        raise InputError(
            f"the images in {images.paths[0].parent} must have one camera in {model}, got cameras "
            f"{', '.join(map(str, sorted(found)))}"
        )
    return read_colmap_camera(model, found.pop())


def parallel_pose(T_base_left: np.ndarray, baseline: float) -> np.ndarray:
    """Return (4, 4) the right camera of a rectified pair to ``base_link``.

    Args:
        T_base_left: (4, 4) left camera to ``base_link``, metres.
        baseline: How far the right camera is to the right of the left one, metres.
    """
    T_left_right = np.eye(4)
    T_left_right[0, 3] = baseline
    return T_base_left @ T_left_right


def _track(trajectory: FolderTrajectory, left: FolderCamera, stamps: dict[int, int]) -> PoseTrack:
    path = trajectory.path
    if trajectory.format in (TUM, ORB_SLAM3):
        track = read_tum_trajectory(path)
    elif trajectory.format == KITTI:
        poses = read_kitti_poses(path)
        if len(poses) != len(stamps):
            raise InputError(
                f"{path} must have a line for each of {len(stamps)} images, got {len(poses)}"
            )
        track = _of_frames(path, dict(enumerate(poses)), stamps)
    else:
        images = _colmap_images(path, left.images)
        track = _of_frames(path, {n: image.T_world_cam for n, image in images.items()}, stamps)
    refuse_without_poses(track, stamps.values(), path)
    T_body_base = np.eye(4) if trajectory.poses_of == BODY else inverse(left.T_base_cam)
    return body_track(track, T_body_base, scale=trajectory.scale, keep_world=trajectory.keep_world)


def _of_frames(path: Path, poses: dict[int, np.ndarray], stamps: dict[int, int]) -> PoseTrack:
    frames = sorted(poses)
    try:
        return PoseTrack(
            np.array([stamps[n] for n in frames]), np.stack([poses[n] for n in frames])
        )
    except InputError as error:
        raise InputError(f"{path}: {error}") from error


def _colmap_images(model: Path, images: ImageFolder) -> dict[int, ColmapImage]:
    """Return the model's images by the place of their file in the folder."""
    folder = images.paths[0].parent.name
    found: dict[str, list[ColmapImage]] = {}
    for image in read_colmap_images(model):
        found.setdefault(Path(image.name).name, []).append(image)
    places = {}
    for place, path in enumerate(images.paths):
        named = found.get(path.name, [])
        if len(named) > 1:  # one in each of several folders
            named = [image for image in named if Path(image.name).parent.name == folder]
        if len(named) == 1:
            places[place] = named[0]
    if not places:
        raise InputError(
            f"{model / 'images.txt'} must name images of {images.paths[0].parent}, such as "
            f"{images.paths[0].name}; got others, such as {next(iter(found))}"
        )
    return places


def _partners(left: ImageFolder, right: ImageFolder, *, has_order: bool) -> dict[int, Path]:
    """Return the right images by the place of the left image that they belong to.

    Args:
        left: The left images, in the order of time.
        right: The right images, in the order of names.
        has_order: Whether the names of the left images have the order of time.

    Raises:
        InputError: If there is none.
    """
    by_name = {path.stem: path for path in right.paths}
    found = {n: by_name[path.stem] for n, path in enumerate(left.paths) if path.stem in by_name}
    if not found and not has_order:
        raise InputError(
            f"images in {right.paths[0].parent} must have the names of those in "
            f"{left.paths[0].parent}, which are not in the order of their times; got others, such "
            f"as {right.paths[0].name}"
        )
    if not found and len(left.paths) == len(right.paths):
        return dict(enumerate(right.paths))
    if not found:
        raise InputError(
            f"images in {right.paths[0].parent} must have the names of those in "
            f"{left.paths[0].parent}, or be as many; got {len(right.paths)} and {len(left.paths)}"
        )
    return found
