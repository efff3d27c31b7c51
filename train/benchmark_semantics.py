# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Times the training step of stage 2 beside the reference step, on the same images.

    python -m train.benchmark_semantics --repeats 3 -o figures.json

The reference step renders every pixel of every image anew with the network as it is defined, as
the published recipe specifies. The training step is the one that runs. Both use the same network,
images and draws of crops; the training step learns clusters and probes from random pixels instead
of all pixels.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from scenedino_ros.core.files import write_atomically
from scenedino_ros.terminal.progress import reporting
from train.runs.launch import exit_code
from train.runs.settings import read_settings
from train.semantics.benchmark import measure
from train.semantics.settings import SemanticsSettings

NAME = "python -m train.benchmark_semantics"


def _table(figures: dict[str, Any]) -> Table:
    results = figures["results"]
    table = Table(
        title=f"a step of stage 2: {figures['backbone']}, {figures['images per step']} images",
        caption=f"{figures['device']}, {figures['threads']} threads, torch {figures['torch']}",
    )
    rows = list(results["reference"])
    for column in ("", *(row.replace("[", r"\[") for row in rows), "reference / this"):
        table.add_column(column, justify="right")
    for name, values in results.items():
        gain = results["reference"]["step [ms]"] / values["step [ms]"]
        table.add_row(name, *(f"{values[row]:,.0f}" for row in rows), f"{gain:.1f}")
    return table


def main(argv: Sequence[str] | None = None) -> int:
    """Run the script and return its exit code."""
    parser = argparse.ArgumentParser(
        prog=NAME,
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="further settings: --name value, as for python -m train.train_semantics",
    )
    parser.add_argument("--config", type=Path, metavar="YAML", help="settings of the run")
    parser.add_argument(
        "--repeats", type=int, choices=range(1, 1001), default=5, metavar="N", help="steps timed"
    )
    parser.add_argument("-o", "--output", type=Path, metavar="JSON", help="also save the figures")
    options, rest = parser.parse_known_args(argv)

    def body() -> None:
        settings = read_settings(SemanticsSettings(), options.config, rest)
        with reporting("loading") as report:
            figures = measure(settings, options.repeats, report)
        Console().print(_table(figures))
        if options.output:
            options.output.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(options.output, (json.dumps(figures, indent=2) + "\n").encode())

    return exit_code(NAME, body)


if __name__ == "__main__":
    sys.exit(main())
