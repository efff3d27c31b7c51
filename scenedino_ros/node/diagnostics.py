# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""The node's reports on /diagnostics: rates, drops, latencies, memory, and what is wrong."""

from collections.abc import Callable, Sequence
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from rclpy.clock import Clock, ClockType
from rclpy.node import Node

from scenedino_ros.core.printable import printable
from scenedino_ros.node.camera_input import CameraInput
from scenedino_ros.node.failures import Failures
from scenedino_ros.node.health import Level, Situation, Verdict, judge
from scenedino_ros.node.statistics import (
    IMAGES_IN,
    IMAGES_OUT,
    PERCENTILES,
    Reason,
    Snapshot,
    Stage,
)


class DiagnosticsReporter:
    """Publishes a report every period while the node exists."""

    def __init__(
        self,
        node: Node,
        period: float,
        cameras: Sequence[CameraInput],
        failures: Failures,
        *,
        situation: Callable[[CameraInput, Snapshot | None], Situation],
        facts: Callable[[], dict[str, str]],
        map_status: Callable[[], tuple[Verdict, dict[str, str]] | None],
        troubles: Callable[[], list[str]],
    ) -> None:
        """Start to report.

        Args:
            node: The node; its name is in front of every entry.
            period: Time between reports, seconds of wall-clock time.
            cameras: Its cameras, each of which has entries of its own.
            failures: Exceptions that nobody foresaw.
            situation: Called for each camera and report with the camera's statistics of the last
                report, or None.
            facts: Called for each report; returns what is known about the network.
            map_status: Called for each report; returns the state of the map, or None without one.
            troubles: Called for each report; returns what is wrong with threads, as sentences.
        """
        self._node, self._cameras = node, cameras
        self._situation, self._facts, self._map_status = situation, facts, map_status
        self._failures, self._failed_before = failures, 0
        self._troubles, self._troubled = troubles, False
        self._publisher = node.create_publisher(DiagnosticArray, "/diagnostics", 10)
        # Not by the node's clock, which stands still while a recording is paused.
        steady = Clock(clock_type=ClockType.STEADY_TIME)
        self._timer = node.create_timer(period, self.report, clock=steady)
        self._before: dict[str, Snapshot] = {}  # by the name of the camera
        self._logs = {camera.name: _VerdictLog(camera.logger) for camera in cameras}

    def report(self) -> None:
        """Publish a report now, and log when answers stop or come again."""
        array = DiagnosticArray()
        array.header.stamp = self._node.get_clock().now().to_msg()
        # What fails to be reported must not silence the rest.
        for camera in self._cameras:
            with self._failures.caught("a report"):
                array.status += self._camera_status(camera)
        with self._failures.caught("a report"):
            facts = self._facts()
            weights = Verdict(Level.OK, facts.get("weights", "not loaded"))
            array.status.append(self._status("network", weights, facts))
        with self._failures.caught("a report"):
            if (of_map := self._map_status()) is not None:
                array.status.append(self._status("map", *of_map))
        array.status.append(self._status("failures", *self._failure_status()))
        self._publisher.publish(array)

    def _camera_status(self, camera: CameraInput) -> list[DiagnosticStatus]:
        situation = self._situation(camera, self._before.get(camera.name))
        self._before[camera.name] = situation.now
        verdict = judge(situation)
        verdict = verdict._replace(message=printable(verdict.message))
        self._logs[camera.name].log(verdict)
        suffix = f" {camera.name}" if camera.name else ""
        times = Verdict(Level.OK, "percentiles of the time each stage takes")
        return [
            self._status(f"frames{suffix}", verdict, frame_values(situation)),
            self._status(f"latency{suffix}", times, latency_values(situation.now)),
        ]

    def _failure_status(self) -> tuple[Verdict, dict[str, Any]]:
        """Return the state of the node itself: an error in the report after a failure."""
        count, last = self._failures.counted()
        new, self._failed_before = count - self._failed_before, count
        troubles = self._troubles()
        if bool(troubles) != self._troubled:
            self._troubled = bool(troubles)
            log = self._node.get_logger()
            log.error("; ".join(troubles)) if troubles else log.info("the threads work again")
        if new:
            troubles.append(f"{new} failed since the last report, see the log; the last is {last}")
        verdict = Verdict(Level.ERROR if troubles else Level.OK, "; ".join(troubles) or "none")
        return verdict, {"failures": count, "last failure": last}

    def _status(self, task: str, verdict: Verdict, values: dict[str, Any]) -> DiagnosticStatus:
        name = self._node.get_fully_qualified_name()
        return DiagnosticStatus(
            level=bytes([verdict.level]),
            name=f"{name.removeprefix('/')}: {task}",  # of two cameras, each has its own
            message=printable(verdict.message),
            hardware_id=name,
            values=[KeyValue(key=key, value=printable(value)) for key, value in values.items()],
        )


class _VerdictLog:
    """Logs when the answers for a camera stop or come again, and each remark once."""

    def __init__(self, logger: Any) -> None:
        self._logger = logger
        self._silence = ""
        self._remarks: set[str] = set()

    def log(self, verdict: Verdict) -> None:
        if verdict.remark and verdict.remark not in self._remarks:
            self._remarks.add(verdict.remark)
            self._logger.warning(verdict.message)
        if verdict.silence == self._silence:
            return
        self._silence = verdict.silence
        if not verdict.silence:
            self._logger.info(f"answers come again: {verdict.message}")
        elif verdict.level == Level.OK:
            self._logger.info(verdict.message)
        elif verdict.level == Level.ERROR:
            self._logger.error(f"nothing comes out: {verdict.message}")
        else:
            self._logger.warning(f"nothing comes out: {verdict.message}")


def frame_values(situation: Situation) -> dict[str, Any]:
    """Return counts and rates of frames by outcome, drops by reason, messages by output."""
    before, now = situation.before, situation.now
    seconds = max(now.time - before.time, 1e-9)
    values: dict[str, Any] = {
        "state": situation.state,
        "images in [1/s]": f"{(now.images - before.images) / seconds:.2f}",
        "images out [1/s]": f"{(now.done - before.done) / seconds:.2f}",
        IMAGES_IN: now.images,
        "camera_info in": now.infos,
        "images missing by their stamps": now.missing,
        "images lost by the middleware": now.lost,
        "images encoded": now.encoded,
        IMAGES_OUT: now.done,
        "images nobody wanted": now.unwanted,
        "cubes left out": now.cubes_left_out,
        "last problem": now.last_problem,
    }
    for reason in Reason:
        values[reason.key] = now.drops.get(reason, 0)
    for output in sorted(now.published):
        values[f"published: {output}"] = now.published[output]
    return values


def latency_values(now: Snapshot) -> dict[str, str]:
    """Return the percentiles of every stage in milliseconds, such as ``encode p95 [ms]``."""
    return {
        stage.key(percentile): f"{1e3 * seconds:.2f}"
        for stage in Stage
        if stage in now.latencies
        for percentile, seconds in zip(PERCENTILES, now.latencies[stage], strict=True)
    }
