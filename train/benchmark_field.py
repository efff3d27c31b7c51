# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Times the training step of stage 1 beside the reference step, on the same items in turns.

    python -m train.benchmark_field --config train/configs/field_default.yaml -o figures.json

The reference step (`train.field.reference_step`) follows the specification line by line in
float32; the training step (`train.field.step`) is the one that runs. Both see the same items and
draws, and their losses are compared: they agree to about 1e-4 in float32, to about 1e-2 in
bfloat16. Loading is timed on its own: it must be faster than the step. Without ``--data.stores``
the items come from a drive of noise; ``--encoder.weights random`` needs no weights.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from scenedino_ros.core.files import write_atomically
from scenedino_ros.terminal.progress import reporting
from train.field.benchmark import REFERENCE, measure
from train.field.settings import FieldSettings
from train.runs.launch import exit_code
from train.runs.settings import read_settings

NAME = "python -m train.benchmark_field"


def main(argv: Sequence[str] | None = None) -> int:
    """Run the script and return its exit code."""
    parser = argparse.ArgumentParser(
        prog=NAME,
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="further settings: --name value, as for python -m train.train_field",
        allow_abbrev=False,
    )
    parser.add_argument("--config", type=Path, metavar="YAML", help="settings of the run")
    parser.add_argument(
        "--repeats", type=int, choices=range(1, 1001), default=5, metavar="N", help="steps timed"
    )
    parser.add_argument("-o", "--output", type=Path, metavar="JSON", help="also save the figures")
    options, rest = parser.parse_known_args(argv)

    def body() -> None:
        settings = read_settings(FieldSettings(), options.config, rest)
        with reporting("loading") as report:
            figures = measure(settings, options.repeats, report)
        Console().print(_table(figures))
        if options.output:
            options.output.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(options.output, (json.dumps(figures, indent=2) + "\n").encode())

    return exit_code(NAME, body)


def _table(figures: dict[str, Any]) -> Table:
    machine, results, loading = figures["machine"], figures["results"], figures["loading"]
    height, width = figures["image size"]
    table = Table(
        title=f"a step of stage 1: {figures['backbone']}, {width} x {height} px, "
        f"{figures['items per step']} items",
        caption=f"{machine['device']}, {machine['threads']} threads, torch {machine['torch']}, "
        f"{figures['repeats']} steps; less work: by processor time, which other programs do not "
        "disturb",
    )
    for column in ("", *results, "loading"):
        table.add_column(column, justify="right" if column else "left")
    for row in results[REFERENCE]:
        cells = [f"{values[row]:,.0f}" for values in results.values()]
        table.add_row(escape(row), *cells, f"{loading[row]:,.0f}" if row in loading else "")
    others = [values for name, values in results.items() if name != REFERENCE]
    for row, name in (("times faster", "p50 [ms]"), ("times less work", "processor p50 [ms]")):
        table.add_row(
            row, "", *(f"{results[REFERENCE][name] / values[name]:.1f}" for values in others)
        )
    worst = (max(values.get("differences", {"": None}).values()) for values in others)
    shown = ("" if value is None else f"{value:.1e}" for value in worst)
    table.add_row("largest difference of a loss", "", *shown)
    return table


if __name__ == "__main__":
    sys.exit(main())
