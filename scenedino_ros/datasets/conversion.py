"""Turns recorded data sets into rosbag2 recordings, one frame at a time."""

from collections.abc import Callable
from pathlib import Path

import numpy as np

from scenedino_ros.core.camera import CalibratedCamera
from scenedino_ros.core.errors import InputError
from scenedino_ros.datasets.dgp import DgpDrive
from scenedino_ros.datasets.drive_writer import DriveWriter
from scenedino_ros.datasets.images import ImageFolder
from scenedino_ros.datasets.kitti360 import T_BASE_IMU, Kitti360Drive, read_scan
from scenedino_ros.ros.transforms import inverse

Progress = Callable[[int, int], None]  # frames done, frames in all
FIRST_STAMP_NS = 1_000_000_000  # of image folders: a stamp of zero means "latest" in TF


def bag_from_kitti360(
    drive: Kitti360Drive, path: Path, *, scans: bool = False, progress: Progress | None = None
) -> None:
    """Record the rectified images of camera 00, with calibration and poses.

    Frames: ``map`` -> ``base_link`` -> ``imu`` -> ``camera_00`` -> ``camera_00_rect`` (of the
    images) and ``velodyne``, and ``imu`` -> ``camera_01`` .. ``camera_03``. Without poses there is
    no ``map``.

    Args:
        drive: The drive.
        path: Folder of the recording; must not exist.
        scans: Record the Velodyne's scans too, as they are (not motion-compensated).
        progress: Called after every frame.
    """
    rig = drive.calibration
    static = {
        ("base_link", "imu"): T_BASE_IMU,
        **{("imu", name.replace("image", "camera")): T for name, T in rig.T_imu_cam.items()},
        ("camera_00", "camera_00_rect"): rig.T_cam_rect,
        ("camera_00", "velodyne"): inverse(rig.T_velo_cam),
    }
    camera = CalibratedCamera(rig.camera)
    with DriveWriter(path, "/camera_00", "camera_00_rect", camera) as writer:
        writer.static_transforms(static, min(drive.stamps_ns[n] for n in drive.images))
        for done, (number, image) in enumerate(drive.images.items(), start=1):
            stamp = drive.stamps_ns[number]
            if drive.T_map_base:
                writer.transforms({("map", "base_link"): drive.T_map_base[number]}, stamp)
            if scans and number in drive.scans:
                points = read_scan(drive.scans[number])
                writer.cloud("/velodyne_points", "velodyne", points, stamp)
            writer.image_file(image, stamp)
            if progress:
                progress(done, len(drive.images))


def bag_from_dgp(drive: DgpDrive, path: Path, *, progress: Progress | None = None) -> None:
    """Record one camera of a DGP scene, with poses: ``map`` -> ``base_link`` -> the camera.

    Args:
        drive: The camera's images.
        path: Folder of the recording; must not exist.
        progress: Called after every frame.
    """
    frame = drive.camera_name.lower()
    with DriveWriter(path, f"/{frame}", frame, CalibratedCamera(drive.camera)) as writer:
        writer.static_transforms(
            {("base_link", frame): drive.T_base_cam}, drive.images[0].stamp_ns
        )
        for index, image in enumerate(drive.images):
            writer.transforms({("map", "base_link"): drive.T_map_base(index)}, image.stamp_ns)
            writer.image_file(image.path, image.stamp_ns)
            if progress:
                progress(index + 1, len(drive.images))


def bag_from_images(
    folder: ImageFolder,
    camera: CalibratedCamera,
    path: Path,
    *,
    rate_hz: float = 10.0,
    progress: Progress | None = None,
) -> None:
    """Record a folder of images of one camera, without poses; the camera's frame is ``camera``.

    Args:
        folder: The images.
        camera: Their calibration.
        path: Folder of the recording; must not exist.
        rate_hz: Images per second.
        progress: Called after every frame.

    Raises:
        InputError: If the camera's size is not that of the images, or the rate is not positive.
    """
    pinhole = camera.pinhole
    if (pinhole.width, pinhole.height) != (folder.width, folder.height):
        raise InputError(
            f"the calibration is for images of {pinhole.width} x {pinhole.height}, "
            f"but these have {folder.width} x {folder.height}"
        )
    if not (np.isfinite(rate_hz) and rate_hz > 0):
        raise InputError(f"the rate must be > 0 Hz, got {rate_hz}")
    with DriveWriter(path, "/camera", "camera", camera) as writer:
        for index, image in enumerate(folder.paths):
            writer.image_file(image, FIRST_STAMP_NS + round(index * 1e9 / rate_hz))
            if progress:
                progress(index + 1, len(folder.paths))
