# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""From messages to answers while the node is active: inputs, pairing, worker and outputs."""

from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import CameraInfo, CompressedImage, Image

from scenedino_ros.cameras.from_msg import stamp_ns
from scenedino_ros.node.calibration_topic import CalibrationTopic
from scenedino_ros.node.inputs import hints, subscribe_counting_losses
from scenedino_ros.node.outputs import Outputs
from scenedino_ros.node.pairing import Paired, Pairing
from scenedino_ros.node.params import LiveSettings
from scenedino_ros.node.placement import GridPlacement
from scenedino_ros.node.stamp_gaps import StampGaps
from scenedino_ros.node.statistics import FrameStatistics
from scenedino_ros.node.transform_source import TransformSource
from scenedino_ros.node.view_frame import ViewFrame
from scenedino_ros.node.worker import FrameWorker, SkipLog

# By input.transport.
IMAGE_TOPICS = {"raw": (Image, "image"), "compressed": (CompressedImage, "image/compressed")}


class Pipeline:
    """Topics and TF that are open, and the thread that works on frames.

    An image waits in the pairing until its calibration is there; the worker processes the newest
    pair and publishes what subscribers want. All callbacks run in the node's thread.

    Attributes:
        calibration: The last calibration that came, or None.
        since: When the node became active, seconds of `time.monotonic`.
    """

    def __init__(
        self,
        node: Node,
        live: LiveSettings,
        new_processor: Callable[..., Any],
        outputs: Outputs,
        statistics: FrameStatistics,
        skips: SkipLog,
        calibration: CameraInfo | None,
    ) -> None:
        """Open everything, or nothing if something fails.

        Args:
            node: The node.
            live: Its settings.
            new_processor: Makes the `FrameProcessor`, which knows the network already.
            outputs: Its publishers, still closed.
            statistics: Where everything is counted.
            skips: Where images that are not used are counted.
            calibration: One from before, which holds until another comes; or None.

        Raises:
            SceneDinoError: If a topic cannot be opened or TF cannot be read in this installation.
        """
        settings = live.current
        self._node, self._settings = node, settings
        self._statistics, self._skips = statistics, skips
        self.calibration = calibration
        self._gaps = StampGaps()
        self._pairing = Pairing(settings.input.pairing)
        self._placement = GridPlacement(settings.grid)
        self._inputs, self._answers = ExitStack(), ExitStack()
        with ExitStack() as undo:
            undo.callback(self._answers.close)
            undo.callback(self._inputs.close)
            self._view_frame = ViewFrame(node, settings.grid.view_frame)
            self._answers.callback(self._view_frame.close)
            self._transforms = self._open_transforms()
            self._answers.callback(outputs.close)
            outputs.open()
            processor = new_processor(
                live=live,
                placement=self._placement,
                transforms=self._transforms,
                outputs=outputs,
                statistics=statistics,
                clock=node.get_clock(),
                warn=node.get_logger().warning,
            )
            processor.publish_classes()
            self._worker = FrameWorker(processor.process, statistics, skips)
            undo.callback(self._worker.stop)
            undo.callback(self._inputs.close)  # before the worker stops: it may wait for TF
            if calibration is not None:
                self._pairing.add_info(stamp_ns(calibration.header), calibration)
            self._subscribe()
            undo.pop_all()
        self.since = statistics.snapshot().time

    @property
    def image_topic(self) -> str:
        """Full name of the topic of the images."""
        name: str = self._images.topic_name
        return name

    def close(self, timeout: float | None) -> bool:
        """Finish the frame at work, and close topics and TF.

        Args:
            timeout: How long the frame may still take, seconds; None: as long as it takes.

        Returns:
            Whether that was enough; if not, the outputs stay open.
        """
        self._inputs.close()
        if not self._worker.stop(timeout):
            return False
        self._answers.close()
        return True

    def raise_failure(self) -> None:
        """Raise the exception that ended the worker; do nothing while it runs."""
        self._worker.raise_failure()

    def hints(self) -> tuple[str, str]:
        """Return why no image and no calibration comes, as far as the published topics show."""
        transport = self._settings.input.transport
        return hints(self._node, transport, self._images, self._calibrations.subscription)

    def _open_transforms(self) -> TransformSource | None:
        if not self._placement.needs_transforms:
            return None
        transforms = TransformSource(self._node, timeout=self._settings.grid.tf_timeout)
        self._inputs.callback(transforms.close)
        return transforms

    def _subscribe(self) -> None:
        settings, node = self._settings.input, self._node
        reliability = (
            ReliabilityPolicy.RELIABLE if settings.reliable else ReliabilityPolicy.BEST_EFFORT
        )
        message_type, topic = IMAGE_TOPICS[settings.transport]
        self._calibrations = CalibrationTopic(node, self._on_info)
        self._inputs.callback(self._calibrations.close)
        self._images = subscribe_counting_losses(
            node,
            message_type,
            topic,
            self._on_image,
            QoSProfile(depth=1, reliability=reliability),
            self._statistics.lost,
        )
        self._inputs.callback(node.destroy_subscription, self._images)

    def _on_image(self, message: Any) -> None:
        arrival, stamp = self._statistics.image_arrived(), stamp_ns(message.header)
        self._statistics.missed(self._gaps.add_image(stamp))
        self._handle(self._pairing.add_image(stamp, message, arrival))

    def _on_info(self, message: CameraInfo) -> None:
        self._statistics.info_arrived()
        self.calibration = message
        stamp = stamp_ns(message.header)
        self._gaps.add_info(stamp)
        self._handle(self._pairing.add_info(stamp, message))

    def _handle(self, paired: Paired) -> None:
        for drop in paired.drops:
            self._skips.skipped(drop.reason, drop.sentence)
        if paired.jumped_back and self._transforms is not None:
            self._transforms.clear()
        if paired.frame is not None:
            camera_frame = paired.frame.image.header.frame_id
            parent = self._placement.frame(camera_frame)
            self._view_frame.attach(parent, optical=parent == camera_frame)
            self._worker.offer(paired.frame)
