# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""A recording with cameras: any image by camera and index, and the problems found."""

import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from scenedino_ros.cameras.camera import CalibratedCamera
from scenedino_ros.cameras.from_msg import camera_from_info, rgb_from_compressed, rgb_from_image
from scenedino_ros.core.errors import InputError
from scenedino_ros.core.reading import reading
from scenedino_ros.recordings.bag_index import BagIndex, Progress, read_index
from scenedino_ros.recordings.camera_topics import CameraTopics, find_cameras, unused_images
from scenedino_ros.recordings.image_topics import COMPRESSED, look_at_images
from scenedino_ros.recordings.maps import depth_from_message, label_from_message
from scenedino_ros.recordings.rosbag2.reader import BagMessage, BagReader
from scenedino_ros.recordings.streams import Stream


@dataclass(frozen=True, eq=False)
class BagCamera:
    """One camera of a recording.

    Attributes:
        name: Such as ``camera_00``.
        calibration: The camera of the images.
        images: Its images.
        labels: Class ids of its images; None: not recorded.
        depths: z-depth of its images; None: not recorded.
        baseline: How far it is to the right of its stereo partner according to the projection
            matrix, metres; 0: it is the left one, or has no partner.
    """

    name: str
    calibration: CalibratedCamera
    images: Stream
    labels: Stream | None = None
    depths: Stream | None = None
    baseline: float = 0.0


class Recording:
    """Random access to the camera frames of any rosbag2 recording; a context manager.

    Opening reads every message of cameras and poses once: what cannot be read is known and
    counted from then on. Frames may be read from any thread.

    Attributes:
        path: The recording.
        index: Transforms and odometry.
        cameras: Cameras by name.
        lost: Number of messages that exist according to the file but cannot be read, by topic.
        not_read: Topics with images or unknown content that are not used, with the reason.
        problems: Sentences on what is damaged, missing, left out or contradictory.
    """

    def __init__(self, path: Path, *, progress: Progress | None = None) -> None:
        """Open and index a recording.

        Args:
            path: Folder or storage file.
            progress: Called with the number of messages read and their number in all.

        Raises:
            BagError: If it cannot be read.
            InputError: If it has no camera with images of one frame and a calibration that
                stays.
        """
        self.path = Path(path)
        self._lock = threading.Lock()
        self._reader = BagReader(path)
        try:
            images = look_at_images(self._reader)
            found = find_cameras(self._reader.topics, images)
            self.not_read = [*self._reader.not_read, *unused_images(images, found)]
            self.index: BagIndex = read_index(self._reader, found, progress)
            self._own_problems = list(self.index.problems)
            self.cameras = self._usable_cameras(found)
            self._check_gaps()
            self._check_places()
        except BaseException:
            self._reader.close()
            raise
        promised = self._reader.promised
        read = {topic: len(times) for topic, times in self.index.recorded_ns.items()}
        self.lost = {t: promised[t] - n for t, n in sorted(read.items()) if promised[t] > n}

    def __enter__(self) -> "Recording":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the files."""
        self._reader.close()

    @property
    def problems(self) -> list[str]:
        """Sentences on what is damaged, missing, left out or contradictory."""
        return [*self._reader.problems, *self._own_problems]

    def camera(self, name: str) -> BagCamera:
        """Return a camera.

        Raises:
            InputError: If the recording does not have it.
        """
        if name not in self.cameras:
            raise InputError(
                f"{self.path} has no camera '{name}'; it has {', '.join(self.cameras)}"
            )
        return self.cameras[name]

    def image(self, camera: str, index: int) -> np.ndarray:
        """Return the (H, W, 3) uint8 RGB image of a camera by its index in time, as recorded.

        Raises:
            InputError: If there is none, or it cannot be decoded, saying which it is.
        """
        stream = self.camera(camera).images
        message = self._message(stream, index)
        read = rgb_from_compressed if message.type == COMPRESSED else rgb_from_image
        return _decoded(read, stream, index, message)

    def label(self, camera: str, index: int) -> np.ndarray:
        """Return (H, W) uint8 class ids by index in the camera's ``labels``."""
        stream = self.camera(camera).labels
        if stream is None:
            raise InputError(f"{self.path} has no label maps of {camera}")
        return _decoded(label_from_message, stream, index, self._message(stream, index))

    def depth(self, camera: str, index: int) -> np.ndarray:
        """Return (H, W) float32 z-depth in metres, 0 unknown, by index in ``depths``."""
        stream = self.camera(camera).depths
        if stream is None:
            raise InputError(f"{self.path} has no depth maps of {camera}")
        return _decoded(depth_from_message, stream, index, self._message(stream, index))

    def T_body_cam(self, camera: str, body_frame: str) -> np.ndarray:
        """Return the pose of a camera on the vehicle.

        Args:
            camera: Its name.
            body_frame: Frame of the vehicle.

        Returns:
            (4, 4) float64 camera (frame of its images) to body, metres.

        Raises:
            TransformError: If no transform connects the two frames.
            InputError: If the camera moves on the vehicle.
        """
        images = self.camera(camera).images
        first, last = (
            self.index.tree.lookup(body_frame, images.frame_id, int(images.stamps_ns[end]))
            for end in (0, -1)
        )
        if not np.allclose(first, last, atol=1e-6):
            raise InputError(
                f"{camera} must be fixed to '{body_frame}', but '{images.frame_id}' moves by "
                f"{np.abs(first - last).max():.3g} between its first and last image"
            )
        return first

    def _message(self, stream: Stream, index: int) -> BagMessage:
        if not 0 <= index < len(stream):
            raise InputError(f"{stream.topic} has {len(stream)} messages, got index {index}")
        with self._lock:
            return self._reader.message_at(stream.places[index])

    def _usable_cameras(self, found: dict[str, CameraTopics]) -> dict[str, BagCamera]:
        """Return the cameras that have images and a calibration; note what the others lack."""
        cameras = {}
        for name, topics in found.items():
            try:
                cameras[name] = self._usable_camera(name, topics)
            except InputError as error:
                self._own_problems.append(f"camera {name} is left out: {error}")
        if not cameras:
            topics_there = ", ".join(self._reader.topics) or "none"
            raise InputError(
                f"{self.path} has no camera with images and CameraInfo; its topics: {topics_there}"
                + "".join(f"; {problem}" for problem in self.problems)
                + "".join(f"; not read: {topic}" for topic in self.not_read)
            )
        return cameras

    def _usable_camera(self, name: str, topics: CameraTopics) -> BagCamera:
        """Return a camera.

        Raises:
            InputError: Saying what it lacks.
        """
        info = self.index.calibrations.get(topics.info)
        if info is None:
            raise InputError("it has no CameraInfo")
        if topics.info in self.index.changing:
            raise InputError(self.index.changing[topics.info])
        with reading(f"the calibration on {topics.info}"):  # of a recorded definition
            calibration = camera_from_info(info, rectified=topics.rectified)
            baseline = _baseline(info)
        images = self.index.frames[topics.image].stream(self._own_problems)
        if not len(images):
            raise InputError("it has no images with stamps")
        labels, depths = (self._maps(topic, images) for topic in (topics.label, topics.depth))
        return BagCamera(name, calibration, images, labels, depths, baseline)

    def _maps(self, topic: str, images: Stream) -> Stream | None:
        """Return the maps of a camera's images, None where there are none that can be used."""
        if not topic:
            return None
        try:
            maps = self.index.frames[topic].stream(self._own_problems)
        except InputError as error:
            self._own_problems.append(f"{topic} is left out: {error}")
            return None
        self._own_problems += images.strays(maps)
        return maps

    def _check_places(self) -> None:
        """Note right cameras whose images name the left camera's frame, as some rectifiers do."""
        for camera in self.cameras.values():
            frame = camera.images.frame_id
            same = [
                other.name
                for other in self.cameras.values()
                if other is not camera and other.images.frame_id == frame
            ]
            if same and camera.baseline > 0:
                self._own_problems.append(
                    f"camera {camera.name} has the frame '{frame}' of {', '.join(same)}, but its "
                    f"projection matrix says that it is {camera.baseline:.3g} m to the right; "
                    "transforms place both at one point"
                )

    def _check_gaps(self) -> None:
        for camera in self.cameras.values():
            topic = camera.images.topic
            self._own_problems += camera.images.gaps(self.index.others_between(topic))


def _baseline(info: Any) -> float:
    """Return -P[0, 3] / P[0, 0] of a CameraInfo, metres; 0 where it has no P."""
    P = np.asarray(info.p, dtype=np.float64)
    return float(-P[3] / P[0]) if P.size == 12 and P[0] > 0 else 0.0


def _decoded(
    read: Callable[[Any], np.ndarray], stream: Stream, index: int, message: BagMessage
) -> np.ndarray:
    try:
        with reading("the message"):  # of a recorded definition
            return read(message.message)
    except InputError as error:
        seconds = int(stream.stamps_ns[index]) / 1e9
        raise InputError(f"{stream.topic} at {seconds:.3f} s: {error}") from error
