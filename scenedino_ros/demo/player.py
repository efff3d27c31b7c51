# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""The process that plays a recorded camera: images, CameraInfo and transforms, with new stamps.

The player publishes the recorded bytes and replaces only their stamps. An image's new stamp is
the time at which it is published, so that "stamp to publish" means the same as with a real camera.
The player starts when the node is active and the recorder subscribes.
"""

import itertools
import sys
import threading
import time
from pathlib import Path

import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.node import Node
from rclpy.qos import QoSProfile
from rclpy.signals import SignalHandlerOptions
from sensor_msgs.msg import CameraInfo, CompressedImage, Image

from scenedino_ros.core.outputs import NODE
from scenedino_ros.demo.drives import RATE_SAMPLE
from scenedino_ros.demo.play_clock import PlayClock, PlayedTransforms
from scenedino_ros.demo.settings import (
    PLAYER,
    RECORDER,
    PlayerSettings,
    PlayResult,
    Progress,
    read_settings,
    write_settings,
)
from scenedino_ros.demo.stamps import header_stamp_ns, restamped
from scenedino_ros.node.interrupt import Interrupt
from scenedino_ros.node.message_types import message_class
from scenedino_ros.node.statistics import IMAGES_OUT, Reason
from scenedino_ros.node.tf_message_type import TF_QOS, TF_STATIC_QOS, tf_message_class
from scenedino_ros.recordings.rosbag2.reader import BagReader
from scenedino_ros.recordings.tf_cdr import cdr_from_transforms, transforms_from_cdr
from scenedino_ros.recordings.transforms import StampedTransform

_POLL = 0.05  # seconds between two looks at what is waited for
_SETTLE = 0.5  # seconds for the last subscriptions to match
_FIRST_PATIENCE = 120.0  # seconds: the first image may have to build caches
_PATIENCE = 30.0
# An image that comes this much behind its time, in seconds, stops the recording's clock: at once
# where the player waits for the node, and only as a last resort where it must keep the pace.
_LATE_WHEN_WAITING = 0.01
_LATE_IN_REAL_TIME = 0.2


class Listener(Node):
    """Publishes, and notices when the node is done with an image. Spins in its own thread."""

    def __init__(self, settings: PlayerSettings) -> None:
        super().__init__(PLAYER)
        self._heard = threading.Condition()
        self._done_stamp_ns = 0
        self._handled = 0
        image = CompressedImage if settings.compressed else Image
        quality = QoSProfile(depth=10)
        self.images = self.create_publisher(image, settings.image_topic, quality)
        self.infos = self.create_publisher(CameraInfo, settings.info_topic, quality)
        self.transforms = self.create_publisher(tf_message_class(), "/tf", TF_QOS)
        self.static = self.create_publisher(tf_message_class(), "/tf_static", TF_STATIC_QOS)
        done = message_class(settings.done_type)
        self.create_subscription(done, settings.done_topic, self._on_done, 10, raw=True)
        self.create_subscription(DiagnosticArray, "/diagnostics", self._on_report, 10)
        self._done_topic, self._recorded = settings.done_topic, settings.recorded

    def missing(self) -> str:
        """Return what has to happen before the first image can be played, or nothing."""
        if not self._subscribes(NODE, self.images.topic_name):
            return "the node to be active"
        for publisher in (self.images, self.infos, self.transforms, self.static):
            if not self._subscribes(RECORDER, publisher.topic_name):
                return "the recorder"
        published = self.get_publisher_names_and_types_by_node(NODE, "/")
        outputs = [topic for topic, _ in published if topic.startswith(f"/{NODE}/")]
        if self._done_topic not in outputs:
            return "the node's topics"
        if not all(self._subscribes(RECORDER, topic) for topic in self._recorded or outputs):
            return "the recorder to find the node's topics"
        if self.images.get_subscription_count() < 2:
            return "the subscriptions to match"
        return ""

    def wait_until_done(self, stamp_ns: int, sent: int, seconds: float) -> bool:
        """Wait until the node has published all results of an image, or dropped it.

        Args:
            stamp_ns: Stamp of the image.
            sent: Images sent so far.
            seconds: How long to wait at most.

        Returns:
            Whether that happened in time.
        """
        with self._heard:
            return self._heard.wait_for(
                lambda: self._done_stamp_ns >= stamp_ns or self._handled >= sent, seconds
            )

    def _subscribes(self, node: str, topic: str) -> bool:
        return any(e.node_name == node for e in self.get_subscriptions_info_by_topic(topic))

    def _on_done(self, data: bytes) -> None:
        with self._heard:
            self._done_stamp_ns = max(self._done_stamp_ns, header_stamp_ns(data))
            self._heard.notify_all()

    def _on_report(self, report: DiagnosticArray) -> None:
        for status in report.status:
            if status.name == f"{NODE}: frames":
                values = {pair.key: pair.value for pair in status.values}
                handled = (IMAGES_OUT, *(reason.key for reason in Reason))
                with self._heard:
                    self._handled = sum(int(values[key]) for key in handled)
                    self._heard.notify_all()


class Player:
    """Plays the recording, image by image."""

    def __init__(
        self,
        settings: PlayerSettings,
        listener: Listener,
        interrupt: Interrupt,
        total: int,
        scale: float,
    ) -> None:
        """Prepare to play.

        Args:
            settings: What and how.
            listener: Publishes.
            interrupt: Knows when to end early.
            total: Images to play in all.
            scale: Seconds of playing per recorded second.
        """
        self._settings, self._listener, self._interrupt = settings, listener, interrupt
        self._total = total
        self._clock = PlayClock(scale)
        self._clock_runs = False
        self._transforms = PlayedTransforms(self._clock)
        self._info = b""
        self._first_stamp_ns = self._last_stamp_ns = self._interval_ns = 0
        self._sent = self._pauses = self._unanswered = 0
        self._paused = self._started = 0.0

    def play(self) -> PlayResult:
        """Play until the end, the number of frames asked for, or an interrupt."""
        self._started = time.monotonic()
        for _ in range(self._settings.loops):
            self._play_once()
            if self._is_over():
                break
        if self._sent and not self._interrupt.requested:
            self._wait_for_node()
        seconds = time.monotonic() - self._started
        span = (self._last_stamp_ns - self._first_stamp_ns) / 1e9
        return PlayResult(self._sent, seconds, span, self._pauses, self._paused, self._unanswered)

    def _is_over(self) -> bool:
        return self._sent >= self._total or self._interrupt.requested

    def _play_once(self) -> None:
        settings = self._settings
        self._transforms.forget()
        self._clock_runs = False
        with BagReader(settings.bag) as reader:
            self._publish_static(reader)
            recorded_info = [] if settings.info_file else [settings.info_topic]
            if settings.info_file:
                self._info = Path(settings.info_file).read_bytes()
            else:
                self._info = next(reader.messages(recorded_info, raw=True)).message
            topics = [settings.image_topic, *recorded_info]
            for message in reader.messages(_present(reader, *topics, "/tf"), raw=True):
                if message.topic == "/tf":
                    self._publish_transforms(message.message)
                elif message.topic == settings.image_topic:
                    recorded = header_stamp_ns(message.message) or message.time_ns
                    self._publish_image(message.message, recorded)
                else:
                    self._info = message.message
                if self._is_over():
                    return

    def _publish_static(self, reader: BagReader) -> None:
        """Publish all fixed transforms of the recording at once, as one latched message."""
        found: dict[str, StampedTransform] = {}
        for message in reader.messages(_present(reader, "/tf_static"), raw=True):
            for transform in transforms_from_cdr(message.message):
                found[transform.child] = transform._replace(stamp_ns=time.time_ns())
        if found:
            self._listener.static.publish(cdr_from_transforms(found.values()))

    def _publish_transforms(self, data: bytes) -> None:
        if self._clock_runs:
            self._listener.transforms.publish(self._transforms.played(data))
        else:  # played with the first image, which sets the clock
            self._transforms.remember(data)

    def _publish_image(self, data: bytes, recorded_ns: int) -> None:
        if self._settings.wait and self._sent:
            self._wait_for_node()
        planned = self._clock.play_ns(recorded_ns)
        late = (time.time_ns() - planned) / 1e9
        allowed = _LATE_WHEN_WAITING if self._settings.wait else _LATE_IN_REAL_TIME
        if not self._clock_runs or late > allowed:
            if self._clock_runs:
                self._pauses += 1
                self._paused += late
            planned = self._restart_clock(recorded_ns)
        elif self._sent:
            self._interval_ns = planned - self._last_stamp_ns
        self._transforms.trim(recorded_ns)
        if not self._sleep_until(planned):
            return
        self._first_stamp_ns = self._first_stamp_ns or planned
        self._last_stamp_ns = planned
        self._sent += 1
        self._listener.infos.publish(restamped(self._info, planned))
        self._listener.images.publish(restamped(data, planned))
        self._report("playing")

    def _restart_clock(self, recorded_ns: int) -> int:
        """Let an image be played as soon as it can be; return when that is."""
        planned = max(time.time_ns(), self._transforms.earliest_restart(recorded_ns))
        if not self._clock_runs and self._sent:  # the drive begins anew
            planned = max(planned, self._last_stamp_ns + self._interval_ns)
        self._clock.meet(recorded_ns, planned)
        self._clock_runs = True
        transforms = self._transforms.again(recorded_ns)
        if transforms:
            self._listener.transforms.publish(transforms)
        return planned

    def _wait_for_node(self) -> None:
        patience = _FIRST_PATIENCE if self._sent == 1 else _PATIENCE
        end = time.monotonic() + patience
        while not self._interrupt.requested:
            if self._listener.wait_until_done(self._last_stamp_ns, self._sent, _POLL):
                return
            if time.monotonic() > end:
                self._unanswered += 1
                self._report(f"no answer within {patience:.0f} s")
                return

    def _report(self, step: str) -> None:
        report_progress(self._settings, Progress(step, self._sent, self._total))

    def _sleep_until(self, stamp_ns: int) -> bool:
        while not self._interrupt.requested:
            left = (stamp_ns - time.time_ns()) / 1e9
            if left <= 0:
                return True
            time.sleep(min(left, _POLL))
        return False


def _present(reader: BagReader, *topics: str) -> list[str]:
    return [topic for topic in topics if topic in reader.topics]


def _time_scale(settings: PlayerSettings) -> float:
    """Return the seconds of playing per recorded second that give the rate asked for."""
    if settings.rate_hz == 0:
        return 1.0
    with BagReader(settings.bag) as reader:
        images = reader.messages([settings.image_topic], raw=True)
        stamps = [
            header_stamp_ns(message.message) or message.time_ns
            for message in itertools.islice(images, RATE_SAMPLE)
        ]
    if len(stamps) < 2 or stamps[-1] <= stamps[0]:
        return 1.0
    return (len(stamps) - 1) * 1e9 / (stamps[-1] - stamps[0]) / settings.rate_hz


def _wait_until_ready(settings: PlayerSettings, listener: Listener, interrupt: Interrupt) -> None:
    reported = ""
    while not interrupt.requested:
        missing = listener.missing()
        if not missing:
            time.sleep(_SETTLE)
            return
        if missing != reported:
            report_progress(settings, Progress(f"waiting for {missing}"))
            reported = missing
        time.sleep(_POLL)


def report_progress(settings: PlayerSettings, progress: Progress) -> None:
    """Write the progress to its file, and to the log for people."""
    write_settings(Path(settings.progress), progress)
    count = f", image {progress.sent} of {progress.total}" if progress.total else ""
    sys.stdout.write(f"{progress.step}{count}\n")
    sys.stdout.flush()


def _spin(executor: SingleThreadedExecutor) -> None:
    try:
        executor.spin()
    except ExternalShutdownException:
        return


def main(argv: list[str] | None = None) -> int:
    """Play what a settings file describes; the only argument is its path."""
    settings = read_settings(Path((argv or sys.argv[1:])[0]), PlayerSettings)
    interrupt = Interrupt()
    rclpy.init(signal_handler_options=SignalHandlerOptions.NO)
    listener = Listener(settings)
    executor = SingleThreadedExecutor()
    executor.add_node(listener)
    spinner = threading.Thread(target=_spin, args=(executor,), daemon=True)
    spinner.start()
    try:
        scale = _time_scale(settings)
        with BagReader(settings.bag) as reader:
            available = reader.topics[settings.image_topic].count * settings.loops
        total = min(settings.frames or available, available)
        _wait_until_ready(settings, listener, interrupt)
        result = Player(settings, listener, interrupt, total, scale).play()
        write_settings(Path(settings.result), result)
    finally:
        executor.shutdown(timeout_sec=1.0)
        spinner.join(timeout=2.0)
        listener.destroy_node()
        rclpy.try_shutdown()
    return 0


if __name__ == "__main__":
    sys.exit(main())
