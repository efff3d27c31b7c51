# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""The files for Nav2: Nav2 declares each parameter, and the topics fit those that read them.

Nav2 is not needed. `data/nav2_parameters.yaml` holds what its public source declares, and what
follows from its source stands here as small models with the place that they follow.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from scenedino_ros.core.config import MapSettings, NodeSettings
from scenedino_ros.core.costs import ClassCosts
from scenedino_ros.core.labels import CITYSCAPES19
from scenedino_ros.core.outputs import BY_NAME
from scenedino_ros.core.parameter_tree import replace_settings
from scenedino_ros.core.voxels import VoxelGrid
from scenedino_ros.mapping.map_voxels import MapVoxels

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / "config" / "nav2"
DECLARED = yaml.safe_load((ROOT / "test/data/nav2_parameters.yaml").read_text(encoding="utf-8"))
FILES = sorted(FOLDER.glob("*.yaml"))
COSTMAPS = [path for path in FILES if path.stem.startswith(("local_", "global_"))]
LOCAL = [path for path in COSTMAPS if path.stem.startswith("local_")]
COSTMAP = "nav2_costmap_2d::Costmap2DROS"
# Names that older releases do not have, and what reads them there instead.
NEWER = {
    ("behavior_server", "local_frame"): "Humble has global_frame alone",
    ("collision_monitor", "<polygon>.min_points"): "Humble's nav2_bringup starts no monitor",
}


def load(path: Path) -> dict[str, Any]:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def costmap(path: Path) -> dict[str, Any]:
    """Return the parameters of the only costmap in a file."""
    (node,) = load(path).values()
    ((name, values),) = node.items()
    assert name == path.stem.split("_")[0] + "_costmap"
    return values["ros__parameters"]


def layers(path: Path) -> dict[str, dict[str, Any]]:
    values = costmap(path)
    return {name: values[name] for name in values["plugins"]}


def flat(values: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in values.items():
        if isinstance(value, dict):
            yield from flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def kind(value: Any) -> str:
    """Return the type that rcl gives a value."""
    if isinstance(value, list):
        assert value
        (only,) = {kind(item) for item in value}
        return f"{only}_array"
    return {bool: "bool", int: "int", float: "double", str: "string"}[type(value)]


def groups(path: Path) -> Iterator[tuple[str, list[tuple[str, Any]]]]:
    """Yield what a file gives each node and layer, by names as the table writes them."""
    if path not in COSTMAPS:
        for node, content in load(path).items():
            values = dict(content["ros__parameters"])
            named = {name: "<source>" for name in values.get("observation_sources", [])}
            named |= {"FootprintApproach": "<polygon>"}
            yield (
                re.sub(r"_scenedino$", "", node),
                [(renamed(name, named), value) for name, value in flat(values)],
            )
        return
    values = costmap(path)
    own = [(name, value) for name, value in values.items() if not isinstance(value, dict)]
    yield COSTMAP, own
    for name, layer in layers(path).items():
        values.pop(name)
        yield COSTMAP, [("<plugin>.plugin", layer["plugin"])]
        sources = layer.get("observation_sources", "").split()
        named = {source: "<source>" for source in sources}
        for source in sources:
            named |= {kind: "<class_type>" for kind in layer[source].get("class_types", [])}
        yield (
            layer["plugin"],
            [(renamed(n, named), value) for n, value in flat(layer) if n != "plugin"],
        )
    assert not [name for name, value in values.items() if isinstance(value, dict)]


def renamed(name: str, named: dict[str, str]) -> str:
    *parts, last = name.split(".")
    return ".".join([*(named.get(part, part) for part in parts), last])


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_parameter_is_declared_with_this_type(path: Path) -> None:
    found = 0
    for node, parameters in groups(path):
        declared = DECLARED["nodes_and_layers"][node]["parameters"]
        for name, value in parameters:
            assert name in declared, f"{node} declares no {name}"
            expected, *branches = declared[name].split()
            assert kind(value) == expected, f"{node} {name}"
            assert not branches or (node, name) in NEWER, f"{node} {name}: only in {branches}"
            found += 1
    assert found > 2


def test_the_table_names_the_version_of_each_source() -> None:
    for entry in DECLARED["nodes_and_layers"].values():
        assert entry["files"]
        for version in DECLARED["repositories"][entry["repository"]].values():
            assert re.fullmatch("[0-9a-f]{40}", version["commit"])
            assert version["version"]
    page = (ROOT / "docs/nav2.md").read_text(encoding="utf-8")
    for name, branches in DECLARED["repositories"].items():
        for branch, version in branches.items():
            row = next(line for line in page.splitlines() if line.startswith(f"| {name} "))
            assert f"{branch} {version['version']} {version['commit'][:12]}" in row


@pytest.mark.parametrize("path", COSTMAPS, ids=lambda path: path.stem)
def test_costmaps_are_in_the_maps_frame_and_no_finer_than_its_voxels(path: Path) -> None:
    """One point marks one cell: between the points of coarser voxels, cells would stay free."""
    values = costmap(path)
    assert (values["global_frame"], values["robot_base_frame"]) == ("odom", "base_link")
    assert values["rolling_window"] is True
    assert values["resolution"] == MapSettings().voxel_size


def test_the_global_costmap_and_the_voxel_grid_have_the_maps_size() -> None:
    settings = MapSettings()
    values = costmap(FOLDER / "global_costmap.yaml")
    assert (values["width"], values["height"]) == settings.size[:2]
    stvl = layers(FOLDER / "local_stvl.yaml")["stvl_layer"]
    assert stvl["voxel_size"] == settings.voxel_size


def test_a_map_comes_more_often_than_the_files_expect() -> None:
    """The page sets map.rate; without messages for so long, Nav2 stops the robot."""
    page = (ROOT / "docs/nav2.md").read_text(encoding="utf-8")
    example = yaml.safe_load(re.search(r"```yaml\n(.*?)```", page, re.DOTALL).group(1))
    given = example["/**"]["ros__parameters"]["map"]
    settings = replace_settings(NodeSettings(), {f"map.{n}": v for n, v in given.items()}).map
    assert (settings.frame, settings.robot_frame) == ("odom", "base_link")
    monitor = load(FOLDER / "navigation.yaml")["collision_monitor"]["ros__parameters"]
    rates = [monitor["source_timeout"]]
    for path in LOCAL:
        for name, value in flat(costmap(path)):
            rates += [value] if name.endswith("expected_update_rate") else []
    assert min(rates) > 4 / settings.rate


@pytest.mark.parametrize("path", LOCAL, ids=lambda path: path.stem)
def test_rays_and_ranges_begin_at_the_robot(path: Path) -> None:
    """ObservationBuffer::bufferCloud takes the cloud's own frame, odom, without sensor_frame."""
    reach = costmap(path)["width"] / 2 * 2**0.5
    sources = 0
    for layer in layers(path).values():
        for source in layer.get("observation_sources", "").split():
            values = layer[source]
            if "topic" not in values:
                continue  # the semantic layer takes the frame of its cloud, the camera's
            sources += 1
            assert values["sensor_frame"] == costmap(path)["robot_base_frame"]
            # z of odom says nothing about heights above the ground
            assert (values["min_obstacle_height"], values["max_obstacle_height"]) == (-1e3, 1e3)
            ranges = [value for name, value in values.items() if name.endswith("range")]
            assert ranges
            assert min(ranges) > reach
            assert values["observation_persistence"] == 0.0
    assert sources


def interpreted(value: int, settings: dict[str, Any]) -> int:
    """Return the cost of a grid's value, as StaticLayer::interpretValue computes it."""
    value = int(np.int8(value).view(np.uint8))
    if value == settings.get("unknown_cost_value", 255):
        return 255 if settings["track_unknown_space"] else 0
    if value >= settings["lethal_cost_threshold"]:
        return 254
    if settings["trinary_costmap"]:
        return 0
    return int(value / settings["lethal_cost_threshold"] * 254)


def test_the_grids_costs_reach_the_global_costmap() -> None:
    settings = costmap(FOLDER / "global_costmap.yaml")
    costs = [interpreted(value, settings) for value in (-1, 0, 1, 30, 60, 98, 100)]
    assert costs == [255, 0, 2, 76, 152, 248, 254]
    by_default = {**settings, "trinary_costmap": True}
    assert [interpreted(value, by_default) for value in (30, 60, 98)] == [0, 0, 0]
    # Lyrical reads 99 as the inscribed radius of an obstacle (inscribed_obstacle_cost_value).
    assert 99 not in ClassCosts.of(CITYSCAPES19).cost


def test_the_semantic_layer_has_every_class_and_the_grounds_costs() -> None:
    camera = layers(FOLDER / "local_semantic_layer.yaml")["semantic_layer"]["camera"]
    settings = costmap(FOLDER / "global_costmap.yaml")
    named = [name for kind in camera["class_types"] for name in camera[kind]["classes"]]
    assert sorted(named) == sorted(CITYSCAPES19.names)
    costs = ClassCosts.of(CITYSCAPES19)
    for kind_ in camera["class_types"]:
        for name in camera[kind_]["classes"]:
            (index,) = CITYSCAPES19.ids((name,))
            cost = int(costs.cost[index]) if costs.drivable[index] else 0
            expected = interpreted(cost, settings)
            assert camera[kind_]["base_cost"] == camera[kind_]["max_cost"] == expected, name


def test_local_costmaps_differ_in_their_layer_alone() -> None:
    common = []
    for path in LOCAL:
        values = costmap(path)
        inner = {*values["plugins"]} - {"inflation_layer"}
        common.append({n: v for n, v in values.items() if n not in {*inner, "plugins"}})
    assert all(values == common[0] for values in common[1:])
    obstacle, semantic = (
        layers(FOLDER / f"local_{name}_layer.yaml")["obstacle_layer"]
        for name in ("obstacle", "semantic")
    )
    assert obstacle == semantic


# What subscribes to each topic, and the quality of service in the source of all branches.

BEST_EFFORT = ("BEST_EFFORT", "VOLATILE", 50)  # rclcpp::SensorDataQoS
LATCHED = ("RELIABLE", "TRANSIENT_LOCAL", 1)
READERS = {
    "obstacles": ("sensor_msgs/msg/PointCloud2", BEST_EFFORT),
    "ground": ("sensor_msgs/msg/PointCloud2", BEST_EFFORT),
    "occupancy_grid": ("nav_msgs/msg/OccupancyGrid", LATCHED),
    "semantic/image": ("sensor_msgs/msg/Image", BEST_EFFORT),
    "label_info": ("vision_msgs/msg/LabelInfo", LATCHED),
}
# depth_image_proc makes this one of depth/image and depth/camera_info.
MADE_BESIDE = {"depth/points"}


def test_files_read_no_other_topics() -> None:
    text = "".join(path.read_text(encoding="utf-8") for path in FILES)
    topics = {name for name in re.findall(r"topic: /scenedino/([\w/]+)", text)}
    assert topics == {*READERS, *MADE_BESIDE}


@pytest.mark.parametrize("name", READERS)
def test_outputs_have_the_types_that_are_read(name: str) -> None:
    assert BY_NAME[name].type == READERS[name][0]


@pytest.mark.ros
@pytest.mark.parametrize("name", READERS)
def test_the_quality_of_service_fits(name: str) -> None:
    pytest.importorskip("rclpy", reason="needs a ROS 2 client library")
    from rclpy import qos

    from scenedino_ros.node.outputs import quality_of

    _, (reliability, durability, depth) = READERS[name]
    reader = qos.QoSProfile(
        depth=depth,
        reliability=qos.ReliabilityPolicy[reliability],
        durability=qos.DurabilityPolicy[durability],
        liveliness=qos.LivelinessPolicy.AUTOMATIC,
    )
    publisher = quality_of(BY_NAME[name])
    publisher.liveliness = qos.LivelinessPolicy.AUTOMATIC  # what the default stands for
    assert qos.qos_check_compatible(publisher, reader)[0] == qos.QoSCompatibility.OK


@pytest.mark.ros
@pytest.mark.parametrize("count", [0, 3])
def test_points_are_read_as_nav2_reads_them(count: int) -> None:
    """As sensor_msgs::PointCloud2ConstIterator<float>: by name, and never by the field's type."""
    pytest.importorskip("rclpy", reason="needs a ROS 2 client library")
    from sensor_msgs.msg import PointField
    from std_msgs.msg import Header

    from scenedino_ros.node.to_msg import cloud_from_map

    floats = np.ones(count, np.float32)
    index, label = np.arange(count) * 17, np.zeros(count, np.uint8)
    voxels = MapVoxels(
        VoxelGrid((-1.0, 0.5, 0.0), (4, 5, 6), 0.2), index, label, floats, floats, floats
    )
    cloud = cloud_from_map(voxels, CITYSCAPES19, Header(frame_id="odom"))
    assert cloud.width * cloud.height == count
    offsets = {field.name: field for field in cloud.fields}
    for axis, name in enumerate("xyz"):
        # An empty cloud must have the fields too: the iterator throws where a name is absent.
        assert offsets[name].datatype == PointField.FLOAT32
        data = np.frombuffer(bytes(cloud.data), np.uint8).reshape(count, cloud.point_step)
        start = offsets[name].offset
        values = data[:, start : start + 4].copy().view("<f4")[:, 0]
        np.testing.assert_array_equal(values, voxels.centers()[:, axis].astype(np.float32))


@pytest.mark.ros
def test_the_static_layer_accepts_the_grid() -> None:
    """As nav2_util::validateMsg, and StaticLayer::processMap, which reads row by row."""
    pytest.importorskip("rclpy", reason="needs a ROS 2 client library")
    from std_msgs.msg import Header

    from scenedino_ros.node.to_msg import occupancy_grid_from_values

    values = np.full((4, 5), -1, np.int8)
    values[2, 1] = 100
    grid = VoxelGrid((-1.0, 0.6, 0.0), (4, 5, 6), 0.2)
    message = occupancy_grid_from_values(values, grid, -0.5, Header(frame_id="odom"))
    info, turn = message.info, message.info.origin.orientation
    assert message.header.frame_id
    assert turn.x**2 + turn.y**2 + turn.z**2 + turn.w**2 == pytest.approx(1.0, abs=1e-4)
    assert info.resolution == pytest.approx(0.2)
    assert 0 < info.width <= 32767
    assert 0 < info.height <= 32767
    assert len(message.data) == info.width * info.height
    # The centre of voxel column (2, 1), as Costmap2D::worldToMap finds its cell.
    cell_x = int((-0.5 - info.origin.position.x) / info.resolution)
    cell_y = int((0.9 - info.origin.position.y) / info.resolution)
    assert message.data[cell_y * info.width + cell_x] == 100
    assert sum(value != -1 for value in message.data) == 1


@pytest.mark.ros
@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_rcl_reads_the_files(path: Path) -> None:
    rclpy = pytest.importorskip("rclpy", reason="needs a ROS 2 client library")
    context = rclpy.Context()
    rclpy.init(context=context)
    try:
        for name, content in load(path).items():
            inner = content.get(name, content)  # a costmap is a node in a namespace of its name
            node = rclpy.create_node(
                name,
                namespace=name if name in content else "",
                context=context,
                cli_args=["--ros-args", "--params-file", str(path)],
                automatically_declare_parameters_from_overrides=True,
            )
            for parameter, value in flat(inner["ros__parameters"]):
                read = node.get_parameter(parameter).value
                assert (list(read) if isinstance(value, list) else read) == value
            node.destroy_node()
    finally:
        context.shutdown()
