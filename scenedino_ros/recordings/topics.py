"""Which topics of a recording belong to one camera, told from their names and types."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath

from scenedino_ros.ros.bag_metadata import BagTopic

RAW, COMPRESSED = "sensor_msgs/msg/Image", "sensor_msgs/msg/CompressedImage"
CAMERA_INFO = "sensor_msgs/msg/CameraInfo"
ODOMETRY = "nav_msgs/msg/Odometry"
TF, TF_STATIC = "/tf", "/tf_static"
TF_MESSAGE = "tf2_msgs/msg/TFMessage"


@dataclass(frozen=True)
class CameraTopics:
    """The topics in one camera's namespace.

    Attributes:
        name: The namespace without its first slash, other slashes as ``_``: ``camera_00`` for
            ``/camera_00/image_rect/compressed``.
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
        """Whether the images are rectified: their topic says so."""
        return "rect" in image_word(self.image)

    def all(self) -> tuple[str, ...]:
        """Return the topics there are."""
        return tuple(filter(None, (self.image, self.info, self.label, self.depth)))


def find_cameras(topics: Mapping[str, BagTopic]) -> dict[str, CameraTopics]:
    """Group the topics of a recording by camera.

    Images are on ``<camera>/image_rect``, ``<camera>/image_raw`` or any other name but ``label``
    and ``depth``, which are maps of the camera's images; each may end with ``/compressed``. Where
    a camera has several image topics, rectified images count before raw ones, and compressed ones
    before others, because they are cheaper to read.

    Args:
        topics: Topics by name; those without messages are left out.

    Returns:
        Cameras by name, sorted.
    """
    present = {name: topic.type for name, topic in topics.items() if topic.count}
    spaces: dict[str, dict[str, list[str]]] = {}
    for name, kind in present.items():
        if kind in (RAW, COMPRESSED):
            word = image_word(name)
            role = word if word in ("label", "depth") else "image"
            spaces.setdefault(_namespace(name), {}).setdefault(role, []).append(name)
    cameras = {}
    for space, roles in sorted(spaces.items()):
        if "image" not in roles:
            continue
        best = {role: min(found, key=_preference) for role, found in roles.items()}
        info = str(PurePosixPath(space, "camera_info"))
        name = space.strip("/").replace("/", "_") or "camera"
        cameras[name] = CameraTopics(
            name,
            best["image"],
            info if present.get(info) == CAMERA_INFO else "",
            best.get("label", ""),
            best.get("depth", ""),
        )
    return cameras


def image_word(topic: str) -> str:
    """Return the last word of an image topic without the transport, such as ``image_rect``."""
    path = PurePosixPath(topic)
    return path.parent.name if path.name == "compressed" else path.name


def _namespace(topic: str) -> str:
    return str(PurePosixPath(topic.removesuffix("/compressed")).parent)


def _preference(topic: str) -> tuple[bool, bool, str]:
    return "rect" not in image_word(topic), not topic.endswith("/compressed"), topic
