# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""The files of a run of the GPU checks: figures and one page, rewritten after every check."""

import json
import textwrap
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from scenedino_ros.benchmark.gpu_run import FAILED, PASSED, SKIPPED, Outcome
from scenedino_ros.benchmark.gpu_scene import GpuPlan
from scenedino_ros.core.files import write_atomically

_WIDTH = 110


def outcome_lines(outcome: Outcome) -> str:
    """Return an outcome as one entry of the page; long figures continue indented."""
    head = f"{outcome.verdict:<7} {outcome.name:<26} {outcome.seconds:4.0f} s  "
    return textwrap.fill(outcome.line, _WIDTH, initial_indent=head, subsequent_indent=" " * 43)


def page(outcomes: Sequence[Outcome], planned: int) -> str:
    """Return the page.

    Args:
        outcomes: What is done.
        planned: Number of checks in all.
    """
    counts = {v: sum(o.verdict == v for o in outcomes) for v in (PASSED, FAILED, SKIPPED)}
    words = ", ".join(f"{count} {verdict}" for verdict, count in counts.items())
    left = planned - len(outcomes)
    seconds = sum(outcome.seconds for outcome in outcomes)
    end = f"{words}{f', {left} not run' if left else ''}; {seconds:.0f} s; p50 / p95"
    return "\n".join(["scenedino benchmark gpu", *map(outcome_lines, outcomes), end, ""])


def save_page(output: Path, plan: GpuPlan, outcomes: Sequence[Outcome], planned: int) -> None:
    """Write the figures as JSON, and the page beside them.

    Args:
        output: The JSON file.
        plan: What was checked.
        outcomes: What is done.
        planned: Number of checks in all.
    """
    figures = {
        "plan": {**asdict(plan), "job": plan.job.record()},
        "checks planned": planned,
        "checks": [outcome.values() for outcome in outcomes],
    }
    write_atomically(output, (json.dumps(figures, indent=2) + "\n").encode())
    write_atomically(output.with_suffix(".txt"), page(outcomes, planned).encode())
