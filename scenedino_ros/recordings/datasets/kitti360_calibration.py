# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""KITTI-360's calibration files: how its cameras see, and where they and the Velodyne sit.

Frames: the files' own frame of the vehicle (x forward, y right, z down, at the IMU) is called
``imu`` here; ``base_link`` is the same point with ROS's axes (x forward, y left, z up). Images of
``image_00`` and ``image_01`` are rectified: their cameras are ``camera_00`` and ``camera_01``
turned by R_rect_00 and R_rect_01. Those of ``image_02`` and ``image_03`` come as the fisheyes saw
them. The Velodyne is calibrated against ``camera_00``, not against the rectified camera.
"""

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from scenedino_ros.cameras.camera import CalibratedCamera, PinholeCamera
from scenedino_ros.cameras.fisheye import MeiCamera
from scenedino_ros.cameras.plausibility import refuse_impossible
from scenedino_ros.core.errors import InputError
from scenedino_ros.core.file_limits import TEXT_BYTES
from scenedino_ros.core.reading import read_bytes, reading, reads

CAMERAS = ("image_00", "image_01", "image_02", "image_03")
T_BASE_IMU = np.diag([1.0, -1.0, -1.0, 1.0])

_RECTIFIED = CAMERAS[:2]


@dataclass(frozen=True, eq=False)
class Kitti360Calibration:
    """The rig, as its calibration files give it.

    Attributes:
        cameras: Calibration of the images, by camera: rectified pinholes and MEI fisheyes. Only
            those with intrinsics in the files.
        R_rect: (3, 3) rotation from camera to rectified camera, by rectified camera.
        T_imu_cam: (4, 4) per camera: unrectified camera to vehicle.
        T_velo_cam: (4, 4) unrectified camera 00 to Velodyne.
    """

    cameras: dict[str, CalibratedCamera]
    R_rect: dict[str, np.ndarray]
    T_imu_cam: dict[str, np.ndarray]
    T_velo_cam: np.ndarray

    @property
    def camera(self) -> PinholeCamera:
        """Intrinsics and size of the images of ``image_00``."""
        return self.cameras[CAMERAS[0]].pinhole

    @property
    def T_velo_rect(self) -> np.ndarray:
        """(4, 4) rectified camera 00, of the images of ``image_00``, to Velodyne."""
        return self.T_velo_cam @ self.T_cam_image(CAMERAS[0])

    @property
    def digest(self) -> str:
        """16 hexadecimal digits that differ for another camera 00, or another place of it."""
        digest = hashlib.sha256(repr(self.cameras[CAMERAS[0]].key()).encode())
        for T in (self.T_base_image(CAMERAS[0]), self.T_velo_rect):
            digest.update(T.tobytes())
        return digest.hexdigest()[:16]

    def T_cam_image(self, name: str) -> np.ndarray:
        """Return (4, 4) from the frame that a camera's images are in to that of the camera.

        That is the inverse of the rectifying rotation, and the identity for a fisheye.
        """
        T = np.eye(4)
        if name in self.R_rect:
            T[:3, :3] = self.R_rect[name].T
        return T

    def T_base_image(self, name: str) -> np.ndarray:
        """Return (4, 4) from the frame that a camera's images are in to ``base_link``."""
        return T_BASE_IMU @ self.T_imu_cam[name] @ self.T_cam_image(name)


@reads("the calibration in")
def read_calibration(folder: Path) -> Kitti360Calibration:
    """Read ``perspective.txt``, ``calib_cam_to_*.txt`` and, if there, ``image_02.yaml`` and 03.

    Raises:
        InputError: If a file or an entry that camera 00 and the Velodyne need is missing, or one
            has another number of values.
    """
    perspective = read_entries(folder / "perspective.txt")
    names = [n for n in _RECTIFIED if n == CAMERAS[0] or _key("P_rect", n) in perspective]
    cameras = {name: CalibratedCamera(_pinhole(perspective, name, folder)) for name in names}
    for name in CAMERAS[2:]:
        path = folder / f"{name}.yaml"
        if path.exists():
            cameras[name] = MeiCamera.from_yaml(path).calibrated
    to_pose = read_entries(folder / "calib_cam_to_pose.txt")
    mounted = [name for name in CAMERAS if name == CAMERAS[0] or name in to_pose]
    to_velo = numbers(read_text(folder / "calib_cam_to_velo.txt"), folder)
    if to_velo.size != 12:
        raise InputError(f"calib_cam_to_velo.txt must hold 12 numbers, got {to_velo.size}")
    return Kitti360Calibration(
        cameras,
        {n: entry(perspective, _key("R_rect", n), 9, folder).reshape(3, 3) for n in names},
        {n: rigid(entry(to_pose, n, 12, folder)) for n in mounted},
        rigid(to_velo),
    )


def read_text(path: Path, most: int = TEXT_BYTES) -> str:
    """Return the text of a UTF-8 file, without the byte order mark that some editors write.

    Args:
        path: The file.
        most: Bound of its size, bytes.

    Raises:
        InputError: If it cannot be read.
    """
    with reading(str(path)):
        return read_bytes(path, most).decode("utf-8-sig")


def read_entries(path: Path) -> dict[str, str]:
    """Return the text after the colon of each line, by the text before it."""
    lines = [line.partition(":") for line in read_text(path).splitlines()]
    return {key.strip(): value for key, colon, value in lines if colon}


def numbers(text: str, source: Path) -> np.ndarray:
    """Return the numbers of a text as float64.

    Raises:
        InputError: If a word is none, or not finite; `source` is named then.
    """
    try:
        values = np.array([float(word) for word in text.split()])
    except ValueError as error:
        raise InputError(f"{source}: {error}") from error
    if not np.isfinite(values).all():
        raise InputError(f"{source} must hold finite numbers, got {values[~np.isfinite(values)]}")
    return values


def rigid(values: np.ndarray) -> np.ndarray:
    """Return (4, 4) from the 12 numbers of a row-major 3x4 matrix."""
    return np.vstack([values.reshape(3, 4), [0.0, 0.0, 0.0, 1.0]])


def _pinhole(perspective: dict[str, str], name: str, folder: Path) -> PinholeCamera:
    K = entry(perspective, _key("P_rect", name), 12, folder).reshape(3, 4)[:, :3]
    width, height = entry(perspective, _key("S_rect", name), 2, folder)
    try:
        pinhole = PinholeCamera(K, int(width), int(height))
        refuse_impossible(pinhole)
    except InputError as error:
        raise InputError(f"{folder / 'perspective.txt'}: {name}: {error}") from error
    return pinhole


def _key(kind: str, name: str) -> str:
    return name.replace("image", kind)


def entry(entries: dict[str, str], key: str, count: int, folder: Path) -> np.ndarray:
    """Return the numbers of an entry as float64.

    Raises:
        InputError: If it is missing, or has not `count` numbers; `folder` is named then.
    """
    if key not in entries:
        raise InputError(f"the calibration in {folder} has no entry {key}")
    values = numbers(entries[key], folder)
    if values.size != count:
        raise InputError(f"{key} in {folder} must have {count} numbers, got {values.size}")
    return values
