# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""One camera of the node: its topics, its calibration, and what is counted about it."""

from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rclpy.subscription import Subscription
from sensor_msgs.msg import CameraInfo, CompressedImage, Image

from scenedino_ros.cameras.from_msg import stamp_ns
from scenedino_ros.core.camera_names import camera_path
from scenedino_ros.core.config import InputSettings
from scenedino_ros.node.alternation import Alternation, Kind
from scenedino_ros.node.calibration_topic import CalibrationTopic
from scenedino_ros.node.failures import Failures
from scenedino_ros.node.inputs import hints, subscribe_counting_losses
from scenedino_ros.node.outputs import Outputs
from scenedino_ros.node.pairing import Frame, Paired, Pairing
from scenedino_ros.node.skip_log import SkipLog
from scenedino_ros.node.stamp_gaps import StampGaps
from scenedino_ros.node.statistics import FrameStatistics, Reason

# By input.transport.
IMAGE_TOPICS = {"raw": (Image, "image"), "compressed": (CompressedImage, "image/compressed")}


class CameraInput:
    """A camera, from its topics to frames: images with their calibrations.

    It exists as long as the node. Topics are open while the node is active; the rest outlives
    deactivation. An image waits in the pairing until its calibration is there.

    Attributes:
        name: Its name; empty where the node has one camera without a name.
        logger: Logs under the name of the node and the camera.
        statistics: Counts and times of its images.
        skips: Counts and explains images that are not used.
        outputs: Publishers of what is made from its images; `Pipeline` opens them.
        calibration: The last calibration that came, or None.
        last_image: When the last image came, seconds of `time.monotonic`, or None.
    """

    def __init__(
        self, node: Node, settings: InputSettings, failures: Failures, name: str = ""
    ) -> None:
        """Open nothing yet.

        Args:
            node: The node.
            settings: How images and calibrations arrive.
            failures: Counts exceptions that nobody foresaw.
            name: Name of the camera, which its topics begin with.
        """
        self._node, self._settings, self.name = node, settings, name
        self._failures = failures
        self.logger = node.get_logger().get_child(name) if name else node.get_logger()
        self.statistics = FrameStatistics()
        self.skips = SkipLog(self.statistics, self.logger.warning)
        self.outputs = Outputs(node, name)
        self.calibration: CameraInfo | None = None
        self.last_image: float | None = None
        self._images: Subscription | None = None
        self._of_images, self._of_infos = Alternation(), Alternation()
        self._message_type, topic = IMAGE_TOPICS[settings.transport]
        self._image_topic, self._info_topic = (
            camera_path(name, topic),
            camera_path(name, "camera_info"),
        )
        self._open = ExitStack()

    @property
    def topics(self) -> tuple[str, str]:
        """Full names of the topics of images and calibrations."""
        resolve = self._node.resolve_topic_name
        return resolve(self._image_topic), resolve(self._info_topic)

    def open(self, deliver: Callable[[Frame], None], jumped_back: Callable[[], None]) -> None:
        """Subscribe to the topics. `close` is due even if this fails.

        Args:
            deliver: Called with each image that has found its calibration.
            jumped_back: Called when the stamps of the images jump back.

        Raises:
            SceneDinoError: If a topic cannot be opened.
        """
        self._deliver, self._jumped_back = deliver, jumped_back
        self._gaps, self._pairing = StampGaps(), Pairing(self._settings.pairing)
        if self.calibration is not None:
            self._pairing.add_info(stamp_ns(self.calibration.header), self.calibration)
        self._calibrations = CalibrationTopic(self._node, self._info_topic, self._on_info)
        self._open.callback(self._calibrations.close)
        reliability = (
            ReliabilityPolicy.RELIABLE
            if self._settings.reliable
            else ReliabilityPolicy.BEST_EFFORT
        )
        self._images = images = subscribe_counting_losses(
            self._node,
            self._message_type,
            self._image_topic,
            self._on_image,
            QoSProfile(depth=1, reliability=reliability),
            self.statistics.lost,
        )
        self._open.callback(self._node.destroy_subscription, images)

    def close(self) -> None:
        """Close the topics; images that wait for a calibration are discarded."""
        self._images = None
        self._open.close()

    def hints(self) -> tuple[str, str]:
        """Return why no image and no calibration comes, as far as the published topics show."""
        if self._images is None:
            return "", ""
        transport = self._settings.transport
        subscriptions = self._images, self._calibrations.subscription
        return hints(self._node, transport, *subscriptions, self.name)

    def alternating(self) -> str:
        """Return a sentence if several cameras seem to publish on a topic; else nothing."""
        found = []
        kinds = (("images", self._of_images), ("calibrations", self._of_infos))
        for (what, of_topic), topic in zip(kinds, self.topics, strict=True):
            frames = of_topic.kinds()
            if frames:
                names = ", ".join(sorted({repr(frame) for frame, *_ in frames}))
                found.append(
                    f"{what} of {len(frames)} cameras come in turn on {topic}, in the frames "
                    f"{names}: give each camera topics of its own"
                )
        return "; ".join(found)

    def _on_image(self, message: Any) -> None:
        self.last_image = arrival = self.statistics.image_arrived()
        try:
            self._of_images.add(_kind_of_image(message))
            stamp = stamp_ns(message.header)
            self.statistics.missed(self._gaps.add_image(stamp))
            self._handle(self._pairing.add_image(stamp, message, arrival))
        except Exception as error:  # nothing that comes may end the node
            sentence = self._failures.note("taking in an image", error)
            self.skips.skipped(Reason.FAILED, sentence)

    def _on_info(self, message: CameraInfo) -> None:
        self.statistics.info_arrived()
        with self._failures.caught("taking in a camera_info"):
            self.calibration = message
            self._of_infos.add(_kind_of_info(message))
            stamp = stamp_ns(message.header)
            self._gaps.add_info(stamp)
            self._handle(self._pairing.add_info(stamp, message))

    def _handle(self, paired: Paired) -> None:
        for drop in paired.drops:
            self.skips.skipped(drop.reason, drop.sentence)
        if paired.jumped_back:
            self._jumped_back()
        if paired.frame is not None:
            self._deliver(paired.frame)


def _kind_of_image(message: Any) -> Kind:
    size = (message.width, message.height) if isinstance(message, Image) else ()
    return (message.header.frame_id, *size)


def _kind_of_info(message: CameraInfo) -> Kind:
    numbers = (message.k.tobytes(), message.d.tobytes(), message.p.tobytes())
    return (message.header.frame_id, message.width, message.height, *numbers)
