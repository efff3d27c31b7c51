# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""A calibration that was published once arrives, whoever published it, and whenever."""

import time

import pytest

rclpy = pytest.importorskip("rclpy", reason="needs a ROS 2 client library")

from rclpy.context import Context  # noqa: E402
from rclpy.executors import SingleThreadedExecutor  # noqa: E402
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy  # noqa: E402
from ros_rig import DEADLINE  # noqa: E402
from sensor_msgs.msg import CameraInfo  # noqa: E402

from scenedino_ros.demo.domains import reserve_domain  # noqa: E402
from scenedino_ros.node.calibration_topic import CalibrationTopic  # noqa: E402

pytestmark = pytest.mark.ros

LATCHED = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
VOLATILE = QoSProfile(depth=1)
SENSOR = QoSProfile(depth=1, reliability=ReliabilityPolicy.BEST_EFFORT)


class Side:
    """A node that is spun together with the others of a test."""

    def __init__(self, context, executor, name, **parameters):
        overrides = [rclpy.Parameter(key, value=value) for key, value in parameters.items()]
        self.node = rclpy.create_node(
            name, context=context, parameter_overrides=overrides, enable_rosout=False
        )
        self.executor = executor
        executor.add_node(self.node)
        self.widths = []

    def listen(self):
        return CalibrationTopic(
            self.node, "camera_info", lambda message: self.widths.append(message.width)
        )

    def publish(self, width, quality):
        publisher = self.node.create_publisher(CameraInfo, "camera_info", quality)
        publisher.publish(CameraInfo(width=width))
        return publisher

    def durabilities(self):
        """Return the durabilities that subscribers of the topic ask for, as publishers see it."""
        found = self.node.get_subscriptions_info_by_topic("/camera_info")
        return [subscription.qos_profile.durability for subscription in found]

    def wait(self, happened, what):
        deadline = time.monotonic() + DEADLINE
        while not happened():
            assert time.monotonic() < deadline, f"waited in vain for {what}"
            self.executor.spin_once(timeout_sec=0.05)


@pytest.fixture
def make_side():
    context = Context()
    rclpy.init(context=context, domain_id=reserve_domain())
    executor = SingleThreadedExecutor(context=context)
    sides = []

    def make(name, **parameters):
        sides.append(Side(context, executor, name, **parameters))
        return sides[-1]

    yield make
    executor.shutdown()
    for side in sides:
        side.node.destroy_node()
    context.shutdown()


def test_what_was_latched_before_or_after_the_start_arrives(make_side, capfd):
    camera, node = make_side("camera"), make_side("node")
    camera.publish(111, LATCHED)
    topic = node.listen()
    node.wait(lambda: 111 in node.widths, "what was latched before")
    camera.publish(222, LATCHED)  # at once, before anybody can have found the publisher
    node.wait(lambda: 222 in node.widths, "what was latched after")
    # Having been heard, latching publishers are followed by the volatile subscription alone.
    node.wait(lambda: camera.durabilities() == [DurabilityPolicy.VOLATILE], "one subscription")
    topic.close()
    node.wait(lambda: camera.durabilities() == [], "no subscription")
    assert "incompatible" not in capfd.readouterr().err


@pytest.mark.parametrize("quality", [VOLATILE, SENSOR])
def test_publishers_that_do_not_latch_are_heard_and_see_no_other_subscription(
    make_side, quality, capfd
):
    camera, node = make_side("camera"), make_side("node")
    topic = node.listen()
    publisher = camera.publish(1, quality)

    def heard():
        publisher.publish(CameraInfo(width=333))
        assert DurabilityPolicy.TRANSIENT_LOCAL not in camera.durabilities()
        return 333 in node.widths

    node.wait(heard, "a message")
    topic.close()
    assert "incompatible" not in capfd.readouterr().err


@pytest.mark.parametrize("reliability", ["best_effort", "reliable"])
def test_durability_can_be_overridden(make_side, reliability):
    policies = {"durability": "transient_local", "reliability": reliability}
    prefix = "qos_overrides./camera_info.subscription."
    camera = make_side("camera")
    node = make_side("node", **{prefix + key: value for key, value in policies.items()})
    camera.publish(444, LATCHED)
    topic = node.listen()
    node.wait(lambda: 444 in node.widths, "what was latched")
    assert set(camera.durabilities()) == {DurabilityPolicy.TRANSIENT_LOCAL}
    topic.close()
