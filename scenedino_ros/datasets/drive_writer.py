"""Writes a camera's drive as a rosbag2 recording: images, calibration, transforms, scans."""

import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from rosbags.typesys import Stores, get_typestore

from scenedino_ros.core.camera import CalibratedCamera
from scenedino_ros.core.errors import InputError
from scenedino_ros.datasets.images import read_rgb
from scenedino_ros.ros.bag import BagWriter
from scenedino_ros.ros.bag_metadata import TopicQos
from scenedino_ros.ros.tf_cdr import cdr_from_transforms
from scenedino_ros.ros.transforms import StampedTransform, numbers_from_matrix

_FORMATS = {".jpg": "jpeg", ".jpeg": "jpeg", ".png": "png"}  # kept as they are
_FLOAT32 = 7  # sensor_msgs/PointField.FLOAT32


class DriveWriter:
    """Records the drive of one camera; a context manager.

    Images are `sensor_msgs/CompressedImage` on ``<camera_topic>/image_rect/compressed`` (or
    ``image_raw`` for distorted cameras), each with a CameraInfo of the same stamp. JPEG and PNG
    files go in unchanged. Messages are recorded at their stamps, so what belongs to an image
    must be written with or before it.
    """

    def __init__(
        self, path: Path, camera_topic: str, camera_frame: str, camera: CalibratedCamera
    ) -> None:
        """Begin a recording.

        Args:
            path: Folder of the recording; must not exist.
            camera_topic: Namespace of the camera's topics, such as ``/camera_00``.
            camera_frame: The camera's optical frame.
            camera: Its calibration.

        Raises:
            BagError: If something is at `path` already.
        """
        self._store = get_typestore(Stores.ROS2_JAZZY)
        self._camera, self._camera_frame = camera, camera_frame
        kind = "image_raw" if camera.is_distorted else "image_rect"
        self.image_topic = f"{camera_topic}/{kind}/compressed"
        self.info_topic = f"{camera_topic}/camera_info"
        self._writer = BagWriter(path)
        self._last_ns: int | None = None
        self._topics: set[str] = set()

    def __enter__(self) -> "DriveWriter":
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            self._writer.close()
        else:
            self.discard()

    def discard(self) -> None:
        """Give up the recording and remove what was written: half a drive is none."""
        self._writer.flush()
        shutil.rmtree(self._writer.partial_path, ignore_errors=True)

    def static_transforms(self, transforms: dict[tuple[str, str], np.ndarray], ns: int) -> None:
        """Write fixed transforms on /tf_static.

        Args:
            transforms: (4, 4) T_parent_child by (parent, child).
            ns: Time of the message, nanoseconds.
        """
        data = cdr_from_transforms(_stamped(transforms, ns))
        qos = TopicQos(transient_local=True, depth=1)
        self._write("/tf_static", "tf2_msgs/msg/TFMessage", ns, data, qos)

    def transforms(self, transforms: dict[tuple[str, str], np.ndarray], ns: int) -> None:
        """Write moving transforms on /tf; arguments as for `static_transforms`."""
        data = cdr_from_transforms(_stamped(transforms, ns))
        self._write("/tf", "tf2_msgs/msg/TFMessage", ns, data, TopicQos(depth=100))

    def image_file(self, path: Path, ns: int) -> None:
        """Write an image file with its CameraInfo.

        Args:
            path: JPEG and PNG files are recorded byte by byte; others are decoded, and stored as
                PNG.
            ns: Stamp, nanoseconds; later than that of the last image.

        Raises:
            InputError: If the file cannot be read, has not the camera's size, or is not later.
        """
        rgb = read_rgb(path)
        self._check(rgb, str(path))
        encoding = _FORMATS.get(path.suffix.lower())
        if encoding is None:
            self.image(rgb, ns)
        else:
            self._image(path.read_bytes(), encoding, ns)

    def image(self, rgb: np.ndarray, ns: int) -> None:
        """Write an (H, W, 3) uint8 RGB image as PNG, with its CameraInfo.

        Raises:
            InputError: If the image has not the camera's size, or is not later than the last.
        """
        self._check(rgb, "the image")
        _, png = cv2.imencode(".png", np.ascontiguousarray(rgb[..., ::-1]))
        self._image(png.tobytes(), "png", ns)

    def cloud(self, topic: str, frame: str, points: np.ndarray, ns: int) -> None:
        """Write (N, 4) float32 points x, y, z, intensity as a PointCloud2."""
        points = np.ascontiguousarray(points, dtype="<f4")
        types = self._store.types
        fields = [
            types["sensor_msgs/msg/PointField"](name, 4 * i, _FLOAT32, 1)
            for i, name in enumerate(("x", "y", "z", "intensity"))
        ]
        message = types["sensor_msgs/msg/PointCloud2"](
            header=self._header(frame, ns),
            height=1,
            width=len(points),
            fields=fields,
            is_bigendian=False,
            point_step=16,
            row_step=16 * len(points),
            data=points.view(np.uint8).reshape(-1),
            is_dense=True,
        )
        self._serialized(topic, "sensor_msgs/msg/PointCloud2", ns, message)

    def _image(self, content: bytes, encoding: str, ns: int) -> None:
        if self._last_ns is not None and ns <= self._last_ns:
            raise InputError(
                f"images must follow each other in time, got {ns} ns after {self._last_ns} ns"
            )
        self._last_ns = ns
        info = camera_info_cdr(self._camera, self._camera_frame, ns)
        self._write(self.info_topic, "sensor_msgs/msg/CameraInfo", ns, info, TopicQos())
        message = self._store.types["sensor_msgs/msg/CompressedImage"](
            header=self._header(self._camera_frame, ns),
            format=encoding,
            data=np.frombuffer(content, dtype=np.uint8),
        )
        self._serialized(self.image_topic, "sensor_msgs/msg/CompressedImage", ns, message)

    def _check(self, rgb: np.ndarray, name: str) -> None:
        pinhole = self._camera.pinhole
        if rgb.shape[:2] != (pinhole.height, pinhole.width):
            raise InputError(
                f"{name} must have the camera's size {pinhole.width} x {pinhole.height}, "
                f"got {rgb.shape[1]} x {rgb.shape[0]}"
            )

    def _header(self, frame: str, ns: int) -> Any:
        return _header(self._store, frame, ns)

    def _serialized(self, topic: str, type_name: str, ns: int, message: Any) -> None:
        data = bytes(self._store.serialize_cdr(message, type_name))
        self._write(topic, type_name, ns, data, TopicQos())

    def _write(self, topic: str, type_name: str, ns: int, data: bytes, qos: TopicQos) -> None:
        if topic not in self._topics:
            self._topics.add(topic)
            self._writer.add_topic(topic, type_name, qos)
        self._writer.write(topic, ns, data)


def camera_info_cdr(camera: CalibratedCamera, frame: str, ns: int) -> bytes:
    """Return a serialized CameraInfo of a camera whose images are in the frame they name.

    Args:
        camera: The calibration; K and P are the same, R is the identity.
        frame: Optical frame of the images.
        ns: Stamp, nanoseconds.
    """
    store = get_typestore(Stores.ROS2_JAZZY)
    types, K = store.types, camera.pinhole.K
    message = types["sensor_msgs/msg/CameraInfo"](
        header=_header(store, frame, ns),
        height=camera.pinhole.height,
        width=camera.pinhole.width,
        distortion_model=camera.distortion_model,
        d=np.array(camera.D),
        k=K.reshape(-1),
        r=np.eye(3).reshape(-1),
        p=np.hstack([K, np.zeros((3, 1))]).reshape(-1),
        binning_x=0,
        binning_y=0,
        roi=types["sensor_msgs/msg/RegionOfInterest"](0, 0, 0, 0, False),
    )
    return bytes(store.serialize_cdr(message, "sensor_msgs/msg/CameraInfo"))


def _header(store: Any, frame: str, ns: int) -> Any:
    stamp = store.types["builtin_interfaces/msg/Time"](*divmod(ns, 1_000_000_000))
    return store.types["std_msgs/msg/Header"](stamp, frame)


def _stamped(transforms: dict[tuple[str, str], np.ndarray], ns: int) -> Iterable[StampedTransform]:
    for (parent, child), T_parent_child in transforms.items():
        x, y, z, qx, qy, qz, qw = numbers_from_matrix(T_parent_child)
        yield StampedTransform(parent, child, ns, (x, y, z), (qx, qy, qz, qw))
