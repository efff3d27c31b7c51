# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""The lifecycle node: loads the network, opens and closes the pipeline, and reports."""

import gc
import math
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from typing import Any

from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn

from scenedino_ros.core.camera_names import check_camera_names
from scenedino_ros.core.config import NodeSettings
from scenedino_ros.core.errors import InputError, SceneDinoError
from scenedino_ros.core.memory import resident_memory
from scenedino_ros.core.outputs import BY_NAME, NODE
from scenedino_ros.core.printable import printable
from scenedino_ros.inference.torch_cache import unloadable
from scenedino_ros.node.camera_input import CameraInput
from scenedino_ros.node.compute_thread import ComputeThread
from scenedino_ros.node.diagnostics import DiagnosticsReporter
from scenedino_ros.node.failures import Failures
from scenedino_ros.node.health import Situation, Verdict
from scenedino_ros.node.params import LiveSettings, check_map, hidden_ids
from scenedino_ros.node.pipeline import Pipeline
from scenedino_ros.node.placement import GridPlacement
from scenedino_ros.node.rclpy_private import RCLError, answer_change_state
from scenedino_ros.node.start_times import StartTimes
from scenedino_ros.node.statistics import UNTRAINED_WEIGHTS, Snapshot

_SUCCESS, _FAILURE = TransitionCallbackReturn.SUCCESS, TransitionCallbackReturn.FAILURE


class SceneDinoNode(LifecycleNode):
    """Semantic voxels of the images of one camera or several.

    Configuring loads the network, activating opens topics and TF, deactivating closes them, and
    cleaning up frees the device. All callbacks run in one thread; frames are processed in another.

    Attributes:
        failures: Exceptions that nobody foresaw; the node goes on after them.
    """

    def __init__(self, interruptible: Any = nullcontext, **node_options: Any) -> None:
        """Declare the parameters, and start to report on /diagnostics.

        Args:
            interruptible: Makes the context for what may take long (loading the network, the
                end of a frame), so that Ctrl-C can interrupt it.
            **node_options: For `rclpy.lifecycle.LifecycleNode`.

        Raises:
            InputError: If a parameter is unknown or wrong.
        """
        super().__init__(NODE, **node_options)
        answer_change_state(self, self._change_state)
        self._interruptible: type[AbstractContextManager[None]] = interruptible
        self._predictor: Any = None
        self._finalized = False  # after a shutdown; nothing but the end of the process follows
        self._new_processor: Any = None  # makes the `FrameProcessor` of the network
        self._compute = ComputeThread()
        self.failures = Failures(self.get_logger().error)
        self._bug: BaseException | None = None
        self._pipeline: Pipeline | None = None  # there while the node is active
        self._live = LiveSettings(self, self._check, self.failures)
        arriving = self.settings.input
        self._cameras = [
            CameraInput(self, arriving, self.failures, name) for name in arriving.cameras or ("",)
        ]
        period = self.settings.diagnostics.period
        self._start_times = StartTimes()
        self._start: dict[str, float] = {}  # seconds by step, once the first image is answered
        self._reporter = DiagnosticsReporter(
            self,
            period,
            self._cameras,
            self.failures,
            situation=self._situation,
            facts=self._facts,
            map_status=self._map_status,
            troubles=self._troubles,
        )

    @property
    def settings(self) -> NodeSettings:
        """The settings at this moment."""
        return self._live.current

    def autostart(self) -> bool:
        """Configure and activate; return whether that went well."""
        self._bug = None
        return self.trigger_configure() == _SUCCESS and self.trigger_activate() == _SUCCESS

    def raise_bug(self) -> None:
        """Raise the last exception of a transition, which rclpy ignored; if there was one."""
        if self._bug is not None:
            raise self._bug

    def raise_failure(self) -> None:
        """Raise what has to end the process, such as SystemExit in a transition or the worker."""
        if not isinstance(self._bug, Exception):
            self.raise_bug()
        if self._pipeline is not None:
            self._pipeline.raise_failure()

    def close(self, timeout: float) -> bool:
        """Close topics and free the device before the process ends.

        Args:
            timeout: How long the frame at work may still take, seconds.

        Returns:
            Whether that was enough; if not, the node must not be destroyed.
        """
        if not self._close_pipeline(timeout):
            return False
        self._free_device()
        self._compute.close()
        return True

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Load the network; a named checkpoint that is not on disk is fetched."""
        with self._transition("configure") as outcome, self._interruptible():
            # Torch takes seconds to import; a wrong parameter or a node that only waits need not.
            self._start_times.mark("waiting to be configured")
            try:
                from scenedino_ros.node.processor import FrameProcessor, load_predictor
            except OSError as error:  # PyTorch's compiler makes its folder when it is imported
                raise unloadable(error) from error

            self._start_times.mark("PyTorch")
            logger = self.get_logger()
            self._predictor = self._compute.run(
                load_predictor,
                self.settings,
                lambda text: logger.info(printable(text)),
                lambda text: logger.warning(printable(text)),
                self._start_times.mark,
            )
            self._new_processor = partial(FrameProcessor, self._predictor)
            self._check(self.settings)
        if outcome[0] != _SUCCESS:
            self._free_device()
        return outcome[0]

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Open topics and TF, and start to process images."""
        with self._transition("activate") as outcome:
            self._pipeline = Pipeline(
                self,
                self._live,
                self._new_processor,
                self._cameras,
                self._compute,
                self.failures,
            )
            self._start_times.mark("topics")
            for camera in self._cameras:
                voxels = BY_NAME["voxels"].below_node(camera.name)
                camera.logger.info(
                    f"active: {camera.topics[0]} -> "
                    f"{self.get_fully_qualified_name()}/{voxels}, ..."
                )
        return outcome[0]

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Finish the frame at work, and close topics and TF."""
        with self._transition("deactivate") as outcome, self._interruptible():
            self._finish_pipeline()
        return outcome[0]

    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Free the device."""
        with self._transition("clean up") as outcome:
            for camera in self._cameras:
                camera.calibration = None
            self._free_device()
        return outcome[0]

    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Close and free everything, from whatever state."""
        with self._transition("shut down") as outcome, self._interruptible():
            self._finish_pipeline()
            self._free_device()
        self._finalized = outcome[0] == _SUCCESS
        return outcome[0]

    def on_error(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Return to the unconfigured state after a failed transition."""
        outcome = self.on_shutdown(state)
        self._finalized = False
        return outcome

    def _change_state(self, change: Callable[..., Any], request: Any, response: Any) -> Any:
        """Answer a manager; refuse a transition that is impossible in the current state.

        Up to Jazzy, such a request ends the process if only rclpy answers it.
        """
        # The C library logs a label that it does not know as it came.
        request.transition.label = printable(request.transition.label)
        try:
            return change(request, response)
        except RCLError:
            wanted = printable(request.transition.label or request.transition.id)
            self.get_logger().error(f"no transition {wanted} from the state {self._state_label()}")
        except Exception as error:  # nothing that comes may end the node
            self.failures.note("a transition", error)
        response.success = False
        return response

    @contextmanager
    def _transition(self, verb: str) -> Iterator[list[TransitionCallbackReturn]]:
        """Log an error that the user can mend, and keep an exception that is a bug.

        rclpy ignores every exception of a transition silently, and calls `on_error`.
        """
        outcome = [_SUCCESS]
        try:
            yield outcome
        except SceneDinoError as error:
            self.get_logger().error(f"cannot {verb}: {error}")
            outcome[0] = _FAILURE
        except BaseException as error:
            self._bug = error
            if isinstance(error, ModuleNotFoundError):  # of the installation, not of the code
                self.get_logger().error(f"cannot {verb}: {error}")
            elif isinstance(error, Exception):
                self.failures.note(f"the transition ({verb})", error)
            raise

    def _finish_pipeline(self) -> None:
        """Close the pipeline when the frame at work is finished; report while it is not."""
        while not self._close_pipeline(self.settings.diagnostics.period):
            self._reporter.report()

    def _close_pipeline(self, timeout: float) -> bool:
        if self._pipeline is not None:
            if not self._pipeline.close(timeout):
                return False
            self._pipeline = None
        return True

    def _free_device(self) -> None:
        if self._predictor is not None:
            self._predictor.close()
            self._predictor = self._new_processor = None
            gc.collect()

    def _check(self, settings: NodeSettings) -> None:
        """Refuse settings that are wrong together, or wrong for the classes of the network."""
        names = settings.input.cameras
        try:
            check_camera_names(names)
        except InputError as error:
            raise InputError(f"input.cameras: {error}") from error
        if len(names) > 1 and settings.grid.static_transform:
            raise InputError(
                "grid.static_transform is the pose of one camera, but input.cameras names "
                f"{len(names)}: publish their poses on /tf_static instead"
            )
        GridPlacement(settings.grid)
        check_map(settings)
        if self._predictor is not None:
            hidden_ids(self._predictor.classes, settings.voxels.hidden_classes)

    def _situation(self, camera: CameraInput, before: Snapshot | None) -> Situation:
        now = camera.statistics.snapshot()
        if now.first_image is not None and now.first_done is not None and not self._start:
            self._start = self._start_times.answered(now.first_image, now.first_done)
            total, *steps = (f"{step} {taken:.2f} s" for step, taken in self._start.items())
            self.get_logger().info(f"{total} after the process began: {', '.join(steps)}")
        pipeline = self._pipeline
        of_map = pipeline.map if pipeline else None
        image_topic, info_topic = camera.topics
        is_calibrated = camera.calibration is not None
        missing = before is not None and (now.images == before.images or not is_calibrated)
        image_hint, info_hint = camera.hints() if pipeline and missing else ("", "")
        return Situation(
            before=now if before is None else before,
            now=now,
            active_since=pipeline.since if pipeline else None,
            paused_since=pipeline.paused_since if pipeline else None,
            state=self._state_label(),
            image_topic=image_topic,
            info_topic=info_topic,
            image_publishers=self.count_publishers(image_topic),
            info_publishers=self.count_publishers(info_topic),
            subscribed=bool(camera.outputs.wanted())
            or (of_map is not None and of_map.is_wanted()),
            waits=pipeline is not None and pipeline.waits(camera),
            stale_after=self.settings.diagnostics.stale_after,
            is_calibrated=is_calibrated,
            image_hint=image_hint,
            info_hint=info_hint,
            alternating=camera.alternating(),
        )

    def _map_status(self) -> tuple[Verdict, dict[str, str]] | None:
        of_map = self._pipeline.map if self._pipeline else None
        return None if of_map is None else of_map.status()

    def _troubles(self) -> list[str]:
        alive = self._compute.is_alive()
        found = [] if alive else ["the thread that computes has ended: start the node again"]
        return found + (self._pipeline.troubles() if self._pipeline else [])

    def _state_label(self) -> str:
        if self._finalized:
            return "finalized"
        if self._pipeline is not None:
            return "active"
        return "unconfigured" if self._predictor is None else "inactive"

    def _facts(self) -> dict[str, str]:
        """Return what is known about network and memory."""
        memory = resident_memory()
        facts = {} if math.isnan(memory) else {"resident memory [MiB]": f"{memory:.0f}"}
        predictor = self._predictor
        if predictor is None:
            return facts
        height, width = predictor.image_size
        return {
            "weights": predictor.weights,
            UNTRAINED_WEIGHTS: str("untrained" in predictor.weights).lower(),
            "device": predictor.device,
            "image size": f"{width} x {height}",
            "engine": predictor.engine,
            "mode": self.settings.model.mode,
            **{f"{step} [s]": f"{taken:.2f}" for step, taken in self._start.items()},
            **facts,
            **{
                f"device memory {kind} [MiB]": f"{mib:.0f}"
                for kind, mib in predictor.device_memory().items()
            },
        }
