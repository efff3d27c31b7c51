# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Time what the node adds around the network: building, publishing and reading large messages.

Each step is done in two ways, in turns: as the node does it, and as it is done without thinking
of speed. "same" means that both ways gave the same message. Clouds and markers are published with
the node's own publishers while another process listens. Then large best-effort messages are sent
to that process with the transport profile that the package ships and its launch file sets, and
without any.
"""

import argparse
import tempfile
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from scenedino_ros.benchmark.messages import MessagesJob, measure_messages
from scenedino_ros.cli.benchmark_options import add_output, add_repeats, save
from scenedino_ros.terminal.progress import reporting
from scenedino_ros.terminal.values import count

_EPILOG = """\
examples:
  scenedino benchmark messages
  scenedino benchmark messages --repeats 100 -o messages.json
  scenedino benchmark messages --voxels 500000 --cubes 200000
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.epilog = _EPILOG
    add_output(parser)
    for name, what in (
        ("voxels", "points of the cloud"),
        ("cubes", "cubes of the markers"),
        ("sent", "large messages sent with each transport"),
    ):
        parser.add_argument(
            f"--{name}",
            type=count,
            default=getattr(MessagesJob, name),
            metavar="N",
            help=f"{what} (default: %(default)s)",
        )
    add_repeats(parser, MessagesJob.repeats)


def run(options: argparse.Namespace) -> int:
    """Measure, print two tables, and save the figures where asked."""
    with reporting("preparing") as report, tempfile.TemporaryDirectory() as folder:
        from scenedino_ros.benchmark.node import require_ros
        from scenedino_ros.benchmark.plots import plot_messages

        require_ros()
        job = MessagesJob(
            voxels=options.voxels,
            cubes=options.cubes,
            repeats=options.repeats,
            sent=options.sent,
        )
        figures = measure_messages(job, Path(folder), report)
    Console().print(_message_table(figures))
    Console().print(_transport_table(figures))
    save(options.output, figures, plot_messages)
    return 0


def _message_table(figures: dict[str, Any]) -> Table:
    table = Table(title="messages; ms")
    table.add_column("")
    for column in ("p50", "p95", "target", "ordinary p50", "p95", "same"):
        table.add_column(column, justify="right")
    for row in figures["messages"]:
        target = row["target [ms]"]
        fast, ordinary = (
            [f"{row[way][p]:.2f}" for p in ("p50 [ms]", "p95 [ms]")]
            for way in ("fast", "ordinary")
        )
        table.add_row(
            row["what"],
            *fast,
            "" if target is None else f"< {target:g}",
            *ordinary,
            "yes" if row["same"] else "NO",
        )
    return table


def _transport_table(figures: dict[str, Any]) -> Table:
    table = Table(title="best-effort messages from one process to another; ms")
    for column in ("transport profile", "message"):
        table.add_column(column)
    for column in ("MB", "arrived", "p50", "p95"):
        table.add_column(column, justify="right")
    for profile, topics in figures["transport"].items():
        for topic, sent in topics.items():
            delays = [sent[p] for p in ("p50 [ms]", "p95 [ms]")]
            table.add_row(
                profile,
                topic.rpartition("/")[2],
                f"{sent['bytes'] / 1e6:.1f}",
                f"{sent['arrived']} of {sent['sent']}",
                *("-" if delay is None else f"{delay:.1f}" for delay in delays),
            )
    return table
