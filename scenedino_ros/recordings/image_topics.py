# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Finds out what the image topics of a recording show, from their first messages."""

import itertools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

import numpy as np

from scenedino_ros.cameras.from_msg import rgb_from_compressed, rgb_from_image
from scenedino_ros.core.errors import InputError, SceneDinoError
from scenedino_ros.core.outputs import OUTPUTS
from scenedino_ros.core.reading import reading
from scenedino_ros.recordings.maps import depth_from_message, label_from_message
from scenedino_ros.recordings.rosbag2.metadata import BagTopic
from scenedino_ros.recordings.rosbag2.reader import BagReader

RAW, COMPRESSED = "sensor_msgs/msg/Image", "sensor_msgs/msg/CompressedImage"
COLOR, DEPTH, LABEL, RENDERED, BROKEN = "color", "depth", "label", "rendered", "broken"

_TRANSPORTS = ("compressed", "compressedDepth")
_DEPTH_ENCODINGS = ("16UC1", "32FC1", "64FC1")
_SIXTEEN_BIT_OR_UNKNOWN = ("mono16", "png", "tiff", "")
_TRIED = 10  # first messages, of which one must be an image
# Outputs of this package's node. One of its images beside another of its topics is an output of
# the network, neither a camera image nor ground truth.
_NODE_PICTURES = tuple(output.name for output in OUTPUTS if output.array)
_NODE_TOPICS = tuple(output.name for output in OUTPUTS)


@dataclass(frozen=True)
class ImageTopic:
    """What an image topic shows.

    Attributes:
        kind: `COLOR` (grey as well), `DEPTH`, `LABEL`; `RENDERED` by this package's node; or
            `BROKEN`: not one of the first messages can be decoded.
        encoding: As the messages say it; empty: unknown.
        frame_id: Optical frame.
        size: (width, height), pixels.
        reason: Why nothing of it is used.
    """

    kind: str
    encoding: str = ""
    frame_id: str = ""
    size: tuple[int, int] = (0, 0)
    reason: str = ""


def look_at_images(reader: BagReader) -> dict[str, ImageTopic]:
    """Look at the first messages of each topic with images; those without messages are left out.

    Args:
        reader: The recording.

    Returns:
        What they show, by topic.
    """
    images = {
        name: topic
        for name, topic in reader.topics.items()
        if topic.count and topic.type in (RAW, COMPRESSED)
    }
    outputs = node_pictures(reader.topics)
    return {
        name: ImageTopic(RENDERED, reason="rendered by a scenedino node")
        if name in outputs
        else _look_at(reader, name)
        for name in images
    }


def node_pictures(topics: Mapping[str, BagTopic]) -> set[str]:
    """Return the topics of images that a node of this package rendered."""
    found = set()
    for picture in _NODE_PICTURES:
        for name in topics:
            base = without_transport(name)
            space = base.removesuffix(f"/{picture}")
            others = (f"{space}/{other}" for other in _NODE_TOPICS if other != picture)
            if space != base and any(other in topics for other in others):
                found.add(name)
    return found


def without_transport(topic: str) -> str:
    """Return the topic of the raw images, such as ``/cam/image_rect``."""
    path = PurePosixPath(topic)
    return str(path.parent) if path.name in _TRANSPORTS else topic


def image_word(topic: str) -> str:
    """Return the last word of an image topic without the transport, such as ``image_rect``."""
    return PurePosixPath(without_transport(topic)).name


def kind_by_name(topic: str) -> str:
    """Return what a topic shows according to its name."""
    word = image_word(topic)
    if topic.endswith("/compressedDepth"):
        return DEPTH
    return word if word in (DEPTH, LABEL) else COLOR


def _look_at(reader: BagReader, name: str) -> ImageTopic:
    reasons = []
    try:
        messages = itertools.islice(reader.messages([name], raw=True), _TRIED)
        for stored in messages:
            try:
                with reading(f"a message of {name}"):  # of a recorded definition
                    return _shown(name, reader.decode(stored))
            except SceneDinoError as error:
                reasons.append(str(error))
    except SceneDinoError as error:
        reasons.append(str(error))
    return ImageTopic(BROKEN, reason=reasons[0] if reasons else "none can be read")


def _shown(name: str, message: Any) -> ImageTopic:
    """Return what a message shows.

    Raises:
        InputError: If it cannot be decoded as that.
    """
    format_text = getattr(message, "format", None)
    encoding = message.encoding if format_text is None else format_text.partition(";")[0].strip()
    kind = kind_by_name(name)
    if encoding in _DEPTH_ENCODINGS or "compressedDepth" in (format_text or ""):
        kind = DEPTH
    elif kind == COLOR and encoding in _SIXTEEN_BIT_OR_UNKNOWN and "depth" in name.lower():
        try:
            return _decoded(DEPTH, depth_from_message, encoding, message)
        except InputError:  # a camera image on a topic of such a name
            kind = COLOR
    color = rgb_from_image if format_text is None else rgb_from_compressed
    readers = {COLOR: color, DEPTH: depth_from_message, LABEL: label_from_message}
    return _decoded(kind, readers[kind], encoding, message)


def _decoded(
    kind: str, read: Callable[[Any], np.ndarray], encoding: str, message: Any
) -> ImageTopic:
    height, width = read(message).shape[:2]
    return ImageTopic(kind, encoding, message.header.frame_id, (width, height))
