"""The topics a node publishes, and which of them somebody listens to."""

from typing import Any, NamedTuple

from rclpy.node import Node
from rclpy.publisher import Publisher
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import CameraInfo, Image, PointCloud2
from std_msgs.msg import Header
from visualization_msgs.msg import MarkerArray

from scenedino_ros.node.to_msg import LabelInfo, clearing_markers

# Newest results matter most, and clouds are large: few are kept for a slow subscriber.
_QOS = QoSProfile(depth=2, reliability=ReliabilityPolicy.RELIABLE)
_LATCHED = QoSProfile(
    depth=1,
    reliability=ReliabilityPolicy.RELIABLE,
    durability=DurabilityPolicy.TRANSIENT_LOCAL,
)
TYPES = {
    "voxels": PointCloud2,
    "markers": MarkerArray,
    "depth/image": Image,
    "depth/camera_info": CameraInfo,
    "semantic/image": Image,
    "features/image": Image,
}


class Wanted(NamedTuple):
    """Which results somebody subscribes to; the camera_info of the views goes with the depth."""

    voxels: bool
    markers: bool
    depth: bool
    semantic: bool
    features: bool

    @property
    def grid(self) -> bool:
        """Whether the voxels have to be computed."""
        return self.voxels or self.markers

    @property
    def views(self) -> bool:
        """Whether anything has to be rendered."""
        return self.depth or self.semantic or self.features


class Outputs:
    """Publishers that exist while the node is active."""

    def __init__(self, node: Node) -> None:
        """Remember the node; no topic is opened yet."""
        self._node = node
        self._publishers: dict[str, Publisher] = {}

    def open(self) -> None:
        """Open all topics."""
        for name, message_type in TYPES.items():
            self._publishers[name] = self._node.create_publisher(message_type, f"~/{name}", _QOS)
        if LabelInfo is not None:
            self._publishers["label_info"] = self._node.create_publisher(
                LabelInfo, "~/label_info", _LATCHED
            )

    def close(self) -> None:
        """Close all topics, and take the markers away from whoever shows them."""
        if self.wanted().markers:
            self.publish("markers", clearing_markers(Header()))
        for publisher in self._publishers.values():
            self._node.destroy_publisher(publisher)
        self._publishers.clear()

    @property
    def has_label_info(self) -> bool:
        """Whether the class table can be published: vision_msgs is installed."""
        return "label_info" in self._publishers

    def wanted(self) -> Wanted:
        """Return which results somebody subscribes to now."""
        counts = self.subscriptions()
        return Wanted(
            voxels=counts.get("voxels", 0) > 0,
            markers=counts.get("markers", 0) > 0,
            depth=counts.get("depth/image", 0) + counts.get("depth/camera_info", 0) > 0,
            semantic=counts.get("semantic/image", 0) > 0,
            features=counts.get("features/image", 0) > 0,
        )

    def subscriptions(self) -> dict[str, int]:
        """Return the number of subscribers by output, without the class table."""
        return {
            name: publisher.get_subscription_count()
            for name, publisher in self._publishers.items()
            if name in TYPES
        }

    def publish(self, name: str, message: Any) -> None:
        """Publish a message, or its serialised bytes, on one output."""
        self._publishers[name].publish(message)
