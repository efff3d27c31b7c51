# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""KITTI-360: one drive's images, class maps, scans and poses on disk.

Two layouts are read: the official one (``data_2d_raw/<drive>`` beside ``calibration``,
``data_poses``, ``data_3d_raw`` and ``data_2d_semantics``), and one folder that holds ``image_00``,
``calibration``, ``velodyne_points`` and a pose file. Frames of reference: `kitti360_calibration`.

Where a drive has no full-size images, those that the published training makes of them are read:
``image_0N/data_192x640`` (of fisheyes ``data_192x640_0x-15``, which a pinhole camera turned by 0
and -15 degrees sees), with the calibration scaled to them.

All sensors are triggered together, and files of one frame number belong together. So a frame has
one stamp, that of its first camera; the stamps in the files differ by a few milliseconds.
"""

import re
from collections.abc import Collection
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from scenedino_ros.cameras.camera import CalibratedCamera
from scenedino_ros.cameras.fisheye import virtual_rotation
from scenedino_ros.cameras.image_folder import read_pixels
from scenedino_ros.core.errors import InputError
from scenedino_ros.core.labels import kitti360_train_ids
from scenedino_ros.core.reading import reads, require_file
from scenedino_ros.recordings.datasets.kitti360_calibration import (
    CAMERAS,
    T_BASE_IMU,
    Kitti360Calibration,
    numbers,
    read_calibration,
    read_text,
    rigid,
)
from scenedino_ros.recordings.datasets.kitti360_folders import (
    PREPROCESSED,
    PREPROCESSED_FISHEYE,
    RAW,
    dataset_root,
    is_preprocessed,
    picture_folder,
)
from scenedino_ros.recordings.datasets.numbered_files import numbered_files, place_of, read_stamps
from scenedino_ros.recordings.transforms import inverse

AUTO, NO_POSES = "auto", "none"
# Folders with poses, in the order of the search, by the name of the source.
_POSE_FOLDERS = {"official": "data_poses", "orb-slam": "orb_slam_poses"}
POSE_SOURCES = (AUTO, *_POSE_FOLDERS, NO_POSES)
_BODY_POSES, _CAMERA_POSES = "poses.txt", "cam0_to_world.txt"
_TRAIN_ID_OF_ID = kitti360_train_ids(np.arange(256)).astype(np.uint8)  # -1 becomes 255


@dataclass(frozen=True, eq=False)
class Kitti360Drive:
    """One drive on disk. A frame is a number of which at least one camera has an image.

    Attributes:
        name: Name of its folder.
        calibration: The rig.
        camera_images: Image file by camera (``image_00``) and frame number.
        labels: File of KITTI-360 label ids by camera and frame number, where there is one.
        scans: Velodyne file by frame number, where there is one.
        stamps_ns: Time by frame number, nanoseconds; all frames, ascending.
        T_map_base: (4, 4) pose of ``base_link`` by frame number, where the pose file has one; the
            map is the pose of ``base_link`` at the first of them. Empty: no poses.
        pose_file: The file of the poses; None: no poses.
    """

    name: str
    calibration: Kitti360Calibration
    camera_images: dict[str, dict[int, Path]]
    labels: dict[str, dict[int, Path]]
    scans: dict[int, Path]
    stamps_ns: dict[int, int]
    T_map_base: dict[int, np.ndarray]
    pose_file: Path | None

    @property
    def frames(self) -> list[int]:
        """The frame numbers, ascending."""
        return list(self.stamps_ns)

    @property
    def images(self) -> dict[int, Path]:
        """Image file of ``image_00`` by frame number."""
        return self.camera_images.get(CAMERAS[0], {})

    def posed(self) -> "Kitti360Drive":
        """Return the drive without the frames that have no pose; itself, if it has no poses."""
        if self.pose_file is None:
            return self
        stamps = {number: ns for number, ns in self.stamps_ns.items() if number in self.T_map_base}
        return replace(self, stamps_ns=stamps)

    def lacking(self) -> dict[str, list[int]]:
        """Return the frames that lack something others have, by what they lack."""
        kinds: dict[str, Collection[int]] = {}
        kinds |= {f"image of {name}": files for name, files in self.camera_images.items()}
        kinds |= {f"class map of {name}": files for name, files in self.labels.items()}
        kinds |= {"scan": self.scans} if self.scans else {}
        kinds |= {"pose": self.T_map_base} if self.pose_file else {}
        lacking = {kind: [n for n in self.frames if n not in has] for kind, has in kinds.items()}
        return {kind: frames for kind, frames in lacking.items() if frames}


def only_drive(folder: Path) -> Path:
    """Return the folder of a drive, given that folder or a data set with one drive.

    Raises:
        InputError: If a data set has several drives; they are named.
    """
    if not (dataset_root(folder) / RAW).is_dir():
        return Path(folder)
    drives = find_drives(folder)
    if len(drives) > 1:
        raise InputError(
            f"{folder} holds {len(drives)} drives, name one of them: "
            f"{', '.join(map(str, drives[:3]))}{', ...' if drives[3:] else ''}"
        )
    return drives[0]


def find_drives(root: Path) -> list[Path]:
    """Return the folders of all drives below a folder in the official layout, by name.

    Args:
        root: The folder with ``data_2d_raw``, or the one above it, or a drive's own folder, which
            is the only one then.

    Raises:
        InputError: If there is none.
    """
    root = dataset_root(root)
    if (root / CAMERAS[0]).is_dir():
        return [root]
    raw = root / RAW
    folders = sorted(raw.iterdir()) if raw.is_dir() else []
    drives = [f for f in folders if any((f / name).is_dir() for name in CAMERAS)]
    if not drives:
        raise InputError(
            f"{root} must have {RAW}/<drive>/{CAMERAS[0]}, or be a drive with {CAMERAS[0]}"
        )
    return drives


def read_drive(
    folder: Path,
    cameras: tuple[str, ...] | None = None,
    *,
    poses: str | Path = AUTO,
    timestamps: bool = True,
) -> Kitti360Drive:
    """Find the files of one drive.

    Args:
        folder: ``data_2d_raw/<drive>``, or the single folder.
        cameras: Such as ``image_00``; None: all that have images.
        poses: ``official``, ``orb-slam``, ``auto`` (the first of these that is there), ``none``,
            or a file of body poses in the format of ``poses.txt``.
        timestamps: Take the stamps from ``timestamps.txt``, where there is one; otherwise frame
            numbers count tenths of a second.

    Raises:
        InputError: If images, calibration or poses that were asked for are missing, or a file is
            not as specified.
    """
    folder = place_of(folder)
    root = folder.parent.parent
    images = {name: _images(folder, name) for name in CAMERAS}
    images = {name: files for name, files in images.items() if files}
    wanted = cameras or tuple(images) or CAMERAS[:1]
    for name in wanted:
        if name not in images:
            pictures = picture_folder(folder, name)
            raise InputError(
                f"a KITTI-360 drive needs images {pictures}/NNNNNNNNNN.png, found none"
            )
    images = {name: images[name] for name in wanted}
    calibration = read_calibration(_first_folder(folder / "calibration", root / "calibration"))
    for name in images:
        if name not in calibration.cameras or name not in calibration.T_imu_cam:
            raise InputError(f"{folder} has images of {name}, but no calibration for it")
        calibration = _as_preprocessed(calibration, name, picture_folder(folder, name).name)
    frames = sorted(set().union(*images.values()))
    pose_file = _pose_file(folder, root, poses)
    T_map_base = _poses_in_map(pose_file, calibration, frames) if pose_file else {}
    scans = numbered_files(folder / "velodyne_points/data", ".bin") or numbered_files(
        root / "data_3d_raw" / folder.name / "velodyne_points/data", ".bin"
    )
    # Nobody has preprocessed class maps of fisheyes; the others are scaled like the images.
    labels = {
        name: _labels(folder, root, name)
        for name in images
        if name in CAMERAS[:2] or not is_preprocessed(picture_folder(folder, name))
    }
    return Kitti360Drive(
        folder.name,
        calibration,
        images,
        {name: files for name, files in labels.items() if files},
        {number: scans[number] for number in frames if number in scans},
        read_stamps(folder, list(images) if timestamps else [], frames),
        T_map_base,
        pose_file,
    )


@reads("pose file")
def read_poses(path: Path) -> dict[int, np.ndarray]:
    """Read lines of a frame number and a row-major 3x4 or 4x4 matrix.

    Returns:
        (4, 4) float64 by frame number, ascending.

    Raises:
        InputError: If a line has another number of values, or a frame comes twice.
    """
    poses: dict[int, np.ndarray] = {}
    for line_number, line in enumerate(read_text(path).splitlines(), start=1):
        values = numbers(line, path)
        if values.size == 0:
            continue
        if values.size not in (13, 17):
            raise InputError(
                f"{path} line {line_number}: expected a frame number and 12 or 16 numbers, "
                f"got {values.size} values"
            )
        if int(values[0]) in poses:
            raise InputError(f"{path} line {line_number}: frame {int(values[0])} comes twice")
        poses[int(values[0])] = rigid(values[1:13])
    return dict(sorted(poses.items()))


@reads("scan")
def read_scan(path: Path) -> np.ndarray:
    """Return a Velodyne scan as (N, 4) float32: x, y, z (metres, Velodyne frame), intensity.

    Raises:
        InputError: If the file's size is not that of whole points.
    """
    require_file(path)
    size = path.stat().st_size
    if size % 16:
        raise InputError(f"{path} must hold points of 16 bytes, got {size} bytes")
    return np.fromfile(path, dtype="<f4").reshape(-1, 4)


@reads("label map")
def read_labels(path: Path) -> np.ndarray:
    """Return a file of KITTI-360 label ids as (H, W) uint8 Cityscapes train ids, 255 for others.

    Raises:
        InputError: If the file is no 8-bit grey PNG.
    """
    label_ids = read_pixels(path)
    if label_ids.ndim != 2 or label_ids.dtype != np.uint8:
        raise InputError(
            f"{path} must be a grey 8-bit image of label ids, got {label_ids.shape} "
            f"{label_ids.dtype}"
        )
    return _TRAIN_ID_OF_ID[label_ids]


def _images(folder: Path, name: str) -> dict[int, Path]:
    return numbered_files(picture_folder(folder, name), ".png")


def _as_preprocessed(
    calibration: Kitti360Calibration, name: str, pictures: str
) -> Kitti360Calibration:
    """Return the calibration for a camera's preprocessed images; itself for full-size ones."""
    fisheye = PREPROCESSED_FISHEYE.fullmatch(pictures)
    found = fisheye or PREPROCESSED.fullmatch(pictures)
    if not found:
        return calibration
    # Fisheyes are resampled with the intrinsics of image_00, relative to the picture's size.
    pinhole = calibration.cameras[name if not fisheye else CAMERAS[0]].pinhole
    size = int(found[2]), int(found[1])
    cameras = {**calibration.cameras, name: CalibratedCamera(pinhole.resized(*size))}
    R_rect = dict(calibration.R_rect)
    if fisheye:
        about_y, about_x = int(fisheye[3]), int(fisheye[4])
        if name == CAMERAS[3]:
            about_y = -about_y
        R_rect[name] = virtual_rotation(about_y, about_x).T
    return replace(calibration, cameras=cameras, R_rect=R_rect)


def _labels(folder: Path, root: Path, name: str) -> dict[int, Path]:
    official = root / "data_2d_semantics/train" / folder.name / name / "semantic"
    return numbered_files(official, ".png") or numbered_files(folder / name / "semantic", ".png")


def _pose_file(folder: Path, root: Path, poses: str | Path) -> Path | None:
    if poses == NO_POSES:
        return None
    if poses not in POSE_SOURCES:
        return Path(poses)
    # ORB-SLAM3's poses are found under the number of the drive, too.
    short = re.search(r"drive_(\d{4})", folder.name)
    names = [folder.name, *(short.groups() if short else ())]
    folders = [
        root / _POSE_FOLDERS[source] / name
        for source in ([*_POSE_FOLDERS] if poses == AUTO else [str(poses)])
        for name in names
    ]
    if poses == AUTO:
        folders.insert(0, folder)
    paths = [path / name for path in folders for name in (_BODY_POSES, _CAMERA_POSES)]
    found = next((path for path in paths if path.is_file()), None)
    if found is None and poses != AUTO:
        raise InputError(f"no {poses} poses of {folder.name}; looked for {paths[0]}")
    return found


def _poses_in_map(
    path: Path, calibration: Kitti360Calibration, frames: list[int]
) -> dict[int, np.ndarray]:
    """Return poses of ``base_link`` in the map, of those frames that the file has."""
    is_body = path.name != _CAMERA_POSES
    T_base_body = T_BASE_IMU if is_body else calibration.T_base_image(CAMERAS[0])
    poses = read_poses(path)
    poses = {number: poses[number] for number in frames if number in poses}
    if not poses:
        raise InputError(f"no frame from {frames[0]} to {frames[-1]} has a line in {path}")
    T_body_base = inverse(T_base_body)
    T_map_world = T_base_body @ inverse(next(iter(poses.values())))
    return {number: T_map_world @ T @ T_body_base for number, T in poses.items()}


def _first_folder(*folders: Path) -> Path:
    for folder in folders:
        if folder.is_dir():
            return folder
    raise InputError(f"no calibration folder; looked for {' and '.join(map(str, folders))}")
