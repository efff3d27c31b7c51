# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Groups the topics of a recording by camera, from their names and types."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath

from scenedino_ros.recordings.image_topics import (
    COLOR,
    COMPRESSED,
    DEPTH,
    LABEL,
    RAW,
    ImageTopic,
    image_word,
    kind_by_name,
    without_transport,
)
from scenedino_ros.recordings.rosbag2.metadata import BagTopic

CAMERA_INFO = "sensor_msgs/msg/CameraInfo"
ODOMETRY = "nav_msgs/msg/Odometry"
TF_STATIC = "/tf_static"
TF_MESSAGE = "tf2_msgs/msg/TFMessage"

_ROOT = "camera"  # name of a camera whose topics have no namespace


@dataclass(frozen=True)
class CameraTopics:
    """The topics in one camera's namespace.

    Attributes:
        name: The namespace without its first slash: ``rig/front`` for
            ``/rig/front/image_rect/compressed``; ``camera`` where there is none.
        image: Topic of the images.
        info: Topic of the calibration; empty: there is none.
        label: Topic of the label maps; empty: there is none.
        depth: Topic of the depth maps; empty: there is none.
    """

    name: str
    image: str
    info: str = ""
    label: str = ""
    depth: str = ""

    @property
    def rectified(self) -> bool:
        """Whether the name of their topic says that the images are rectified."""
        return "rect" in image_word(self.image)

    def all(self) -> tuple[str, ...]:
        """Return the topics there are."""
        return tuple(filter(None, (self.image, self.info, self.label, self.depth)))


def find_cameras(
    topics: Mapping[str, BagTopic], images: Mapping[str, ImageTopic] | None = None
) -> dict[str, CameraTopics]:
    """Group the topics of a recording by camera.

    Images are on ``<camera>/image_rect``, ``<camera>/image_raw`` or any other name but ``label``
    and ``depth``, which are maps of the camera's images; each may end with ``/compressed``. Where
    a camera has several image topics, rectified images count before raw ones, those whose name
    begins with ``image`` before others, and compressed ones before others, because they are
    cheaper to read. Depth on any other topic belongs to the camera in whose frame and of whose
    size it is.

    Args:
        topics: Topics by name; those without messages are left out.
        images: What the image topics show, from `look_at_images`; None: what their names say.

    Returns:
        Cameras by name, sorted.
    """
    if images is None:
        images = {
            topic.name: ImageTopic(kind_by_name(topic.name))
            for topic in topics.values()
            if topic.count and topic.type in (RAW, COMPRESSED)
        }
    spaces: dict[str, dict[str, list[str]]] = {}
    for name, shown in images.items():
        # Depth on another topic than <camera>/depth may be of a camera elsewhere.
        if shown.kind in (COLOR, LABEL) or (shown.kind == DEPTH and image_word(name) == DEPTH):
            spaces.setdefault(_namespace(name), {}).setdefault(shown.kind, []).append(name)
    cameras = {}
    for space, roles in sorted(spaces.items()):
        if COLOR not in roles:
            continue
        image = min(roles[COLOR], key=_preference)
        depths = roles.get(DEPTH) or _depth_of(images[image], images)
        info = str(PurePosixPath(space, "camera_info"))
        calibrated = info in topics and topics[info].count and topics[info].type == CAMERA_INFO
        # Beside a camera in a namespace of that name, one without a namespace is another.
        root = "/" if COLOR in spaces.get(f"/{_ROOT}", {}) else _ROOT
        name = space.strip("/") or root
        cameras[name] = CameraTopics(
            name,
            image,
            info if calibrated else "",
            min(roles.get(LABEL, [""]), key=_preference),
            min(depths or [""], key=_preference),
        )
    return dict(sorted(cameras.items()))


def unused_images(
    images: Mapping[str, ImageTopic], cameras: Mapping[str, CameraTopics]
) -> list[str]:
    """Describe the image topics that are no camera's, and why.

    Args:
        images: What the image topics show.
        cameras: The cameras that were found.
    """
    used = {without_transport(topic) for camera in cameras.values() for topic in camera.all()}
    unused = []
    for name, shown in sorted(images.items()):
        if shown.reason:
            unused.append(f"{name} ({shown.reason})")
        elif shown.kind != COLOR and without_transport(name) not in used:
            width, height = shown.size
            unused.append(
                f"{name} ({shown.kind} of no camera: frame '{shown.frame_id}', "
                f"{width} x {height} px, {shown.encoding})"
            )
    return unused


def _depth_of(image: ImageTopic, images: Mapping[str, ImageTopic]) -> list[str]:
    """Return the depth topics whose pixels are those of a camera's images."""
    if not image.frame_id:
        return []
    return [
        name
        for name, shown in images.items()
        if shown.kind == DEPTH
        and image_word(name) != DEPTH
        and "depth" in name.lower()
        and (shown.frame_id, shown.size) == (image.frame_id, image.size)
    ]


def _namespace(topic: str) -> str:
    return str(PurePosixPath(without_transport(topic)).parent)


def _preference(topic: str) -> tuple[bool, bool, bool, bool, str]:
    word = image_word(topic)
    return (
        "rect" not in word,
        not word.startswith("image"),
        not topic.endswith("/compressed"),
        topic.endswith("/compressedDepth"),  # quantised
        topic,
    )
