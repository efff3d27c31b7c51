# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Time one frame of the plain and the folded network side by side, and their peak memory.

Both run in turns on the same image of KITTI-360's size: first everything the network can say for
every voxel of the grid (plain), then only what is asked for, after exact algebra on the weights
(folded). In float32 the answers are the same; the tests hold them to it. For any precision and
engine the table gives IoU and mIoU of the folded network's voxels, those of the plain one in
float32 taken for true. How much there is to classify depends on how many voxels are occupied, so
the density threshold is set to reach --share.

A frame is "encode" and "voxels". "render" is what the node adds where somebody subscribes to it:
depth and classes seen from the camera.
"""

import argparse
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from scenedino_ros.cli.benchmark_options import (
    add_grid,
    add_network,
    add_output,
    add_picture,
    add_repeats,
    network_job,
    save,
)
from scenedino_ros.terminal.progress import reporting

_EPILOG = """\
examples:
  scenedino benchmark network --grid camera
  scenedino benchmark network --backbone dino_vitb8 --repeats 3 -o network.json
  scenedino benchmark network --checkpoint dino.safetensors --image street.png --precision bfloat16
  scenedino benchmark network --engine onnx --no-render
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.epilog = _EPILOG
    add_output(parser)
    add_network(parser)
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
    Console().print(_table(figures))
    save(options.output, figures, plot_network)
    return 0


def _table(figures: dict[str, Any]) -> Table:
    machine, results = figures["machine"], figures["results"]
    height, width = figures["image size"]
    same = figures["folded against plain"]
    grid = " x ".join(map(str, figures["grid"]))
    table = Table(
        title=f"{figures['backbone']}, {width} x {height} px, grid {figures['job']['grid']} "
        f"({grid}), {figures['job']['mode']}",
        caption=f"{machine['device']}, {machine['threads']} threads; plain: PyTorch "
        f"{machine['torch']}, float32; folded: {figures['engine']}, its voxels against the plain "
        f"ones: IoU {same['IoU']:.4f}, mIoU {same['mIoU']:.4f}; {figures['weights']}",
    )
    table.add_column("")
    for column in ("plain", "folded", "plain / folded"):
        table.add_column(column, justify="right")
    for row in results["plain"]:
        plain, folded = results["plain"][row], results["folded"][row]
        ratio = "" if row == "occupied voxels" else f"{plain / folded:.1f}"
        table.add_row(escape(row), _short(plain), _short(folded), ratio)
    return table


def _short(value: float) -> str:
    return f"{value:,.0f}" if isinstance(value, int) or value >= 100 else f"{value:.1f}"
