# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Drives for benchmarks of the node: synthetic images, and recordings with raw images."""

import functools
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from rosbags.typesys import Stores, get_typestore
from rosbags.typesys.store import Typestore

from scenedino_ros.cameras.camera import CalibratedCamera, PinholeCamera
from scenedino_ros.cameras.from_msg import rgb_from_compressed
from scenedino_ros.demo.drives import Drive, find_drive
from scenedino_ros.evaluation.ssc import rules as ssc
from scenedino_ros.recordings.datasets.drive_writer import DriveWriter, RecordedCamera
from scenedino_ros.recordings.image_topics import COMPRESSED, RAW
from scenedino_ros.recordings.rosbag2.reader import BagReader
from scenedino_ros.recordings.rosbag2.writer import BagWriter

IMAGES = 10
_PERIOD_NS = 100_000_000
_START_NS = 1_000_000_000  # a stamp of zero means "latest" in TF
_BLOCK = 8  # pixels; pure noise would make JPEG and PNG files that no camera makes

Progress = Callable[[int, int], None]  # images done, images in all


def synthetic_drive(path: Path, camera: PinholeCamera = ssc.CAMERA) -> Drive:
    """Record blocky noise as KITTI-360's camera would take it, 10 images a second.

    Args:
        path: Folder of the recording; must not exist.
        camera: Camera of the images; it stands in the frame ``velodyne`` as that camera does.
    """
    recorded = RecordedCamera("/camera_00", "camera_00_rect", CalibratedCamera(camera))
    draws = np.random.default_rng(0)
    rows, columns = -(-camera.height // _BLOCK), -(-camera.width // _BLOCK)
    with DriveWriter(BagWriter(path), [recorded]) as writer:
        writer.static_transforms({("velodyne", recorded.frame): ssc.T_VELO_CAM}, _START_NS)
        for number in range(IMAGES):
            coarse = draws.integers(0, 256, (rows, columns, 3), dtype=np.uint8)
            rgb = coarse.repeat(_BLOCK, axis=0).repeat(_BLOCK, axis=1)
            rgb = rgb[: camera.height, : camera.width]
            writer.image(recorded.topic, rgb, _START_NS + number * _PERIOD_NS)
    return find_drive(path, name="synthetic images", rectified=True, body_frame="velodyne")


def with_raw_images(drive: Drive, path: Path, most: int, progress: Progress) -> Drive:
    """Record a drive again with its images as a camera driver publishes them, not compressed.

    Args:
        drive: The drive; one that has raw images is returned as it is.
        path: Folder of the recording; must not exist.
        most: How many images are needed at most.
        progress: Called with the progress.

    Returns:
        The drive with `sensor_msgs/Image` in rgb8.

    Raises:
        InputError: If an image cannot be read.
    """
    if not drive.compressed:
        return drive
    topic = drive.image_topic.removesuffix("/compressed")
    done, images = 0, min(most, drive.images)
    with BagReader(drive.bag) as reader, BagWriter(path) as writer:
        kept = [name for name in (drive.info_topic, "/tf", "/tf_static") if name in reader.topics]
        for name in kept:
            writer.add_topic(name, reader.topics[name].type, reader.topics[name].qos)
        writer.add_topic(topic, RAW)
        for message in reader.messages([drive.image_topic, *kept], raw=True):
            if message.topic != drive.image_topic:
                writer.write(message.topic, message.time_ns, message.message)
                continue
            writer.write(topic, message.time_ns, _raw_image(message.message))
            done += 1
            progress(done, images)
            if done == images:
                break
    return replace(drive, bag=path, image_topic=topic, compressed=False, images=done)


def _raw_image(data: bytes) -> bytes:
    """Return a serialized CompressedImage as a serialized Image."""
    store = _store()
    compressed: Any = store.deserialize_cdr(data, COMPRESSED)
    rgb = np.ascontiguousarray(rgb_from_compressed(compressed))
    height, width = rgb.shape[:2]
    message = store.types[RAW](
        header=compressed.header,
        height=height,
        width=width,
        encoding="rgb8",
        is_bigendian=0,
        step=3 * width,
        data=rgb.reshape(-1),
    )
    return bytes(store.serialize_cdr(message, RAW))


@functools.cache
def _store() -> Typestore:
    return get_typestore(Stores.ROS2_JAZZY)
