# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Runs the whole node, with real messages over DDS, and reads what happened to the images."""

import importlib.util
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scenedino_ros.benchmark.stages import SUBSCRIBED
from scenedino_ros.core.errors import SceneDinoError
from scenedino_ros.demo.domains import reserve_domain
from scenedino_ros.demo.drives import Drive
from scenedino_ros.demo.play import Plan, Play, Show
from scenedino_ros.demo.recording import measure
from scenedino_ros.demo.report import Report, silence


@dataclass(frozen=True)
class NodeJob:
    """What is measured.

    Attributes:
        drive: What is played.
        info_file: File with a serialized CameraInfo that replaces the recorded ones, or empty.
        parameters: The node's parameters by group.
        outputs: Which outputs are subscribed to, a key of `SUBSCRIBED`.
        rates_hz: Camera rates, each with a node of its own.
        seconds: How long each is played.
    """

    drive: Drive
    info_file: str
    parameters: dict[str, dict[str, Any]]
    outputs: str
    rates_hz: tuple[float, ...]
    seconds: float


def require_ros() -> None:
    """Refuse to continue where there is no client library.

    Raises:
        SceneDinoError: If rclpy is not installed.
    """
    if importlib.util.find_spec("rclpy") is None:
        raise SceneDinoError(
            "the ROS 2 client library cannot be found; source a ROS 2 installation or install the "
            "rclpy wheels"
        )


def measure_node(job: NodeJob, folder: Path, report: Callable[[str], None]) -> dict[str, Any]:
    """Play the drive through the node at each rate.

    Args:
        job: What to measure.
        folder: For settings, logs and recordings of the processes.
        report: Called with a few words on each step.

    Returns:
        Plain values: the job, what the node reports about its network, and per rate a run with the
        counts of images, drops by reason, and p50, p95 and p99 in milliseconds of each stage and
        from stamp to publish, by the node's clock.

    Raises:
        ProcessError: If one of the processes ends before its time.
        SceneDinoError: If the node answers no image.
    """
    runs = [_run(job, rate, folder / f"{rate:g}_hz", report) for rate in job.rates_hz]
    return {
        "drive": job.drive.name,
        "transport": "compressed" if job.drive.compressed else "raw",
        "subscribed": list(SUBSCRIBED[job.outputs]),
        "parameters": job.parameters,
        "seconds": job.seconds,
        "network": runs[0].pop("network"),
        "runs": [{k: v for k, v in run.items() if k != "network"} for run in runs],
    }


def _run(
    job: NodeJob, rate_hz: float, folder: Path, report: Callable[[str], None]
) -> dict[str, Any]:
    frames = max(1, round(rate_hz * job.seconds))
    folder.mkdir(parents=True)
    plan = Plan(
        folder=folder,
        drive=job.drive,
        domain=reserve_domain(),
        parameters=job.parameters,
        info_file=job.info_file,
        outputs=SUBSCRIBED[job.outputs],
        rate_hz=rate_hz,
        frames=frames,
        loops=math.ceil(frames / job.drive.images),
        wait=False,
    )
    play = Play(plan)
    play.run(_shown_by(report, f"{rate_hz:g} Hz"), lambda: False)
    measured = measure(plan.recording, job.drive.image_topic)
    problems = [*play.problems, *measured.problems]
    outcome = Report(
        facts={},
        measured=measured,
        played=play.result(),
        realtime=True,
        problems=problems,
        files={},
    )
    if nothing := silence(outcome):
        raise SceneDinoError(f"at {rate_hz:g} Hz {nothing} ({folder / 'logs' / 'node.log'})")
    values = outcome.values()
    kept = ("images", "drops", "latency_ms", "stamp_to_arrival_ms", "playing", "problems")
    return {
        "rate_hz": rate_hz,
        "images_out_hz": values["rate_hz"]["images_out"],
        **{key: values[key] for key in kept},
        "network": values["network"],
    }


def _shown_by(report: Callable[[str], None], name: str) -> Show:
    """Return a function that reports each new step, and each tenth of the images."""
    last: list[tuple[str, int]] = []

    def show(what: str, done: int, total: int) -> None:
        step = (what, 10 * done // total if total else 0)
        if step not in last[-1:]:
            last.append(step)
            report(f"{name}: {what}" + (f", image {done} of {total}" if total else ""))

    return show
