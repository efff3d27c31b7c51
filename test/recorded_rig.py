# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""A small rig's drive as a recording, for tests: every picture tells which one it is."""

from pathlib import Path

import numpy as np
from rosbags.typesys import Stores, get_typestore

from scenedino_ros.cameras.camera import CalibratedCamera, PinholeCamera
from scenedino_ros.cameras.fisheye import MeiCamera
from scenedino_ros.recordings.datasets.drive_writer import DriveWriter, RecordedCamera
from scenedino_ros.recordings.rosbag2.writer import BagWriter
from scenedino_ros.recordings.transforms import matrix_from_rotation, numbers_from_matrix

SECOND = 1_000_000_000
START = 1_700_000_000 * SECOND
PERIOD = SECOND // 10
STEP = 0.8  # metres per frame
PINHOLE = CalibratedCamera(PinholeCamera.from_focal(40, 40, 31.5, 15.5, 64, 32))
FISHEYE = MeiCamera(2.2, 0.02, 1.6, 0.0, 0.0, 76.0, 76.0, 40.0, 40.0, 80, 80).calibrated

STORE = get_typestore(Stores.ROS2_JAZZY)
ODOMETRY = "nav_msgs/msg/Odometry"

# Optical axes (z) along the body's x; to its left; to its right.
_AHEAD = np.array([[0.0, 0, 1], [-1, 0, 0], [0, -1, 0]])
_LEFT = np.array([[1.0, 0, 0], [0, 0, 1], [0, -1, 0]])
_RIGHT = np.array([[-1.0, 0, 0], [0, 0, -1], [0, -1, 0]])


def mounted(R: np.ndarray, *position: float) -> np.ndarray:
    T = np.eye(4)
    T[:3, :3], T[:3, 3] = R, position
    return T


T_BODY_IMU = mounted(np.diag([1.0, -1.0, -1.0]), 0.4, 0.1, 0.6)
CAMERAS = {
    "left": (PINHOLE, mounted(_AHEAD, 1.5, 0.3, 1.2)),
    "right": (PINHOLE, mounted(_AHEAD, 1.5, -0.3, 1.2)),
    "side_left": (FISHEYE, mounted(_LEFT, 0.7, 0.5, 1.4)),
    "side_right": (FISHEYE, mounted(_RIGHT, 0.7, -0.5, 1.4)),
}


def stamp(frame: float) -> int:
    return START + round(frame * PERIOD)


def T_world_body(frame: float) -> np.ndarray:
    """Return the pose at a (fractional) frame: straight on, slowly turning."""
    angle = 0.01 * frame
    return matrix_from_rotation(
        (STEP * frame, 0.1 * frame, 0.0), (0, 0, np.sin(angle / 2), np.cos(angle / 2))
    )


def picture(camera: CalibratedCamera, number: int, frame: int) -> np.ndarray:
    """Return an image whose red tells the frame and whose green the camera."""
    rgb = np.zeros((camera.pinhole.height, camera.pinhole.width, 3), np.uint8)
    rgb[..., 0], rgb[..., 1] = frame % 256, 10 * number
    return rgb


def labels(camera: CalibratedCamera, frame: int) -> np.ndarray:
    """Return class ids: the frame's on the left half, its successor's on the right."""
    ids = np.full((camera.pinhole.height, camera.pinhole.width), frame, np.uint8)
    ids[:, camera.pinhole.width // 2 :] += 1
    return ids


def odometry(frame: float, T: np.ndarray, child: str = "base_link") -> bytes:
    """Return a serialized Odometry message."""
    types = STORE.types
    x, y, z, *turn = numbers_from_matrix(T)
    point, vector = types["geometry_msgs/msg/Point"], types["geometry_msgs/msg/Vector3"]
    pose = types["geometry_msgs/msg/Pose"](
        point(x, y, z), types["geometry_msgs/msg/Quaternion"](*turn)
    )
    twist = types["geometry_msgs/msg/Twist"](vector(0, 0, 0), vector(0, 0, 0))
    header = types["std_msgs/msg/Header"](
        types["builtin_interfaces/msg/Time"](*divmod(stamp(frame), SECOND)), "odom"
    )
    message = types[ODOMETRY](
        header,
        child,
        types["geometry_msgs/msg/PoseWithCovariance"](pose, np.zeros(36)),
        types["geometry_msgs/msg/TwistWithCovariance"](twist, np.zeros(36)),
    )
    return bytes(STORE.serialize_cdr(message, ODOMETRY))


def write_rig(
    path: Path,
    frames: int = 12,
    *,
    cameras: tuple[str, ...] = ("left", "right"),
    storage: str = "mcap",
    poses: str = "tf",
    without: dict[str, set[int]] | None = None,
    late: dict[str, float] | None = None,
    with_maps: bool = False,
    topics: dict[str, str] | None = None,
) -> None:
    """Record a drive.

    Args:
        path: Folder of the recording.
        frames: Number of frames.
        cameras: Names from `CAMERAS`.
        storage: ``mcap`` or ``sqlite3``.
        poses: ``tf``, ``odometry`` (of the IMU, turned and in front of the body), or empty.
        without: Frames that a camera, or "poses", lacks.
        late: How much later than the others a camera takes its images, in frames.
        with_maps: Record classes of all cameras, and depth of those that are no fisheyes.
        topics: Namespaces of cameras that are not called by their names.
    """
    without, late, topics = without or {}, late or {}, topics or {}
    recorded = {
        name: RecordedCamera(topics.get(name, f"/{name}"), f"{name}_optical", CAMERAS[name][0])
        for name in cameras
    }
    bag = BagWriter(path, storage)
    if poses == "odometry":
        bag.add_topic("/odom", ODOMETRY)
    events = [
        (frame + late.get(name, 0.0), frame, number, name)
        for frame in range(frames)
        for number, name in enumerate(cameras)
        if frame not in without.get(name, ())
    ]
    events += [(f, f, -1, "poses") for f in range(frames) if f not in without.get("poses", ())]
    with DriveWriter(bag, list(recorded.values())) as writer:
        static = {("base_link", recorded[name].frame): CAMERAS[name][1] for name in cameras}
        static["base_link", "imu"] = T_BODY_IMU
        writer.static_transforms(static, START)
        for when, frame, number, name in sorted(events):
            ns = stamp(when)
            if name != "poses":
                camera, topic = CAMERAS[name][0], recorded[name].topic
                writer.image(topic, picture(camera, number, frame), ns)
                if with_maps:
                    writer.label(topic, labels(camera, frame), ns)
                if with_maps and camera is PINHOLE:
                    writer.depth(topic, np.full((32, 64), 2.0 + frame, np.float32), ns)
            elif poses == "tf":
                writer.transforms({("map", "base_link"): T_world_body(frame)}, ns)
            elif poses == "odometry":
                bag.write("/odom", ns, odometry(frame, T_world_body(frame) @ T_BODY_IMU, "imu"))
