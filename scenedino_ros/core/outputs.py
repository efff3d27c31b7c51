# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""The table of what the node publishes, one row for each topic.

The node makes its publishers from the table and computes only what subscribers need. The launch
file, the demo and the benchmark take names and types from it. Tests compare it with the
configurations of RViz and Foxglove and with the documented topics.

To add an output: add its row here. If it is an image that `Predictor.render` can return, that is
all; otherwise `FrameProcessor` (node/processor.py) also needs the function that makes its message.
"""

from dataclasses import dataclass

NODE = "scenedino"  # the node's name unless the user gives another
VOXELS = "voxels"  # value of `Output.needs` for what is made from the voxel grid
MAP = "map"  # the same for what is made from the rolling map
MARKERS = "visualization_msgs/msg/MarkerArray"
_WITHOUT_HEADER = (MARKERS,)


@dataclass(frozen=True)
class Output:
    """One topic that the node publishes.

    Every output is reliable and has a short queue: the newest results matter most, and clouds are
    large.

    Attributes:
        name: Topic, below the node's own name.
        type: Message type, such as ``sensor_msgs/msg/Image``.
        meaning: What the messages hold, for people.
        needs: What has to be computed: `VOXELS`, `MAP`, or the argument of `Predictor.render` that
            asks for a rendered image. Empty: nothing of every image; the node publishes it once,
            when activated, or when it is asked to.
        array: Attribute of `RenderedView` that an image is made from; empty: no rendered image.
        encoding: Encoding of that image.
        latched: Whether a late subscriber still gets the last message (transient local).
        optional: Whether the node goes without it where the package of its type is not installed.
        shared: Whether there is one for all cameras. The others are there once for each camera,
            below its name.
    """

    name: str
    type: str
    meaning: str
    needs: str = ""
    array: str = ""
    encoding: str = ""
    latched: bool = False
    optional: bool = False
    shared: bool = False

    @property
    def depth(self) -> int:
        """Length of the publisher's queue."""
        return 1 if self.latched else 2

    @property
    def has_stamp(self) -> bool:
        """Whether the message begins with a header, which has the stamp of the image."""
        return self.type not in _WITHOUT_HEADER

    def topic(self, node: str = NODE, camera: str = "") -> str:
        """Return the full name of the topic.

        Args:
            node: The node's full name without the first slash.
            camera: Name of the camera, where the node has several; shared outputs ignore it.
        """
        return f"/{node}/{self.below_node(camera)}"

    def below_node(self, camera: str = "") -> str:
        """Return the topic below the node's name, for a camera as in `topic`."""
        return f"{camera}/{self.name}" if camera and not self.shared else self.name


# In the order in which the results of one image are published.
OUTPUTS = (
    Output(
        "label_info",
        "vision_msgs/msg/LabelInfo",
        "class table, latched, where vision_msgs is installed",
        latched=True,
        optional=True,
        shared=True,
    ),
    Output(
        "voxels",
        "sensor_msgs/msg/PointCloud2",
        "one point per occupied voxel of the surface, or of all with `voxels.exposed_only: "
        "false`: x, y, z, rgb, label, confidence, density",
        needs=VOXELS,
    ),
    Output(
        "markers",
        MARKERS,
        "the same voxels as cubes, one `CUBE_LIST` per class",
        needs=VOXELS,
    ),
    Output(
        "depth/image",
        "sensor_msgs/msg/Image",
        "32FC1, metres along the optical axis, rendered from the field; +Inf where a ray meets no "
        "surface, as in the sky (REP 117)",
        needs="depth",
        array="depth",
        encoding="32FC1",
    ),
    Output(
        "depth/camera_info",
        "sensor_msgs/msg/CameraInfo",
        "camera of the three rendered images",
        needs="depth",
    ),
    Output(
        "semantic/image",
        "sensor_msgs/msg/Image",
        "mono8, class ids",
        needs="semantic",
        array="label",
        encoding="mono8",
    ),
    Output(
        "features/image",
        "sensor_msgs/msg/Image",
        "rgb8, principal components of the features",
        needs="features",
        array="colors",
        encoding="rgb8",
    ),
    Output(
        "map/voxels",
        "sensor_msgs/msg/PointCloud2",
        "one point per occupied voxel of the map: x, y, z, rgb, label, confidence, occupancy, age",
        needs=MAP,
        latched=True,
        shared=True,
    ),
    Output(
        "map/markers",
        MARKERS,
        "the same voxels as cubes, one `CUBE_LIST` per class",
        needs=MAP,
        latched=True,
        shared=True,
    ),
    Output(
        "occupancy_grid",
        "nav_msgs/msg/OccupancyGrid",
        "what a ground robot meets: 0 free, 1 to 100 the cost of the class, -1 unknown",
        needs=MAP,
        latched=True,
        shared=True,
    ),
    Output(
        "obstacles",
        "sensor_msgs/msg/PointCloud2",
        "voxels of the map that a ground robot can hit; fields as `~/map/voxels`",
        needs=MAP,
        shared=True,
    ),
    Output(
        "ground",
        "sensor_msgs/msg/PointCloud2",
        "voxels of the map whose tops are the ground; fields as `~/map/voxels`",
        needs=MAP,
        shared=True,
    ),
    Output(
        "similarity",
        "sensor_msgs/msg/PointCloud2",
        "voxels by their similarity to a point that was asked for, latched: x, y, z, intensity, "
        "rgb, label",
        latched=True,
        shared=True,
    ),
)
# Services below the node's own name.
SERVICES = ("pause", "reset", "save_map")
BY_NAME = {output.name: output for output in OUTPUTS}
# The arguments of `Predictor.render` that outputs ask for.
RENDERED = tuple(dict.fromkeys(o.needs for o in OUTPUTS if o.needs not in ("", VOXELS, MAP)))
