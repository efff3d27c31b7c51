# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Time one frame of the plain and the folded network side by side, and their peak memory.

Both run in turns on the same image of KITTI-360's size: first everything the network can say for
every voxel of the grid (plain), then only what is asked for, after exact algebra on the weights
(folded). In float32 the answers are the same; the tests hold them to it. For any precision and
engine the table gives IoU and mIoU of the folded network's voxels and the relative error of its
rendered depth, the plain network in float32 taken as ground truth. How much there is to classify
depends on how many voxels are occupied, so the density threshold is set to reach --share.

A frame is "encode" and "voxels". "render" is what the node adds where somebody subscribes to it:
depth and classes seen from the camera. Beside the time that passes stands the processor time of
all threads, which also counts threads that only wait in a loop.

The roofline gives the shortest time in which this machine could do each part: the larger of its
operations over the rate of matrix products, and of the bytes that it must move over the bandwidth
of the memory. Both peaks are measured with PyTorch in the same run.
"""

import argparse
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from scenedino_ros.benchmark.stages import STAGES, processor
from scenedino_ros.cli.benchmark_options import (
    BOTH,
    add_grid,
    add_network,
    add_output,
    add_picture,
    add_repeats,
    network_job,
    save,
    short,
)
from scenedino_ros.terminal.progress import reporting

_EPILOG = """\
examples:
  scenedino benchmark network --grid camera
  scenedino benchmark network --backbone dino_vitb8 --repeats 3 -o network.json
  scenedino benchmark network --checkpoint dino.safetensors --image street.png --precision bfloat16
  scenedino benchmark network --grid camera --precision both --exposed-only
  scenedino benchmark network --engine onnx --no-render
"""
_COSTS = ("occupied voxels", "first frame [ms]", "peak memory [MiB]", "of it beyond imports [MiB]")
_SCORES = ("IoU", "mIoU", "depth abs rel")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.epilog = _EPILOG
    add_output(parser)
    add_network(parser, (BOTH,))
    add_grid(parser, "sscbench", 0.2)
    add_picture(parser)
    parser.add_argument(
        "--render",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="also time what the node renders",
    )
    add_repeats(parser, 5)


def run(options: argparse.Namespace) -> int:
    """Measure, print a table, and save the figures where asked."""
    with reporting("loading PyTorch") as report:
        # Imported here because it takes seconds; help and wrong arguments do not wait for it.
        from scenedino_ros.benchmark.network import measure_network
        from scenedino_ros.benchmark.plots import plot_network

        figures = measure_network(network_job(options, render=options.render), report)
    console = Console()
    console.print(_time_table(figures), _cost_table(figures))
    for variant in figures["roofline"]:
        console.print(_roofline_table(variant, figures))
    save(options.output, figures, plot_network)
    return 0


def _time_table(figures: dict[str, Any]) -> Table:
    machine, results = figures["machine"], figures["results"]
    height, width = figures["image size"]
    grid = " x ".join(map(str, figures["grid"]))
    table = Table(
        title=f"{figures['backbone']}, {width} x {height} px, grid {figures['job']['grid']} "
        f"({grid}), {figures['job']['mode']}; milliseconds",
        caption=f"{machine['device']}, {machine['threads']} threads; plain: PyTorch "
        f"{machine['torch']}, float32; folded: {figures['engine']}; {figures['weights']}",
    )
    for column in ("stage", "network"):
        table.add_column(column)
    for column in ("p50", "p95", "processor", "processor / wall", "plain / this"):
        table.add_column(column, justify="right")
    for stage in (*STAGES, "frame"):
        row = f"{stage} p50 [ms]"
        shown = [variant for variant in results if row in results[variant]]
        for variant in shown:
            one = results[variant]
            p50, p95 = one[row], one[f"{stage} p95 [ms]"]
            used = one[f"{processor(stage)} p50 [ms]"]
            cells = [short(value) for value in (p50, p95, used, used / p50)]
            faster = f"{results['plain'][row] / p50:.1f}"
            table.add_row(stage, variant, *cells, "" if variant == "plain" else faster)
        table.add_section()
    return table


def _cost_table(figures: dict[str, Any]) -> Table:
    """Return what each network takes beside time, and how far its answers are the plain ones."""
    results = figures["results"]
    table = Table(
        title="memory, and agreement with the plain network",
        caption="IoU and mIoU of the voxels, mean relative error of the rendered depth",
    )
    table.add_column("network")
    columns = (*_COSTS, *_SCORES)
    for column in columns:
        table.add_column(escape(column), justify="right")
    for variant, one in results.items():
        scores = figures.get(f"{variant} against plain", {})
        cells = [short(one[column]) for column in _COSTS]
        cells += [f"{scores[name]:.4f}" if name in scores else "" for name in _SCORES]
        table.add_row(variant, *cells)
    return table


def _roofline_table(variant: str, figures: dict[str, Any]) -> Table:
    peaks = figures["peaks"]
    rates = ", ".join(f"{name} {rate / 1e9:,.0f}" for name, rate in peaks["rates"].items())
    table = Table(
        title=f"roofline of the {variant} network",
        caption=f"10^9 operations/s of matrix products: {rates}; "
        f"memory {peaks['bandwidth'] / 1e9:.1f} GB/s, with arrays of "
        f"{peaks['array_bytes'] / 1e6:,.0f} MB (the system reports a last-level cache of "
        f"{peaks['cache_bytes'] / 1e6:,.0f} MB). Parts are timed in frames of their own.",
    )
    for column in ("stage", "part"):
        table.add_column(column)
    columns = ("points", "10^9 op", "MB", "op / byte", "bound [ms]", "by")
    for column in (*columns, "p50 [ms]", "p50 / bound", "processor / wall"):
        table.add_column(escape(column), justify="right")
    for row in figures["roofline"][variant]:
        p50, used = row["p50 [ms]"], row["processor p50 [ms]"]
        table.add_row(
            row["stage"],
            row["part"] or "all",
            short(row["count"]),
            short(row["operations"] / 1e9 or None),
            short(row["bytes"] / 1e6 or None),
            short(row["operations / byte"]),
            short(row["bound [ms]"]),
            row["bound by"] or "",
            short(p50),
            short(row["p50 / bound"]),
            short(used / p50 if p50 else None),
            end_section=not row["part"],
        )
    return table
