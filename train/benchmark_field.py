"""Times a step of stage 1 beside the straightforward one, on the same items in the same run.

    python -m train.benchmark_field --config train/configs/field_default.yaml -o figures.json

The straightforward step (`train.field.reference_step`) does what the specification says in the
order it says it, in float32; the fast one is what trains. Both see the same items and draws, and
their losses are compared: in float32 they agree to about 1e-4, in bfloat16 to about 1e-2. Loading
is timed apart: it must be faster than the step that consumes it. Without ``--data.stores`` the
items are of a made-up drive, and ``--encoder.weights random`` needs no weights.
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
from scenedino_ros.terminal.progress import telling
from train.field.benchmark import PLAIN, measure
from train.field.settings import FieldSettings
from train.runs.launch import exit_code
from train.runs.settings import read_settings

NAME = "python -m train.benchmark_field"


def main(argv: Sequence[str] | None = None) -> int:
    """Run the script and return its exit code."""
    parser = argparse.ArgumentParser(
        prog=NAME,
        description="Time a step of stage 1 beside the straightforward one.",
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
        with telling("loading") as tell:
            figures = measure(settings, options.repeats, tell)
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
    for row in results[PLAIN]:
        cells = [f"{values[row]:,.0f}" for values in results.values()]
        table.add_row(escape(row), *cells, f"{loading[row]:,.0f}" if row in loading else "")
    others = [values for name, values in results.items() if name != PLAIN]
    for row, name in (("times faster", "p50 [ms]"), ("times less work", "processor p50 [ms]")):
        table.add_row(
            row, "", *(f"{results[PLAIN][name] / values[name]:.1f}" for values in others)
        )
    worst = (max(values["differences"].values()) for values in others)
    table.add_row("largest difference of a loss", "", *(f"{value:.1e}" for value in worst))
    return table


if __name__ == "__main__":
    sys.exit(main())
