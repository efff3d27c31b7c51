# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""From messages to answers while the node is active: cameras, TF, the worker and outputs."""

from collections.abc import Callable, Sequence
from concurrent.futures import wait
from contextlib import ExitStack
from functools import partial
from math import inf
from time import monotonic
from typing import Any

from rclpy.node import Node

from scenedino_ros.core.errors import SceneDinoError
from scenedino_ros.node.camera_input import CameraInput
from scenedino_ros.node.compute_thread import ComputeThread
from scenedino_ros.node.failures import Failures
from scenedino_ros.node.health import LONG
from scenedino_ros.node.inputs import idle_overrides
from scenedino_ros.node.outputs import Outputs
from scenedino_ros.node.pairing import Frame
from scenedino_ros.node.params import LiveSettings
from scenedino_ros.node.placement import GridPlacement
from scenedino_ros.node.point_topics import PointTopics
from scenedino_ros.node.services import Services
from scenedino_ros.node.statistics import Reason
from scenedino_ros.node.transform_source import TransformSource
from scenedino_ros.node.view_frame import ViewFrame
from scenedino_ros.node.worker import FrameWorker

_PAUSED = "the node is paused"
_RECENT = 5.0  # seconds since its last image after which a camera has stopped
# Seconds that a service waits for the compute thread; meanwhile no other callback runs.
_SERVICE_WAIT = 5.0


class Pipeline:
    """Topics and TF that are open, and the worker that processes frames.

    The worker processes the newest frame of each camera in turn and publishes what subscribers
    want. All callbacks run in the node's thread.

    Attributes:
        since: When the node became active, or continued after a pause, seconds of
            `time.monotonic`.
        paused_since: When the node was paused, seconds of `time.monotonic`; None: it is not.
        map: The `NodeMap`, or None where ``map.frame`` is empty.
    """

    def __init__(
        self,
        node: Node,
        live: LiveSettings,
        new_processor: Callable[..., Any],
        cameras: Sequence[CameraInput],
        compute: ComputeThread,
        failures: Failures,
    ) -> None:
        """Open everything, or nothing if something fails.

        Args:
            node: The node.
            live: Its settings.
            new_processor: Makes the `FrameProcessor`, which knows the network already.
            cameras: Its cameras, still closed.
            compute: The thread that made the network.
            failures: Counts exceptions that nobody foresaw.

        Raises:
            SceneDinoError: If a topic cannot be opened or TF cannot be read in this installation.
        """
        self._node, self._settings, self._cameras = node, live.current, cameras
        self._compute, self._failures = compute, failures
        self.paused_since: float | None = None
        self._jumped: dict[CameraInput, float] = {}  # when stamps last jumped back
        self._dropped_before = 0  # images that earlier pauses dropped
        self._placement = GridPlacement(self._settings.grid)
        self._inputs, self._answers = ExitStack(), ExitStack()
        with ExitStack() as undo:
            undo.callback(self._answers.close)
            undo.callback(self._inputs.close)
            self._view_frame = ViewFrame(node, self._settings.grid.view_frame)
            self._answers.callback(self._view_frame.close)
            self._transforms = self._open_transforms()
            shared = Outputs(node, shared=True, has_map=bool(self._settings.map.frame))
            for outputs in (shared, *(camera.outputs for camera in cameras)):
                self._answers.callback(outputs.close)
                outputs.open()
            processor = compute.run(
                new_processor,
                live=live,
                placement=self._placement,
                transforms=self._transforms,
                shared=shared,
                clock=node.get_clock(),
                logger=node.get_logger(),
                failures=failures,
            )
            processor.publish_classes()
            self.map = processor.map
            patience = self._settings.grid.tf_timeout
            self._worker = FrameWorker(compute, processor, failures, patience)
            undo.callback(self._worker.stop)
            for camera in cameras:
                self._inputs.callback(camera.close)
                camera.open(partial(self._deliver, camera), partial(self._jumped_back, camera))
            services = Services(
                node,
                pause=self._pause,
                reset=self._reset_map,
                save_map=self._save_map,
                failures=failures,
            )
            self._inputs.callback(services.close)
            points = PointTopics(
                node,
                processor.similarity.ask,
                self._worker.wake,
                self._transforms,
                failures,
                patience,
            )
            self._inputs.callback(points.close)
            undo.pop_all()
        for name in idle_overrides(node):
            node.get_logger().warning(
                f"parameter {name} has no effect: it names no topic that the node reads, such as "
                f"{', '.join(cameras[0].topics)}"
            )
        self.since = monotonic()

    def close(self, timeout: float) -> bool:
        """Finish the frame at work, and close topics and TF.

        Args:
            timeout: How long the frame may still take, seconds.

        Returns:
            Whether that was enough; if not, the outputs stay open until it is called again.
        """
        self._inputs.close()
        if not self._worker.stop(timeout):
            return False
        self._answers.close()
        return True

    def raise_failure(self) -> None:
        """Raise what ended the worker, such as SystemExit; do nothing while it works."""
        self._worker.raise_failure()

    def waits(self, camera: CameraInput) -> bool:
        """Return whether an image of a camera waits while another camera has its turn."""
        return len(self._cameras) > 1 and self._worker.waits(camera)

    def _open_transforms(self) -> TransformSource | None:
        if not self._placement.needs_transforms and not self._settings.map.frame:
            return None
        transforms = TransformSource(self._node, self._failures)
        self._inputs.callback(transforms.close)
        return transforms

    def _jumped_back(self, camera: CameraInput) -> None:
        """Forget what TF knows if time jumped back for all cameras, as in a recording's loop.

        If it jumped for one of them, its own clock is wrong, and TF holds for the others.
        """
        now = self._jumped[camera] = monotonic()
        for other in self._cameras:
            recent = other.last_image is not None and now - other.last_image < _RECENT
            # Images from before the jump may still come from the others.
            if recent and now - self._jumped.get(other, -inf) > _RECENT:
                return
        self._jumped.clear()
        if self._transforms is not None:
            self._transforms.clear()

    def _pause(self, paused: bool) -> str:
        """Drop images from now on, or process them again; return what was done, in words."""
        if not paused and self.paused_since is None:
            return "not paused: images are processed as before"
        if self.paused_since is None:
            self._dropped_before = self._dropped()
            self.paused_since = monotonic()
            self._worker.discard(Reason.PAUSED, _PAUSED)
            return "paused: images are dropped until ~/pause is called with false"
        seconds = monotonic() - self.paused_since
        dropped = f"images dropped meanwhile: {self._dropped() - self._dropped_before}"
        if paused:
            return f"paused already, for {seconds:.1f} s; {dropped}"
        self.since, self.paused_since = monotonic(), None
        return f"images are processed again after a pause of {seconds:.1f} s; {dropped}"

    def troubles(self) -> list[str]:
        """Return what is wrong with the threads, as sentences."""
        found = []
        if self._transforms is not None and not self._transforms.is_alive():
            found.append("the thread that listens to TF has ended: activate the node again")
        since = self._worker.between_since()
        if since is not None and monotonic() - since > LONG:
            seconds = monotonic() - since
            found.append(f"the answer to a point has been worked on for {seconds:.1f} s")
        return found

    def _reset_map(self) -> str:
        return self._computed(self._the_map().reset)

    def _save_map(self) -> str:
        return self._computed(self._the_map().save)

    def _computed(self, act: Callable[[], str]) -> str:
        """Return what a function of the compute thread returns, unless an image holds it up."""
        future = self._compute.submit(act)
        wait([future], _SERVICE_WAIT)
        if not future.done():
            outcome = "nothing was done" if future.cancel() else "it may still be done"
            raise SceneDinoError(
                f"no answer within {_SERVICE_WAIT:g} s, because images take so long: {outcome}"
            )
        return future.result()

    def _the_map(self) -> Any:
        if self.map is None:
            raise SceneDinoError(
                "there is no map: map.frame is empty; set it to a fixed frame such as odom"
            )
        return self.map

    def _dropped(self) -> int:
        drops = (camera.statistics.snapshot().drops for camera in self._cameras)
        return sum(of_camera.get(Reason.PAUSED, 0) for of_camera in drops)

    def _deliver(self, camera: CameraInput, frame: Frame) -> None:
        if self.paused_since is not None:
            camera.skips.skipped(Reason.PAUSED, _PAUSED)
            return
        camera_frame = frame.image.header.frame_id
        parent = self._placement.frame(camera_frame)
        # Where each camera's outputs lie in its own frame, viewers look from the first camera.
        if self._settings.grid.frame or camera is self._cameras[0]:
            self._view_frame.attach(parent, optical=parent == camera_frame)
        self._worker.offer(camera, frame)
