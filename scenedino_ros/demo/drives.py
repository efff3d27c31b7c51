# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""What can be played: a recording, and the topics of one camera in it."""

import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from scenedino_ros.core.errors import InputError
from scenedino_ros.demo.map_frames import MapFrames, find_map_frames
from scenedino_ros.demo.stamps import header_frame
from scenedino_ros.recordings.camera_topics import CAMERA_INFO
from scenedino_ros.recordings.image_topics import (
    BROKEN,
    COLOR,
    COMPRESSED,
    ImageTopic,
    image_word,
    look_at_images,
)
from scenedino_ros.recordings.rosbag2.reader import BagReader

RATE_SAMPLE = 50  # first images, from which the rate is taken
DEFAULT_RATE_HZ = 10.0  # of images without stamps


@dataclass(frozen=True)
class Drive:
    """One camera's images in a recording.

    Attributes:
        name: Name for people.
        bag: The recording.
        image_topic: Topic of the images, with ``/compressed`` where they are.
        info_topic: Topic of their calibration; empty: another calibration is played with them.
        compressed: Whether the images are compressed.
        rectified: Whether the images are rectified.
        images: Number of images.
        rate_hz: Images per second of the recording, from the first ones.
        body_frame: Frame for grids with body axes (x forward, y left, z up), if known.
        map_frames: Frames for a map; None: the recording has no poses of the camera.
        ground_height: Height of the ground in the robot's frame of the map, metres.
        left_out: Number of images that could not be recorded.
    """

    name: str
    bag: Path
    image_topic: str
    info_topic: str
    compressed: bool
    rectified: bool
    images: int
    rate_hz: float
    body_frame: str = ""
    map_frames: MapFrames | None = None
    ground_height: float = 0.0
    left_out: int = 0


def find_drive(
    bag: Path,
    *,
    name: str = "",
    image_topic: str = "",
    info_topic: str = "",
    has_calibration: bool = False,
    rectified: bool | None = None,
    body_frame: str = "",
    ground_height: float = 0.0,
) -> Drive:
    """Choose the topics of one camera in a recording.

    Args:
        bag: The recording.
        name: Name for people; empty: the name of the recording.
        image_topic: Topic of the images; empty: the only camera's.
        info_topic: Topic of the calibration; empty: ``camera_info`` beside the images.
        has_calibration: Whether another calibration is used, so that none is needed here.
        rectified: Whether the images are rectified; None: take it from their topic's name.
        body_frame: Frame for grids with body axes.
        ground_height: Height of the ground in the robot's frame of the map, metres.

    Raises:
        InputError: If it is not clear which topics to use, or there are no images.
        BagError: If the recording cannot be read.
    """
    with BagReader(bag) as reader:
        types = {topic.name: topic.type for topic in reader.topics.values() if topic.count}
        image_topic = _image_topic(look_at_images(reader), types, image_topic, bag)
        info_topic = "" if has_calibration else _info_topic(types, image_topic, info_topic, bag)
        images = reader.messages([image_topic], raw=True)
        first = next(images)
        times = [first.time_ns]
        times += [message.time_ns for message in itertools.islice(images, RATE_SAMPLE - 1)]
        count = reader.topics[image_topic].count
        map_frames = find_map_frames(reader, header_frame(first.message))
    span = times[-1] - times[0]
    rate = (len(times) - 1) * 1e9 / span if span > 0 else DEFAULT_RATE_HZ
    return Drive(
        name=name or bag.name,
        bag=bag,
        image_topic=image_topic,
        info_topic=info_topic,
        compressed=types[image_topic] == COMPRESSED,
        rectified="rect" in image_word(image_topic) if rectified is None else rectified,
        images=count,
        rate_hz=rate,
        body_frame=body_frame,
        map_frames=map_frames,
        ground_height=ground_height,
    )


def _image_topic(
    images: Mapping[str, ImageTopic], types: Mapping[str, str], wanted: str, bag: Path
) -> str:
    topics = [name for name, shown in images.items() if shown.kind == COLOR]
    if not topics or wanted in images:  # the node reports what is wrong with broken ones
        topics += [name for name, shown in images.items() if shown.kind == BROKEN]
    if wanted:
        if wanted in topics:
            return wanted
        if f"{wanted}/compressed" in topics:
            return f"{wanted}/compressed"
        if wanted in images:
            shown = images[wanted]
            what = shown.reason or f"{shown.kind} ({shown.encoding})"
            raise InputError(f"'{wanted}' in {bag} must have pictures of a camera, got {what}")
        raise InputError(
            f"{bag} has no images on '{wanted}'; image topics: {', '.join(topics) or 'none'}"
        )
    # The same images may be there raw and compressed; the latter are cheaper to read.
    distinct = [name for name in topics if f"{name}/compressed" not in topics]
    if not distinct:
        raise InputError(f"{bag} has no images; its topics: {', '.join(types) or 'none'}")
    if len(distinct) > 1:
        raise InputError(
            f"{bag} has several image topics, choose one with --image-topic: {', '.join(distinct)}"
        )
    return distinct[0]


def _info_topic(types: Mapping[str, str], image_topic: str, wanted: str, bag: Path) -> str:
    topics = [name for name, kind in types.items() if kind == CAMERA_INFO]
    if wanted:
        if wanted in topics:
            return wanted
        raise InputError(
            f"{bag} has no CameraInfo on '{wanted}'; such topics: {', '.join(topics) or 'none'}"
        )
    base = PurePosixPath(image_topic.removesuffix("/compressed"))
    beside = str(base.parent / "camera_info")
    if beside in topics:
        return beside
    if len(topics) == 1:
        return topics[0]
    raise InputError(
        f"{bag} has no CameraInfo beside {image_topic}; choose with --camera-info-topic from "
        f"{', '.join(topics) or 'none'}, or give --intrinsics or --camera-info"
    )
