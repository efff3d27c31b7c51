"""KITTI-360: its calibration files, poses, and one drive's images and scans.

Two layouts are read: the official one (``data_2d_raw/<drive>`` beside ``calibration``,
``data_poses`` and ``data_3d_raw``), and one folder that holds ``image_00``, ``calibration``,
``velodyne_points`` and a pose file.

Frames: the files' own frame of the vehicle (x forward, y right, z down, at the IMU) is called
``imu`` here; ``base_link`` is the same point with ROS's axes (x forward, y left, z up). Images of
``image_00`` are rectified: their camera is ``camera_00`` turned by R_rect_00. The Velodyne is
calibrated against ``camera_00``, not against the rectified camera.
"""

import datetime
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from scenedino_ros.core.camera import PinholeCamera
from scenedino_ros.core.errors import InputError
from scenedino_ros.ros.transforms import inverse

FRAME_PERIOD_NS = 100_000_000  # 10 Hz, where no timestamps are given
FIRST_STAMP_NS = 1_000_000_000  # of frame 0 there: a stamp of zero means "latest" in TF
T_BASE_IMU = np.diag([1.0, -1.0, -1.0, 1.0])

_CAMERAS = ("image_00", "image_01", "image_02", "image_03")
_POSE_FILES = ("poses.txt", "cam0_to_world.txt")


@dataclass(frozen=True, eq=False)
class Kitti360Calibration:
    """The rig, as its calibration files give it.

    Attributes:
        camera: Intrinsics and size of the rectified images of camera 00.
        R_rect: (3, 3) rotation from camera 00 to rectified camera 00.
        T_imu_cam: (4, 4) per camera name: unrectified camera to vehicle.
        T_velo_cam: (4, 4) unrectified camera 00 to Velodyne.
    """

    camera: PinholeCamera
    R_rect: np.ndarray
    T_imu_cam: dict[str, np.ndarray]
    T_velo_cam: np.ndarray

    @property
    def T_cam_rect(self) -> np.ndarray:
        """(4, 4) rectified camera 00 to camera 00."""
        T = np.eye(4)
        T[:3, :3] = self.R_rect.T
        return T

    @property
    def T_base_rect(self) -> np.ndarray:
        """(4, 4) rectified camera 00 to ``base_link``."""
        return T_BASE_IMU @ self.T_imu_cam["image_00"] @ self.T_cam_rect

    @property
    def T_velo_rect(self) -> np.ndarray:
        """(4, 4) rectified camera 00 to Velodyne."""
        return self.T_velo_cam @ self.T_cam_rect


@dataclass(frozen=True, eq=False)
class Kitti360Drive:
    """One drive on disk.

    Attributes:
        name: Name of its folder.
        calibration: The rig.
        images: Image file by frame number, ascending; all have a pose if any has.
        stamps_ns: Time by frame number, nanoseconds.
        T_map_base: (4, 4) pose of ``base_link`` by frame number; the map is where ``base_link``
            was at the first frame. Empty: no pose file.
        scans: Velodyne file by frame number, where there is one.
        without_pose: How many images were left out because the pose file has no line for them.
    """

    name: str
    calibration: Kitti360Calibration
    images: dict[int, Path]
    stamps_ns: dict[int, int]
    T_map_base: dict[int, np.ndarray]
    scans: dict[int, Path]
    without_pose: int


def read_drive(folder: Path) -> Kitti360Drive:
    """Find the files of one drive.

    Args:
        folder: A folder with ``image_00``: ``data_2d_raw/<drive>``, or the single folder.

    Raises:
        InputError: If images or calibration are missing, or a file is not as specified.
    """
    folder = Path(folder).resolve()
    pictures = folder / "image_00" / "data_rect"
    images = _numbered(pictures, ".png")
    if not images:
        raise InputError(f"a KITTI-360 drive needs images {pictures}/NNNNNNNNNN.png, found none")
    root = folder.parent.parent
    calibration_folder = _first_folder(folder / "calibration", root / "calibration")
    calibration = read_calibration(calibration_folder)
    poses = _first_poses([folder, root / "data_poses" / folder.name], calibration)
    without_pose = 0
    if poses:
        kept = {number: path for number, path in images.items() if number in poses}
        without_pose, images = len(images) - len(kept), kept
        if not images:
            raise InputError(f"no image of {pictures} has a line in the pose file")
        T_base_first = inverse(poses[min(images)])
        poses = {number: T_base_first @ poses[number] for number in images}
    scans = _numbered(folder / "velodyne_points" / "data", ".bin") or _numbered(
        root / "data_3d_raw" / folder.name / "velodyne_points" / "data", ".bin"
    )
    return Kitti360Drive(
        folder.name,
        calibration,
        images,
        _stamps(folder / "image_00" / "timestamps.txt", images),
        poses,
        {number: path for number, path in scans.items() if number in images},
        without_pose,
    )


def read_calibration(folder: Path) -> Kitti360Calibration:
    """Read ``perspective.txt``, ``calib_cam_to_pose.txt`` and ``calib_cam_to_velo.txt``.

    Raises:
        InputError: If a file or an entry is missing, or has another number of values.
    """
    perspective = _read_entries(folder / "perspective.txt")
    K = _entry(perspective, "P_rect_00", 12, folder).reshape(3, 4)[:, :3]
    width, height = _entry(perspective, "S_rect_00", 2, folder)
    to_pose = _read_entries(folder / "calib_cam_to_pose.txt")
    to_velo = _numbers(_read_text(folder / "calib_cam_to_velo.txt"), folder)
    if to_velo.size != 12:
        raise InputError(f"calib_cam_to_velo.txt must hold 12 numbers, got {to_velo.size}")
    return Kitti360Calibration(
        camera=PinholeCamera(K, int(width), int(height)),
        R_rect=_entry(perspective, "R_rect_00", 9, folder).reshape(3, 3),
        T_imu_cam={
            name: _rigid(_entry(to_pose, name, 12, folder)) for name in _CAMERAS if name in to_pose
        },
        T_velo_cam=_rigid(to_velo),
    )


def read_poses(path: Path) -> dict[int, np.ndarray]:
    """Read lines of a frame number and a row-major 3x4 or 4x4 matrix.

    Returns:
        (4, 4) float64 by frame number, ascending.

    Raises:
        InputError: If a line has another number of values, or a frame comes twice.
    """
    poses: dict[int, np.ndarray] = {}
    for line_number, line in enumerate(_read_text(path).splitlines(), start=1):
        values = _numbers(line, path)
        if values.size == 0:
            continue
        if values.size not in (13, 17):
            raise InputError(
                f"{path} line {line_number}: expected a frame number and 12 or 16 numbers, "
                f"got {values.size} values"
            )
        if int(values[0]) in poses:
            raise InputError(f"{path} line {line_number}: frame {int(values[0])} comes twice")
        poses[int(values[0])] = _rigid(values[1:13])
    return dict(sorted(poses.items()))


def read_scan(path: Path) -> np.ndarray:
    """Return a Velodyne scan as (N, 4) float32: x, y, z (metres, Velodyne frame), intensity.

    Raises:
        InputError: If the file's size is not that of whole points.
    """
    size = path.stat().st_size
    if size % 16:
        raise InputError(f"{path} must hold points of 16 bytes, got {size} bytes")
    return np.fromfile(path, dtype="<f4").reshape(-1, 4)


def _first_poses(folders: list[Path], calibration: Kitti360Calibration) -> dict[int, np.ndarray]:
    """Return poses of ``base_link`` in the file's own world."""
    for folder in folders:
        for name in _POSE_FILES:
            path = folder / name
            if path.is_file():
                body = T_BASE_IMU if name == "poses.txt" else calibration.T_base_rect
                T_body_base = inverse(body)
                return {number: T @ T_body_base for number, T in read_poses(path).items()}
    return {}


def _stamps(path: Path, images: dict[int, Path]) -> dict[int, int]:
    if not path.is_file():
        return {number: FIRST_STAMP_NS + number * FRAME_PERIOD_NS for number in images}
    lines = _read_text(path).splitlines()
    if max(images) >= len(lines):
        raise InputError(
            f"{path} has {len(lines)} lines, too few for the image of frame {max(images)}"
        )
    return {number: _nanoseconds(lines[number], path) for number in images}


def _nanoseconds(line: str, path: Path) -> int:
    text, _, fraction = line.strip().partition(".")
    try:
        moment = datetime.datetime.strptime(text, "%Y-%m-%d %H:%M:%S")
        nanoseconds = int(fraction[:9].ljust(9, "0"))
    except ValueError as error:
        raise InputError(f"{path}: '{line.strip()}' is not a time: {error}") from error
    moment = moment.replace(tzinfo=datetime.timezone.utc)
    return round(moment.timestamp()) * 1_000_000_000 + nanoseconds


def _numbered(folder: Path, suffix: str) -> dict[int, Path]:
    paths = folder.glob(f"*{suffix}") if folder.is_dir() else []
    return dict(sorted((int(path.stem), path) for path in paths if path.stem.isdigit()))


def _first_folder(*folders: Path) -> Path:
    for folder in folders:
        if folder.is_dir():
            return folder
    raise InputError(f"no calibration folder; looked for {' and '.join(map(str, folders))}")


def _read_text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path} cannot be read: {error}") from error


def _read_entries(path: Path) -> dict[str, str]:
    lines = [line.partition(":") for line in _read_text(path).splitlines()]
    return {key.strip(): value for key, colon, value in lines if colon}


def _entry(entries: dict[str, str], key: str, count: int, folder: Path) -> np.ndarray:
    if key not in entries:
        raise InputError(f"the calibration in {folder} has no entry {key}")
    values = _numbers(entries[key], folder)
    if values.size != count:
        raise InputError(f"{key} in {folder} must have {count} numbers, got {values.size}")
    return values


def _numbers(text: str, source: Path) -> np.ndarray:
    try:
        return np.array([float(word) for word in text.split()])
    except ValueError as error:
        raise InputError(f"{source}: {error}") from error


def _rigid(values: np.ndarray) -> np.ndarray:
    return np.vstack([values.reshape(3, 4), [0.0, 0.0, 0.0, 1.0]])
