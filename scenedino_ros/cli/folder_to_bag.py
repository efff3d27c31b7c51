# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Convert images in a folder into a rosbag2 recording, with calibration and trajectory.

Images may be grey or colour, of one camera or of a stereo pair (--right). Their order is that of
their times, where names or a file with names state these, and otherwise that of their names:
frame_2 comes before frame_10. Poses come from a TUM, KITTI or ORB-SLAM3 file or from a COLMAP text
model (its folder, with cameras.txt and images.txt, which also calibrates the images). TUM and
ORB-SLAM3 state times, which must be of the images' clock; line i of a KITTI file is the pose of
image i in this order; COLMAP names images.

COLMAP and monocular ORB-SLAM3 do not know the scale of the world: --scale states the metres of
their unit. Without a trajectory the recording has no poses; for a stereo pair, 'scenedino poses'
estimates them. The same command resumes an interrupted conversion.
"""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from scenedino_ros.cli.drive_conversion import add_split_size, convert_drives
from scenedino_ros.cli.kitti_to_bag import drive_conversion
from scenedino_ros.core.errors import InputError
from scenedino_ros.terminal.arguments import add_calibration, add_output
from scenedino_ros.terminal.values import numbers, positive

if TYPE_CHECKING:
    from scenedino_ros.cameras.camera import CalibratedCamera
    from scenedino_ros.cameras.image_folder import ImageFolder
    from scenedino_ros.recordings.datasets.folder import FolderCamera, FolderTrajectory

_EPILOG = """\
examples:
  scenedino folder-to-bag images -o drive --camera-info camera.yaml --rate 10 \\
      --trajectory poses.txt --format kitti
  scenedino folder-to-bag rgb -o drive --intrinsics 525,525,319.5,239.5 --times-from-names \\
      --trajectory groundtruth.txt --format tum --poses-of camera
  scenedino folder-to-bag images -o drive --rate 30 --trajectory sparse/0 --format colmap \\
      --scale 0.42
  scenedino folder-to-bag left --right right -o drive --camera-info left.yaml \\
      --right-camera-info right.yaml --rectified --times times.txt
"""
_POSE = "x,y,z,qx,qy,qz,qw"
_FORMATS = ("tum", "kitti", "colmap", "orb-slam3")
_UNITS = ("auto", "s", "ms", "us", "ns")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.epilog = _EPILOG
    parser.add_argument("images", type=Path, help="folder of the images, of the left camera")
    add_output(parser, "the recording; must not exist")
    _add_camera_arguments(parser.add_argument_group("cameras"))
    _add_time_arguments(parser.add_argument_group("times (one of the first three is needed)"))
    _add_pose_arguments(parser.add_argument_group("poses"))
    add_split_size(parser)


def _add_camera_arguments(group: argparse._ArgumentGroup) -> None:
    add_calibration(group)
    group.add_argument(
        "--rectified", action="store_true", help="the images are rectified: use P, not K and D"
    )
    group.add_argument("--right", type=Path, metavar="FOLDER", help="images of the right camera")
    group.add_argument(
        "--right-camera-info",
        type=Path,
        metavar="FILE",
        help="its calibration (default: that of the left camera)",
    )
    place = group.add_mutually_exclusive_group()
    place.add_argument(
        "--baseline",
        type=positive,
        metavar="METRES",
        help="how far the right camera of a rectified pair is to the right of the left one "
        "(default: what P in --right-camera-info states)",
    )
    place.add_argument(
        "--right-pose",
        type=numbers(_POSE),
        metavar=_POSE,
        help="pose of the right camera in the left camera's optical frame",
    )
    group.add_argument(
        "--camera-pose",
        type=numbers(_POSE),
        metavar=_POSE,
        help="pose of the left camera's optical frame in base_link (default: at its origin, "
        "looking along its x axis)",
    )


def _add_time_arguments(group: argparse._ArgumentGroup) -> None:
    source = group.add_mutually_exclusive_group(required=True)
    source.add_argument("--rate", type=positive, metavar="HZ", help="images per second")
    source.add_argument(
        "--times",
        type=Path,
        metavar="FILE",
        help="a line for each image: its time, in the order of names, or its time and its name",
    )
    source.add_argument(
        "--times-from-names",
        action="store_true",
        help="the last number in the name of an image is its time",
    )
    group.add_argument(
        "--time-unit",
        choices=_UNITS,
        default="auto",
        help="of these times (default: s, or ns where larger than 1e12)",
    )


def _add_pose_arguments(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--trajectory", type=Path, metavar="PATH", help="file, or folder of a COLMAP text model"
    )
    group.add_argument("--format", choices=_FORMATS, help="of the trajectory")
    group.add_argument(
        "--poses-of",
        choices=("camera", "body"),
        help="the left camera's optical frame, or base_link (default: camera; needed for tum)",
    )
    group.add_argument(
        "--scale",
        type=positive,
        metavar="METRES",
        help="metres per unit of the trajectory (default: 1; needed for colmap)",
    )
    group.add_argument(
        "--keep-world",
        action="store_true",
        help="the trajectory's world (with z up) becomes the map; otherwise the map is base_link "
        "at the first pose",
    )


def run(options: argparse.Namespace) -> int:
    """Convert the folder."""
    # Imported here because it takes a while; help and wrong arguments do not wait for it.
    from scenedino_ros.recordings.datasets.folder import folder_drive

    _check(options)
    trajectory = _trajectory(options)
    left = _left_camera(options)
    right = _right_camera(options, left) if options.right else None
    drive = folder_drive(
        options.output.name, left, right, _times(options, left.images), trajectory
    )
    convert_drives(
        [drive_conversion(drive, options.output)],
        options.output.parent,
        options.split_size,
        "choose another folder",
    )
    return 0


def _check(options: argparse.Namespace) -> None:
    """Refuse options that do not go together.

    Raises:
        InputError: Saying what is needed.
    """
    given = [
        f"--{name.replace('_', '-')}"
        for name in ("format", "poses_of", "scale", "keep_world")
        if getattr(options, name)
    ]
    if options.trajectory is None and given:
        raise InputError(f"{', '.join(given)} must go with --trajectory, got none")
    if options.trajectory is not None and options.format is None:
        raise InputError(f"--trajectory needs --format, one of {', '.join(_FORMATS)}")
    if options.format == "tum" and options.poses_of is None:
        raise InputError("--format tum needs --poses-of: poses may be those of camera or body")
    if options.format == "colmap" and options.scale is None:
        raise InputError(
            "--format colmap needs --scale, the metres per unit of the model: COLMAP does not "
            "know the scale of the world"
        )
    right = ("right_camera_info", "baseline", "right_pose")
    if options.right is None and any(getattr(options, name) for name in right):
        raise InputError(
            "--right-camera-info, --baseline and --right-pose must go with --right, got none"
        )
    no_camera = options.intrinsics is None and options.camera_info is None
    if no_camera and options.format != "colmap":
        raise InputError("the images need a calibration: --intrinsics or --camera-info")


def _trajectory(options: argparse.Namespace) -> "FolderTrajectory | None":
    from scenedino_ros.recordings.datasets.folder import CAMERA, FolderTrajectory

    if options.trajectory is None:
        return None
    return FolderTrajectory(
        options.trajectory,
        options.format,
        options.poses_of or CAMERA,
        options.scale or 1.0,
        options.keep_world,
    )


def _left_camera(options: argparse.Namespace) -> "FolderCamera":
    from scenedino_ros.cameras.image_folder import read_image_folder
    from scenedino_ros.recordings.datasets.drive import T_BASE_AHEAD
    from scenedino_ros.recordings.datasets.folder import FolderCamera
    from scenedino_ros.recordings.transforms import matrix_from_numbers

    images = read_image_folder(options.images)
    pose = options.camera_pose
    T_base_cam = T_BASE_AHEAD if pose is None else matrix_from_numbers(pose)
    return FolderCamera(images, _calibration(options, images), T_base_cam)


def _right_camera(options: argparse.Namespace, left: "FolderCamera") -> "FolderCamera":
    from scenedino_ros.cameras.camera_file import baseline_from_yaml, camera_from_yaml
    from scenedino_ros.cameras.image_folder import read_image_folder
    from scenedino_ros.recordings.datasets.folder import FolderCamera, parallel_pose
    from scenedino_ros.recordings.transforms import matrix_from_numbers

    path = options.right_camera_info
    camera = camera_from_yaml(path, rectified=options.rectified) if path else left.camera
    if options.right_pose is not None:
        T_base_cam = left.T_base_cam @ matrix_from_numbers(options.right_pose)
    elif options.baseline is not None:
        T_base_cam = parallel_pose(left.T_base_cam, options.baseline)
    elif path and options.rectified:
        T_base_cam = parallel_pose(left.T_base_cam, baseline_from_yaml(path))
    else:
        raise InputError(
            "--right needs the place of the right camera: --baseline or --right-pose, or "
            "--right-camera-info with --rectified"
        )
    return FolderCamera(read_image_folder(options.right), camera, T_base_cam)


def _calibration(options: argparse.Namespace, images: "ImageFolder") -> "CalibratedCamera":
    from scenedino_ros.cameras.camera_file import camera_from_yaml
    from scenedino_ros.cameras.plausibility import camera_from_intrinsics
    from scenedino_ros.recordings.datasets.folder import colmap_calibration

    if options.camera_info is not None:
        return camera_from_yaml(options.camera_info, rectified=options.rectified)
    if options.intrinsics is not None:
        return camera_from_intrinsics(options.intrinsics, images.width, images.height)
    return colmap_calibration(options.trajectory, images)


def _times(options: argparse.Namespace, images: "ImageFolder") -> list[int]:
    from scenedino_ros.recordings.datasets.image_times import (
        read_image_times,
        times_at_rate,
        times_of_names,
    )

    if options.times is not None:
        return read_image_times(options.times, images.paths, options.time_unit)
    if options.times_from_names:
        return times_of_names(images.paths, options.time_unit)
    return times_at_rate(len(images.paths), options.rate)
