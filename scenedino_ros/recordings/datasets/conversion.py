# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Turns recorded data sets into rosbag2 recordings, one frame at a time."""

import hashlib
import json
from bisect import bisect_left
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import cv2
import numpy as np

from scenedino_ros.cameras.camera import CalibratedCamera
from scenedino_ros.cameras.image_folder import ImageFolder
from scenedino_ros.core.errors import InputError
from scenedino_ros.core.files import files_digest
from scenedino_ros.recordings.datasets.argoverse import ArgoverseStereo
from scenedino_ros.recordings.datasets.dgp import DgpDrive
from scenedino_ros.recordings.datasets.drive import Drive
from scenedino_ros.recordings.datasets.drive_writer import DriveWriter, RecordedCamera
from scenedino_ros.recordings.datasets.kitti360 import Kitti360Drive, read_labels, read_scan
from scenedino_ros.recordings.datasets.kitti360_calibration import T_BASE_IMU
from scenedino_ros.recordings.datasets.kitti360_folders import is_preprocessed
from scenedino_ros.recordings.datasets.numbered_files import FIRST_STAMP_NS
from scenedino_ros.recordings.rosbag2.split_writer import SPLIT_BYTES, SplitBagWriter
from scenedino_ros.recordings.rosbag2.writer import BagWriter
from scenedino_ros.recordings.transforms import inverse

Progress = Callable[[int, int], None]  # frames done, frames in all
MAX_DEPTH_M = 65.535  # that a 16-bit depth map in millimetres holds
_FILES = "names, sizes and times of the files"  # key of what distinguishes recordings
_MESSAGE_BYTES = 600  # about, of an image's header, CameraInfo and index entries in the file


def bag_from_kitti360(
    drive: Kitti360Drive,
    path: Path,
    *,
    labels: bool = False,
    scans: bool = False,
    split_bytes: int = SPLIT_BYTES,
    progress: Progress | None = None,
) -> None:
    """Record a drive with all its cameras, calibration and poses.

    Frames: ``map`` -> ``base_link`` -> ``imu`` -> ``camera_00`` .. ``camera_03``, ``camera_00`` ->
    ``camera_00_rect`` (of the images; likewise 01) and ``camera_00`` -> ``velodyne``. A frame
    without a pose has no ``map`` -> ``base_link``. An interrupted conversion resumes when it is
    called again.

    Args:
        drive: The drive.
        path: Folder of the recording; must not exist.
        labels: Record the class maps too, as Cityscapes train ids.
        scans: Record the Velodyne's scans too, as they are (not motion-compensated).
        split_bytes: Size of the recording's files.
        progress: Called after every frame.

    Raises:
        InputError: If a file cannot be used.
        BagError: If something is at `path` already, or another drive's conversion was interrupted
            there.
    """
    cameras = {
        name: RecordedCamera(
            f"/{_camera(name)}", _image_frame(drive, name), drive.calibration.cameras[name]
        )
        for name in drive.camera_images
    }
    source = kitti360_source(drive, labels=labels, scans=scans)
    writer = SplitBagWriter(path, source, split_bytes=split_bytes)
    with DriveWriter(writer, list(cameras.values())) as bag:
        frames = drive.frames
        if writer.done == 0:
            bag.static_transforms(_rig_transforms(drive), drive.stamps_ns[frames[0]])
        for done, number in enumerate(frames[writer.done :], start=writer.done + 1):
            stamp = drive.stamps_ns[number]
            if number in drive.T_map_base:
                bag.transforms({("map", "base_link"): drive.T_map_base[number]}, stamp)
            if scans and number in drive.scans:
                bag.cloud("/velodyne_points", "velodyne", read_scan(drive.scans[number]), stamp)
            for name, camera in cameras.items():
                if labels and number in drive.labels.get(name, ()):
                    bag.label(camera.topic, _labels(drive, name, number), stamp)
                if number in drive.camera_images[name]:
                    bag.image_file(camera.topic, drive.camera_images[name][number], stamp)
            writer.checkpoint(done)
            if progress:
                progress(done, len(frames))


def kitti360_source(drive: Kitti360Drive, *, labels: bool, scans: bool) -> dict[str, object]:
    """Return what distinguishes the recordings of a drive, the ``source`` of `SplitBagWriter`.

    Args:
        drive: The drive.
        labels: Whether class maps are recorded.
        scans: Whether scans are recorded.
    """
    files = {**drive.camera_images}
    files |= {f"labels of {name}": drive.labels[name] for name in drive.labels if labels}
    files |= {"scans": drive.scans} if scans and drive.scans else {}
    digest = hashlib.sha256(json.dumps(drive.stamps_ns).encode())
    for T in (*_rig_transforms(drive).values(), *drive.T_map_base.values()):
        digest.update(T.tobytes())
    for camera in drive.calibration.cameras.values():
        digest.update(repr(camera.key()).encode())
    return {
        "drive": drive.name,
        **{kind: f"{len(found)} of {min(found)}-{max(found)}" for kind, found in files.items()},
        "poses": len(drive.T_map_base),
        "calibration, poses and stamps": digest.hexdigest()[:16],
        _FILES: _digest_of(files.values(), drive.frames),
    }


def kitti360_bytes(drive: Kitti360Drive, *, labels: bool, scans: bool) -> int:
    """Return about how many bytes a drive's recording takes: those of the files that go into it.

    Arguments as for `kitti360_source`.
    """
    files = [path for found in drive.camera_images.values() for path in found.values()]
    files += [path for found in drive.labels.values() for path in found.values() if labels]
    files += list(drive.scans.values()) if scans else []
    return sum(path.stat().st_size + _MESSAGE_BYTES for path in files)


def _labels(drive: Kitti360Drive, name: str, number: int) -> np.ndarray:
    """Return a class map, of the size of the images where these are preprocessed."""
    labels = read_labels(drive.labels[name][number])
    if not is_preprocessed(next(iter(drive.camera_images[name].values())).parent):
        return labels
    camera = drive.calibration.cameras[name].pinhole
    size = (camera.width, camera.height)
    return cv2.resize(labels, size, interpolation=cv2.INTER_NEAREST)


def _rig_transforms(drive: Kitti360Drive) -> dict[tuple[str, str], np.ndarray]:
    """Return T_parent_child of the rig by (parent, child)."""
    rig = drive.calibration
    transforms = {("base_link", "imu"): T_BASE_IMU}
    for name, T_imu_cam in rig.T_imu_cam.items():
        transforms["imu", _camera(name)] = T_imu_cam
        if name in rig.R_rect:
            transforms[_camera(name), _image_frame(drive, name)] = rig.T_cam_image(name)
    transforms["camera_00", "velodyne"] = inverse(rig.T_velo_cam)
    return transforms


def _camera(name: str) -> str:
    return name.replace("image", "camera")


def _image_frame(drive: Kitti360Drive, name: str) -> str:
    """Return the optical frame of a camera's images."""
    return _camera(name) + ("_rect" if name in drive.calibration.R_rect else "")


def bag_from_drive(
    drive: Drive,
    path: Path,
    *,
    split_bytes: int = SPLIT_BYTES,
    progress: Progress | None = None,
) -> None:
    """Record a drive with all its cameras, calibration and poses.

    Frames: ``map`` -> ``base_link`` -> each camera, which is called as in the drive. Poses are
    recorded at their own times; without poses there is no ``map``. An interrupted conversion
    resumes when it is called again.

    Args:
        drive: The drive.
        path: Folder of the recording; must not exist.
        split_bytes: Size of the recording's files.
        progress: Called after every frame.

    Raises:
        InputError: If a file cannot be used.
        BagError: As for `bag_from_kitti360`.
    """
    cameras = [RecordedCamera(f"/{name}", name, drive.cameras[name]) for name in drive.images]
    writer = SplitBagWriter(path, drive_source(drive), split_bytes=split_bytes)
    with DriveWriter(writer, cameras) as bag:
        frames = drive.frames
        stamps = [drive.stamps_ns[number] for number in frames]
        poses = _poses_by_frame(drive, stamps)
        if writer.done == 0:
            mounted = {("base_link", name): drive.T_base_cam[name] for name in drive.images}
            bag.static_transforms(mounted, min([stamps[0], *(ns for ns, _ in poses[0])]))
        for index in range(writer.done, len(frames)):
            for stamp, T_map_base in poses[index]:
                bag.transforms({("map", "base_link"): T_map_base}, stamp)
            for camera in cameras:
                image = drive.images[camera.frame].get(frames[index])
                if image is not None:
                    bag.image_file(camera.topic, image, stamps[index])
            writer.checkpoint(index + 1)
            if progress:
                progress(index + 1, len(frames))


def drive_source(drive: Drive) -> dict[str, object]:
    """Return what distinguishes the recordings of a drive, the ``source`` of `SplitBagWriter`."""
    digest = hashlib.sha256(json.dumps(drive.stamps_ns).encode())
    for name in drive.images:
        digest.update(repr(drive.cameras[name].key()).encode())
        digest.update(drive.T_base_cam[name].tobytes())
    if drive.track is not None:
        digest.update(drive.track.stamps_ns.tobytes() + drive.track.T_world_body.tobytes())
    files = drive.images.items()
    return {
        "drive": drive.name,
        **{kind: f"{len(found)} of {min(found)}-{max(found)}" for kind, found in files},
        "poses": 0 if drive.track is None else len(drive.track),
        "calibration, poses and stamps": digest.hexdigest()[:16],
        _FILES: _digest_of(drive.images.values(), drive.frames),
    }


def _digest_of(kinds: Iterable[dict[int, Path]], frames: Sequence[int]) -> str:
    """Return the digest of the files of these frames."""
    return files_digest(found[number] for found in kinds for number in frames if number in found)


def drive_bytes(drive: Drive) -> int:
    """Return about how many bytes a drive's recording takes: those of the files that go into it.

    Files of other kinds than JPEG and PNG are stored as PNG, which may take less or more.
    """
    files = [path for found in drive.images.values() for path in found.values()]
    return sum(path.stat().st_size + _MESSAGE_BYTES for path in files)


def _poses_by_frame(drive: Drive, stamps: list[int]) -> list[list[tuple[int, np.ndarray]]]:
    """Return the poses that are recorded with each frame: those after the frame before.

    The last frame gets those after it, too. Poses further from the drive than the longest
    time between two poses that is interpolated are left out.
    """
    poses: list[list[tuple[int, np.ndarray]]] = [[] for _ in stamps]
    track = drive.track
    if track is None:
        return poses
    for stamp, T_map_base in zip(track.stamps_ns.tolist(), track.T_world_body, strict=True):
        if stamps[0] - track.max_gap_ns <= stamp <= stamps[-1] + track.max_gap_ns:
            poses[min(bisect_left(stamps, stamp), len(stamps) - 1)].append((stamp, T_map_base))
    return poses


def bag_from_dgp(
    drives: Sequence[DgpDrive], path: Path, *, progress: Progress | None = None
) -> None:
    """Record cameras of a DGP scene, with poses: ``map`` -> ``base_link`` -> each camera.

    The map is the vehicle at the first image of the first camera.

    Args:
        drives: The cameras.
        path: Folder of the recording; must not exist.
        progress: Called after every image.
    """
    names = [drive.camera_name.lower() for drive in drives]
    cameras = [
        RecordedCamera(f"/{name}", name, CalibratedCamera(drive.camera))
        for name, drive in zip(names, drives, strict=True)
    ]
    images = sorted(
        (image.stamp_ns, number, index)
        for number, drive in enumerate(drives)
        for index, image in enumerate(drive.images)
    )
    T_map_world = inverse(drives[0].T_world_base(0))
    with DriveWriter(BagWriter(path), cameras) as writer:
        mounted = {
            ("base_link", name): drive.T_base_cam
            for name, drive in zip(names, drives, strict=True)
        }
        writer.static_transforms(mounted, images[0][0])
        posed = None
        for done, (stamp, number, index) in enumerate(images, start=1):
            if stamp != posed:  # cameras that are triggered together have the same pose
                T_map_base = T_map_world @ drives[number].T_world_base(index)
                writer.transforms({("map", "base_link"): T_map_base}, stamp)
                posed = stamp
            writer.image_file(cameras[number].topic, drives[number].images[index].path, stamp)
            if progress:
                progress(done, len(images))


def bag_from_argoverse(stereo: ArgoverseStereo, path: Path) -> None:
    """Record a stereo pair as ``camera_00`` (left) and ``camera_01``, with the left one's depth.

    ``map`` is where ``base_link`` is. Depth that does not fit into 16 bits of millimetres is
    recorded as unknown.

    Args:
        stereo: The pair.
        path: Folder of the recording; must not exist.
    """
    calibration = CalibratedCamera(stereo.camera)
    cameras = {
        side: RecordedCamera(f"/camera_0{number}", f"camera_0{number}_rect", calibration)
        for number, side in enumerate(("left", "right"))
    }
    with DriveWriter(BagWriter(path), list(cameras.values())) as writer:
        mounted = {("base_link", cameras[side].frame): T for side, T in stereo.T_base_cam.items()}
        writer.static_transforms(mounted, FIRST_STAMP_NS)
        writer.transforms({("map", "base_link"): np.eye(4)}, FIRST_STAMP_NS)
        for side, camera in cameras.items():
            writer.image_file(camera.topic, stereo.images[side], FIRST_STAMP_NS)
        depth = np.where(stereo.depth <= MAX_DEPTH_M, stereo.depth, 0)
        writer.depth(cameras["left"].topic, depth, FIRST_STAMP_NS)


def bag_from_images(
    folder: ImageFolder,
    camera: CalibratedCamera,
    path: Path,
    *,
    rate_hz: float = 10.0,
    progress: Progress | None = None,
) -> list[str]:
    """Record a folder of images of one camera, without poses; the camera's frame is ``camera``.

    An image that cannot be read or has another size is left out; those after it keep their time.

    Args:
        folder: The images.
        camera: Their calibration.
        path: Folder of the recording; must not exist.
        rate_hz: Images per second.
        progress: Called after every frame.

    Returns:
        A sentence on each image that is left out.

    Raises:
        InputError: If the camera's size is not that of the images, the rate is not positive, or
            every image would be left out.
    """
    pinhole = camera.pinhole
    if (pinhole.width, pinhole.height) != (folder.width, folder.height):
        raise InputError(
            f"the calibration is for images of {pinhole.width} x {pinhole.height}, "
            f"but these have {folder.width} x {folder.height}"
        )
    if not (np.isfinite(rate_hz) and rate_hz > 0):
        raise InputError(f"the rate must be > 0 Hz, got {rate_hz}")
    recorded = RecordedCamera("/camera", "camera", camera)
    left_out: list[str] = []
    with DriveWriter(BagWriter(path), [recorded]) as writer:
        for index, image in enumerate(folder.paths):
            stamp_ns = FIRST_STAMP_NS + round(index * 1e9 / rate_hz)
            try:
                writer.image_file(recorded.topic, image, stamp_ns)
            except InputError as error:
                left_out.append(str(error))
            if progress:
                progress(index + 1, len(folder.paths))
        if len(left_out) == len(folder.paths):
            raise InputError(f"none of {len(left_out)} images can be used; {left_out[0]}")
    return left_out
