# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""One table names the node's outputs: RViz, Foxglove and the processor agree with it."""

import json
import re
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import yaml

from scenedino_ros.benchmark.stages import SUBSCRIBED
from scenedino_ros.core.config import NodeSettings
from scenedino_ros.core.outputs import BY_NAME, MAP, NODE, OUTPUTS, RENDERED, VOXELS
from scenedino_ros.demo.folders import shipped_file
from scenedino_ros.inference.predictor import Predictor
from scenedino_ros.inference.query import RenderedView

ROOT = Path(__file__).resolve().parents[1]
TOPICS = {output.topic(): output for output in OUTPUTS}
# Message types that a display of RViz and a panel of Foxglove show.
RVIZ_TYPES = {
    "Image": "sensor_msgs/msg/Image",
    "PointCloud2": "sensor_msgs/msg/PointCloud2",
    "MarkerArray": "visualization_msgs/msg/MarkerArray",
    "Map": "nav_msgs/msg/OccupancyGrid",
}
FOXGLOVE_TYPES = {
    "imageTopic": ("sensor_msgs/msg/Image",),
    "calibrationTopic": ("sensor_msgs/msg/CameraInfo",),
    "topics": (
        "sensor_msgs/msg/PointCloud2",
        "visualization_msgs/msg/MarkerArray",
        "nav_msgs/msg/OccupancyGrid",
    ),
}


def test_a_row_asks_for_what_the_predictor_computes():
    arguments = Predictor.render.__annotations__
    for output in OUTPUTS:
        assert output.needs in ("", VOXELS, MAP) or arguments[output.needs] in (bool, "bool")
        assert not output.array or output.array in RenderedView.__annotations__
        assert bool(output.array) == bool(output.encoding)
        assert bool(output.array) == (output.type == "sensor_msgs/msg/Image")
    assert len(BY_NAME) == len(OUTPUTS)


def test_rviz_shows_outputs_with_their_types_and_quality_of_service():
    view = yaml.safe_load((ROOT / "config" / "scenedino.rviz").read_text())
    manager = view["Visualization Manager"]
    displays = manager["Displays"]
    assert manager["Global Options"]["Fixed Frame"]
    assert {"Grid", "TF"} <= {display["Class"].rpartition("/")[2] for display in displays}
    with_topic = [d for d in displays if "Topic" in d]
    shown = {d["Topic"]["Value"]: d for d in with_topic}
    assert len(shown) == len(with_topic)
    assert shown.pop("/image")["Topic"]["Reliability Policy"] == "Best Effort"
    assert len(shown) >= 5
    for topic, display in shown.items():
        output, quality = TOPICS[topic], display["Topic"]
        assert RVIZ_TYPES[display["Class"].rpartition("/")[2]] == output.type
        assert quality["Reliability Policy"] == "Reliable"
        assert quality["Durability Policy"] == (
            "Transient Local" if output.latched else "Volatile"
        )
        assert quality["Depth"] == output.depth
    for name in ("voxels", "markers", "depth/image", "semantic/image"):
        assert shown[BY_NAME[name].topic()]["Enabled"]
    for output in OUTPUTS:
        if output.needs == MAP:  # would hide the voxels of one image, and costs time
            assert not shown[output.topic()]["Enabled"]
    assert shown[BY_NAME["voxels"].topic()]["Color Transformer"] == "RGB8"
    assert not shown[BY_NAME["similarity"].topic()]["Enabled"]
    (tool,) = [tool for tool in manager["Tools"] if tool["Class"].endswith("/PublishPoint")]
    assert tool["Topic"]["Value"] == "/clicked_point"


def test_foxglove_shows_outputs_with_their_types():
    layout = json.loads(shipped_file("foxglove_layout.json").read_text(encoding="utf-8"))
    panels = set(re.findall(r"[A-Za-z0-9]+![a-z]+", json.dumps(layout["layout"])))
    assert panels == set(layout["configById"])
    found = []
    for panel in layout["configById"].values():
        for key, topic in panel.get("imageMode", {}).items():
            found.append((key, topic))
        found += [("topics", topic) for topic in panel.get("topics", {})]
    ours = [(key, topic) for key, topic in found if str(topic).startswith(f"/{NODE}/")]
    assert len(ours) >= 5
    for key, topic in ours:
        assert TOPICS[topic].type in FOXGLOVE_TYPES[key]
    voxels = layout["configById"]["3D!voxels"]
    assert voxels["publish"]["pointTopic"] == "/clicked_point"
    assert not voxels["topics"][BY_NAME["similarity"].topic()]["visible"]
    named = set(re.findall(rf"/{NODE}/[a-z_/]+", json.dumps(layout)))
    assert named == {topic for _, topic in ours}
    assert named >= {output.topic() for output in OUTPUTS if output.needs == MAP}


def test_words_of_the_benchmark_name_outputs_of_an_image():
    # The player waits until every one of them is published, and a node without map.frame has none.
    needs = {BY_NAME[name].needs for names in SUBSCRIBED.values() for name in names}
    assert needs == {VOXELS, *RENDERED}
    assert SUBSCRIBED["grid"] == ("voxels", "markers")
    assert {"depth/image", "depth/camera_info"} < set(SUBSCRIBED["all"])


class FakeOutputs:
    """Somebody subscribes to some outputs; keeps what is published."""

    def __init__(self, names):
        self.names, self.published = names, {}

    def __contains__(self, name):
        return name in self.names

    def wanted(self):
        return tuple(o for o in OUTPUTS if o.needs and o.name in self.names)

    def publish(self, name, message):
        self.published[name] = message


def process(names):
    """Process one image for subscribers to some outputs; return messages and what was rendered."""
    pytest.importorskip("rclpy", reason="no ROS 2 client library")
    from models import lively_checkpoint
    from rclpy.clock import Clock
    from rclpy.logging import get_logger
    from ros_rig import as_stamp, image_message, info_message

    from scenedino_ros.node.failures import Failures
    from scenedino_ros.node.pairing import Frame
    from scenedino_ros.node.placement import GridPlacement
    from scenedino_ros.node.processor import FrameProcessor
    from scenedino_ros.node.statistics import FrameStatistics

    predictor = Predictor(lively_checkpoint(), device="cpu")
    asked, render = [], predictor.render

    def remember(encoded, **options):
        asked.append({name for name in RENDERED if options[name]})
        return render(encoded, **options)

    predictor.render = remember
    outputs, settings, statistics = FakeOutputs(names), NodeSettings(), FrameStatistics()
    processor = FrameProcessor(
        predictor,
        live=SimpleNamespace(current=settings),
        placement=GridPlacement(settings.grid),
        transforms=None,
        shared=FakeOutputs([]),
        clock=Clock(),
        logger=get_logger("test"),
        failures=Failures(print),
    )
    camera = SimpleNamespace(
        name="",
        topics=("/image", "/camera_info"),
        outputs=outputs,
        statistics=statistics,
        logger=SimpleNamespace(warning=lambda _: None),
    )
    stamp = as_stamp(7_000_000_000)
    frame = Frame(image_message(stamp), info_message(stamp), 7_000_000_000, 0.0)
    processor.process(frame, camera)
    assert statistics.snapshot().published == dict.fromkeys(outputs.published, 1)
    return outputs.published, asked


@pytest.mark.ros
def test_every_output_of_an_image_is_published_in_the_order_of_the_table():
    names = [output.name for output in OUTPUTS if output.needs and not output.shared]
    published, asked = process(names)
    assert list(published) == names
    assert asked == [set(RENDERED)]
    for name, message in published.items():
        output = BY_NAME[name]
        if output.has_stamp:
            assert type(message).__name__ == output.type.rpartition("/")[2]
            assert message.header.stamp.sec == 7
        if output.array:
            assert message.encoding == output.encoding
            assert np.frombuffer(message.data, np.uint8).any()


@pytest.mark.ros
@pytest.mark.parametrize("name", [output.name for output in OUTPUTS if output.needs in RENDERED])
def test_only_what_somebody_wants_is_rendered_and_published(name):
    published, asked = process([name])
    assert list(published) == [name]
    assert asked == [{BY_NAME[name].needs}]
