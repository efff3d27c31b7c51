# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Writes the drive of a camera rig as a rosbag2 recording: images, calibration, transforms."""

import functools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rosbags.typesys import Stores, get_typestore
from rosbags.typesys.store import Typestore

from scenedino_ros.cameras.camera import CalibratedCamera
from scenedino_ros.cameras.distortion import MEI
from scenedino_ros.cameras.image_file import encode_png
from scenedino_ros.cameras.image_folder import read_rgb
from scenedino_ros.core.errors import InputError
from scenedino_ros.recordings.rosbag2.metadata import TopicQos
from scenedino_ros.recordings.rosbag2.split_writer import SplitBagWriter
from scenedino_ros.recordings.rosbag2.writer import BagWriter
from scenedino_ros.recordings.tf_cdr import cdr_from_transforms
from scenedino_ros.recordings.transforms import StampedTransform, numbers_from_matrix

_FORMATS = {".jpg": "jpeg", ".jpeg": "jpeg", ".png": "png"}  # kept as they are
_FLOAT32 = 7  # sensor_msgs/PointField.FLOAT32
_DEPTH_UNIT = 0.001  # metres; as 16-bit depth images have it in ROS


@dataclass(frozen=True, eq=False)
class RecordedCamera:
    """A camera and the topics of its messages.

    Attributes:
        topic: Namespace of its topics, such as ``/camera_00``.
        frame: Optical frame of its images.
        camera: Its calibration.
    """

    topic: str
    frame: str
    camera: CalibratedCamera

    @property
    def image_topic(self) -> str:
        """Topic of the images."""
        kind = "image_raw" if self.camera.is_distorted else "image_rect"
        return f"{self.topic}/{kind}/compressed"

    @property
    def info_topic(self) -> str:
        """Topic of the CameraInfo."""
        return f"{self.topic}/camera_info"


class DriveWriter:
    """Records the drive of one or several cameras; a context manager.

    Images are `sensor_msgs/CompressedImage` on ``<camera>/image_rect/compressed`` (or
    ``image_raw`` for distorted cameras), each with a CameraInfo of the same stamp on
    ``<camera>/camera_info``. Class maps and depth are PNGs on ``<camera>/label/compressed`` and
    ``<camera>/depth/compressed``. Messages are recorded at their stamps, so what belongs to an
    image must be written with or before it. Leaving the context closes the recording; after an
    exception it is abandoned: a `BagWriter` removes it, a `SplitBagWriter` can resume it.
    """

    def __init__(
        self, writer: BagWriter | SplitBagWriter, cameras: Sequence[RecordedCamera]
    ) -> None:
        """Take over a recording that has just begun or is resumed.

        Args:
            writer: Writes the messages.
            cameras: The rig; methods name a camera by its topic.
        """
        self._store = _store()
        self._cameras = {camera.topic: camera for camera in cameras}
        self._writer = writer
        self._last_ns: dict[str, int] = {}  # by topic
        self._topics: set[str] = set()

    def __enter__(self) -> "DriveWriter":
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            self._writer.close()
        else:
            self._writer.abandon()

    def static_transforms(self, transforms: dict[tuple[str, str], np.ndarray], ns: int) -> None:
        """Write fixed transforms on /tf_static.

        Args:
            transforms: (4, 4) T_parent_child by (parent, child).
            ns: Time of the message, nanoseconds.
        """
        data = cdr_from_transforms(stamped_transforms(transforms, ns))
        qos = TopicQos(transient_local=True, depth=1)
        self._write("/tf_static", "tf2_msgs/msg/TFMessage", ns, data, qos)

    def transforms(self, transforms: dict[tuple[str, str], np.ndarray], ns: int) -> None:
        """Write moving transforms on /tf; arguments as for `static_transforms`."""
        data = cdr_from_transforms(stamped_transforms(transforms, ns))
        self._write("/tf", "tf2_msgs/msg/TFMessage", ns, data, TopicQos(depth=100))

    def image_file(self, camera: str, path: Path, ns: int) -> None:
        """Write an image file with its CameraInfo.

        Args:
            camera: Topic of the camera.
            path: JPEG and PNG files are recorded byte by byte; others are decoded, and stored as
                PNG.
            ns: Stamp, nanoseconds; later than that of the camera's last image.

        Raises:
            InputError: If the file cannot be read, its size is wrong, or it is not later.
        """
        rgb = read_rgb(path)
        encoding = _FORMATS.get(path.suffix.lower())
        if encoding is None:
            self.image(camera, rgb, ns)
            return
        self._check(camera, rgb, str(path))
        self._image(camera, path.read_bytes(), encoding, ns)

    def image(self, camera: str, rgb: np.ndarray, ns: int) -> None:
        """Write an (H, W, 3) uint8 RGB image as PNG, with its CameraInfo.

        Raises:
            InputError: If the size of the image is wrong, or it is not later than the last one.
        """
        self._check(camera, rgb, "the image")
        self._image(camera, encode_png(rgb[..., ::-1]), "png", ns)

    def label(self, camera: str, train_ids: np.ndarray, ns: int) -> None:
        """Write the classes of an image's pixels as PNG.

        Args:
            camera: Topic of the camera.
            train_ids: (H, W) uint8 Cityscapes train ids, 255 where there is none.
            ns: Stamp of the image.

        Raises:
            InputError: If the array has not the camera's size, or is not later than the last.
        """
        topic = f"{camera}/label/compressed"
        self._check(camera, train_ids, "the class map")
        self._check_later(topic, ns)
        self._compressed(topic, camera, encode_png(train_ids), "png", ns)

    def depth(self, camera: str, depth: np.ndarray, ns: int) -> None:
        """Write the depth of an image's pixels as 16-bit PNG of millimetres.

        Args:
            camera: Topic of the camera.
            depth: (H, W) metres along the optical axis; 0, or not finite: unknown. What is
                farther than 65.535 m is clipped to that.
            ns: Stamp of the image.

        Raises:
            InputError: If the array has not the camera's size, or is not later than the last.
        """
        topic = f"{camera}/depth/compressed"
        self._check(camera, depth, "the depth")
        self._check_later(topic, ns)
        known = np.where(np.isfinite(depth), depth, 0.0) / _DEPTH_UNIT
        millimetres = np.rint(known.clip(0, np.iinfo(np.uint16).max)).astype(np.uint16)
        self._compressed(topic, camera, encode_png(millimetres), "png", ns)

    def cloud(self, topic: str, frame: str, points: np.ndarray, ns: int) -> None:
        """Write (N, 4) float32 points x, y, z, intensity as a PointCloud2."""
        points = np.ascontiguousarray(points, dtype="<f4")
        types = self._store.types
        fields = [
            types["sensor_msgs/msg/PointField"](name, 4 * i, _FLOAT32, 1)
            for i, name in enumerate(("x", "y", "z", "intensity"))
        ]
        message = types["sensor_msgs/msg/PointCloud2"](
            header=_header(self._store, frame, ns),
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

    def _image(self, topic: str, content: bytes, encoding: str, ns: int) -> None:
        camera = self._cameras[topic]
        self._check_later(camera.image_topic, ns)
        info = camera_info_cdr(camera.camera, camera.frame, ns)
        self._write(camera.info_topic, "sensor_msgs/msg/CameraInfo", ns, info, TopicQos())
        self._compressed(camera.image_topic, topic, content, encoding, ns)

    def _compressed(self, topic: str, camera: str, content: bytes, encoding: str, ns: int) -> None:
        message = self._store.types["sensor_msgs/msg/CompressedImage"](
            header=_header(self._store, self._cameras[camera].frame, ns),
            format=encoding,
            data=np.frombuffer(content, dtype=np.uint8),
        )
        self._serialized(topic, "sensor_msgs/msg/CompressedImage", ns, message)

    def _check_later(self, topic: str, ns: int) -> None:
        last_ns = self._last_ns.get(topic)
        if last_ns is not None and ns <= last_ns:
            raise InputError(
                f"messages of {topic} must follow each other in time, got {ns} ns after "
                f"{last_ns} ns"
            )
        self._last_ns[topic] = ns

    def _check(self, camera: str, image: np.ndarray, name: str) -> None:
        pinhole = self._cameras[camera].camera.pinhole
        if image.shape[:2] != (pinhole.height, pinhole.width):
            raise InputError(
                f"{name} must have the camera's size {pinhole.width} x {pinhole.height}, "
                f"got {image.shape[1]} x {image.shape[0]}"
            )

    def _serialized(self, topic: str, type_name: str, ns: int, message: object) -> None:
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
        camera: The calibration; K and P are the same but for a skew, R is the identity. A
            fisheye's P is zero: there is no rectified image of the same intrinsics.
        frame: Optical frame of the images.
        ns: Stamp, nanoseconds.
    """
    store = _store()
    types = store.types
    P = np.hstack([camera.pinhole.K * (camera.distortion_model != MEI), np.zeros((3, 1))])
    message = types["sensor_msgs/msg/CameraInfo"](
        header=_header(store, frame, ns),
        height=camera.pinhole.height,
        width=camera.pinhole.width,
        distortion_model=camera.distortion_model,
        d=np.array(camera.D),
        k=camera.K.reshape(-1),
        r=np.eye(3).reshape(-1),
        p=P.reshape(-1),
        binning_x=0,
        binning_y=0,
        roi=types["sensor_msgs/msg/RegionOfInterest"](0, 0, 0, 0, False),
    )
    return bytes(store.serialize_cdr(message, "sensor_msgs/msg/CameraInfo"))


@functools.cache
def _store() -> Typestore:
    """Return the message types; each store compiles its own code for them, which takes a while."""
    return get_typestore(Stores.ROS2_JAZZY)


def _header(store: Typestore, frame: str, ns: int) -> Any:
    stamp = store.types["builtin_interfaces/msg/Time"](*divmod(ns, 1_000_000_000))
    return store.types["std_msgs/msg/Header"](stamp, frame)


def stamped_transforms(
    transforms: Mapping[tuple[str, str], np.ndarray], ns: int
) -> Iterator[StampedTransform]:
    """Yield (4, 4) T_parent_child by (parent, child) as transforms of one time, nanoseconds."""
    for (parent, child), T_parent_child in transforms.items():
        x, y, z, qx, qy, qz, qw = numbers_from_matrix(T_parent_child)
        yield StampedTransform(parent, child, ns, (x, y, z), (qx, qy, qz, qw))
