# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Put the results of several runs on one page.

Each RUN is the folder of a 'scenedino evaluate', or of a training run, of which settings, losses,
validations and the newest pictures are shown. Other folders, such as a run that is not finished,
are named and left out. The page is one HTML file that contains all tables and pictures and opens
without an internet connection.

The exit code is 1 if a run is there and cannot be read.
"""

import argparse
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from scenedino_ros.core.errors import InputError
from scenedino_ros.core.printable import printable
from scenedino_ros.terminal.arguments import add_output

if TYPE_CHECKING:
    from scenedino_ros.evaluation.result import RunResult

_EPILOG = """\
examples:
  scenedino report runs/ssc runs/segmentation -o report.html
  scenedino report runs/* -o report.html
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the subcommand's arguments."""
    parser.epilog = _EPILOG
    parser.add_argument("runs", type=Path, nargs="+", metavar="RUN", help="folder of a run")
    add_output(parser, "page to write, HTML")
    parser.add_argument("--title", default="Evaluation of scenedino_ros", help="of the page")


def run(options: argparse.Namespace) -> int:
    """Write the page."""
    from scenedino_ros.core.files import write_atomically
    from scenedino_ros.evaluation.page import check_run, page
    from scenedino_ros.evaluation.result import is_evaluation, read_result
    from scenedino_ros.evaluation.training_run import is_training_run, training_result

    runs: list[tuple[Path, RunResult]] = []
    failed = 0
    with tempfile.TemporaryDirectory() as plots:
        for folder in options.runs:
            if folder.exists() and not (is_training_run(folder) or is_evaluation(folder)):
                shown = printable(folder)
                print(f"left out: {shown} is neither a finished evaluation nor a training run")
                continue
            try:
                result: RunResult
                if is_training_run(folder):
                    result = training_result(folder, Path(tempfile.mkdtemp(dir=plots)))
                else:
                    result = read_result(folder)
                check_run(folder, result)
                runs.append((folder, result))
            except InputError as error:
                failed += 1
                print(f"left out: {error}", file=sys.stderr)
        if not runs:
            raise InputError("none of these is a finished evaluation or a training run")
        content = page(runs, options.title).encode()
    options.output.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(options.output, content)
    print(f"{options.output}: {len(runs)} of {len(options.runs)} runs")
    return 1 if failed else 0
