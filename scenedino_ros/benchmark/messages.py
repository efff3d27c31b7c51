# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Times the node's messages beside ordinary ones, and the transport, in separate processes."""

import json
import os
import platform
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from scenedino_ros.core.files import write_atomically
from scenedino_ros.demo.domains import reserve_domain
from scenedino_ros.demo.folders import shipped_file
from scenedino_ros.demo.processes import Child, child_environment
from scenedino_ros.node.shared_memory import PROFILE_VARIABLES, profile_name

_POLL = 0.2
_PATIENCE = 20.0  # seconds in which a process should end


@dataclass(frozen=True)
class MessagesJob:
    """What is measured.

    Attributes:
        voxels: Points of the cloud.
        cubes: Cubes of the markers.
        width: Columns of the image, pixels.
        height: Rows of the image, pixels.
        repeats: How often each is timed, after once that is not.
        sent: Best-effort messages sent with and without the transport profile.
    """

    voxels: int = 100_000
    cubes: int = 50_000
    width: int = 1408
    height: int = 376
    repeats: int = 20
    sent: int = 20


def measure_messages(
    job: MessagesJob, folder: Path, report: Callable[[str], None]
) -> dict[str, Any]:
    """Time the messages, then send large ones with and without the shipped transport profile.

    Args:
        job: What to measure.
        folder: For settings, logs and results of the processes.
        report: Called with a few words on each step.

    Returns:
        Plain values: the job, the machine; ``messages``, a list of what `time_case` returns; and
        ``transport``: by profile (shipped, none) and topic the number of messages sent and
        arrived, their size, and p50 and p95 in milliseconds from stamp to arrival.

    Raises:
        ProcessError: If a process ends before its time.
    """
    profile = shipped_file(profile_name())
    report("building and publishing messages")
    timed, _ = _converse("messages", job, folder / "messages", profile)
    transport = {}
    for name, file in (("shipped", profile), ("none", None)):
        report(f"large best-effort messages, transport profile: {name}")
        sent, delays = _converse("large", job, folder / name, file)
        transport[name] = {
            topic: {**sent[topic], "arrived": len(delays[topic]), **_percentiles(delays[topic])}
            for topic in sent
        }
    return {
        "job": asdict(job),
        "machine": {"processor": platform.machine(), "cores": os.cpu_count()},
        **timed,
        "transport": transport,
    }


def _percentiles(delays: list[float]) -> dict[str, float | None]:
    return {
        f"p{percentile} [ms]": float(np.percentile(delays, percentile)) if delays else None
        for percentile in (50, 95)
    }


def _converse(
    what: str, job: MessagesJob, folder: Path, profile: Path | None
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Let one process send and another receive; return the results of both."""
    folder.mkdir(parents=True)
    settings = folder / "settings.json"
    write_atomically(settings, json.dumps({"what": what, **asdict(job)}).encode())
    sent, received = folder / "sent.json", folder / "received.json"
    env = child_environment(reserve_domain(), profile)
    if profile is None:
        for name in PROFILE_VARIABLES:
            env.pop(name, None)
    children: list[Child] = []
    try:
        for name, arguments in (("receiver", [received]), ("sender", [settings, sent])):
            module, log = f"scenedino_ros.benchmark.message_{name}", folder / f"{name}.log"
            children.append(Child(name, module, list(map(str, arguments)), log, env))
        receiver, sender = children
        while not sender.wait(_POLL):
            receiver.check()
        if sender.returncode:
            raise sender.ended()
    finally:
        for child in reversed(children):
            child.stop(_PATIENCE)
    return json.loads(sent.read_bytes()), json.loads(received.read_bytes())
