# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Check a GPU: is every answer right there, how fast, and in how much memory.

Each check prints one line: PASSED, FAILED or SKIPPED, and its figure or the reason. A check that
fails, crashes or takes too long does not stop the others. Answers are compared with PyTorch in
float32 on the processor. All checks together take less than eight minutes. The figures, the page
and a log with tracebacks are written while the checks run, so that Ctrl-C keeps what is done.

--device cpu runs the same checks on the processor.

Exit codes: 0 nothing failed; 1 a check failed; 2 there is no GPU; 130 stopped with Ctrl-C.
"""

import argparse
from typing import TYPE_CHECKING

from scenedino_ros.cli.benchmark_options import (
    add_grid,
    add_output,
    add_picture,
    add_repeats,
    network_job,
)
from scenedino_ros.core.config import REPRODUCIBLE_PRECISION, GridSettings
from scenedino_ros.core.errors import unknown_name
from scenedino_ros.terminal.network_arguments import add_checkpoint, add_image_size, add_mode
from scenedino_ros.terminal.progress import reporting
from scenedino_ros.terminal.values import count, name_list, positive

if TYPE_CHECKING:
    from scenedino_ros.benchmark.gpu_run import Check, Outcome

_EPILOG = """\
examples:
  scenedino benchmark gpu
  scenedino benchmark gpu --image street.png -o gpu.json
  scenedino benchmark gpu --only engine,memory
  scenedino benchmark gpu --device cpu --frames 20 --seconds 3 --minutes 30
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.epilog = _EPILOG
    add_output(parser, "gpu.json", "the page and the log beside them: gpu.txt, gpu.log")
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument(
        "--only",
        default="",
        metavar="WORD,...",
        help="only checks whose name contains one of these words",
    )
    parser.add_argument(
        "--minutes",
        type=positive,
        default=7.5,
        help="time of all checks; each is cut when its part is over (default: %(default)s)",
    )
    parser.add_argument(
        "--frames",
        type=count,
        default=1000,
        metavar="N",
        help="over which memory is watched (default: %(default)s)",
    )
    parser.add_argument(
        "--seconds",
        type=positive,
        default=6.0,
        help="how long the node is played at each camera rate (default: %(default)s)",
    )
    add_repeats(parser, 50)
    group = parser.add_argument_group("network")
    add_checkpoint(group)
    add_image_size(group)
    add_mode(group)
    add_grid(parser, GridSettings.preset, 0.2)
    add_picture(parser)
    # The checks choose engine and precision themselves, and the weights are those of a checkpoint.
    parser.set_defaults(
        backbone="", exposed_only=False, engine="torch", precision=REPRODUCIBLE_PRECISION
    )


def run(options: argparse.Namespace) -> int:
    """Run the checks, print a line for each, and save figures and page."""
    with reporting("loading PyTorch"):
        # Imported here because it takes seconds; help and wrong arguments do not wait for it.
        from scenedino_ros.benchmark.gpu_checks import CHECKS
        from scenedino_ros.benchmark.gpu_page import outcome_lines, page, save_page
        from scenedino_ros.benchmark.gpu_run import FAILED, run_checks
        from scenedino_ros.benchmark.gpu_scene import GpuPlan

        plan = GpuPlan(network_job(options, render=True), options.frames, options.seconds)
        plan.require_device()
    checks = _chosen(CHECKS, options.only)
    outcomes: list[Outcome] = []

    def done(outcome: "Outcome") -> None:
        outcomes.append(outcome)
        save_page(options.output, plan, outcomes, len(checks))
        print(outcome_lines(outcome), flush=True)

    options.output.parent.mkdir(parents=True, exist_ok=True)
    log = options.output.with_suffix(".log")
    log.write_bytes(b"")
    try:
        run_checks(checks, plan, 60 * options.minutes, log, done)
    finally:
        print(page(outcomes, len(checks)).splitlines()[-1], flush=True)
    return 1 if any(outcome.verdict == FAILED for outcome in outcomes) else 0


def _chosen(checks: "tuple[Check, ...]", only: str) -> "list[Check]":
    words = name_list(only)
    for word in words:
        if not any(word in check.name for check in checks):
            raise unknown_name("check", word, [check.name for check in checks])
    return [check for check in checks if not words or any(word in check.name for word in words)]
