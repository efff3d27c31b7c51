# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Measure how the cost of an image grows with what it is asked for.

Four curves: over the number of voxels (the grid keeps its extent while its voxels shrink), over
the size of the network input image, over the fraction of the voxels in view that is occupied, and
over the number of cameras whose images take turns through one predictor. Every point gives p50 and
p95 of both stages of an image, for the plain and the folded network in turns, and the bound: the
shortest time in which this machine could do what the folded network was asked for, see 'scenedino
benchmark network --help'. The plain network is left out of grids with more than --plain-up-to
voxels, and of the last two curves.
"""

import argparse
from collections.abc import Callable
from typing import Any

from rich.console import Console
from rich.table import Table

from scenedino_ros.benchmark.stages import VARIANTS
from scenedino_ros.cli.benchmark_options import (
    add_grid,
    add_network,
    add_output,
    add_picture,
    add_repeats,
    fraction,
    network_job,
    save,
    short,
)
from scenedino_ros.core.config import GridSettings
from scenedino_ros.terminal.progress import reporting
from scenedino_ros.terminal.values import count, image_size, positive, several

_EPILOG = """\
examples:
  scenedino benchmark curves -o curves.json
  scenedino benchmark curves --backbone dino_vitb8 --grid sscbench --plain-up-to 300000
  scenedino benchmark curves --voxel-sizes 0.8,0.4,0.2,0.1 --image-sizes 192x640,384x1280
  scenedino benchmark curves --cameras 1,6 --shares 0.05,0.3 --exposed-only
  scenedino benchmark curves --device cuda --precision bfloat16 --plain-up-to 10000000
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.epilog = _EPILOG
    add_output(parser)
    add_network(parser)
    add_grid(parser, GridSettings.preset, 0.4)
    parser.add_argument(
        "--voxel-sizes",
        type=several(positive),
        default=(0.8, 0.4, 0.2, 0.15),
        metavar="METRES,...",
        help="edge lengths along the first curve (default: 0.8,0.4,0.2,0.15)",
    )
    parser.add_argument(
        "--image-sizes",
        type=several(image_size),
        default=((96, 320), (192, 640), (288, 960)),
        metavar="HxW,...",
        help="sizes of the network input image along the second curve "
        "(default: 96x320,192x640,288x960)",
    )
    parser.add_argument(
        "--shares",
        type=several(fraction),
        default=(0.01, 0.05, 0.2, 0.5),
        metavar="FRACTION,...",
        help="of the voxels in view that are occupied, along the third curve "
        "(default: 0.01,0.05,0.2,0.5)",
    )
    parser.add_argument(
        "--cameras",
        type=several(count),
        default=(1, 2, 4, 8),
        metavar="N,...",
        help="numbers of cameras along the fourth curve (default: 1,2,4,8)",
    )
    parser.add_argument(
        "--plain-up-to",
        type=count,
        default=600_000,
        metavar="VOXELS",
        help="the plain network is run for grids of so many voxels (default: %(default)s)",
    )
    add_picture(parser)
    add_repeats(parser, 3)


def run(options: argparse.Namespace) -> int:
    """Measure, print a table per curve, and save the figures where asked."""
    with reporting("loading PyTorch") as report:
        # Imported here because it takes seconds; help and wrong arguments do not wait for it.
        from scenedino_ros.benchmark.curves import CurvesJob, measure_curves
        from scenedino_ros.benchmark.plots import plot_curves

        base = network_job(options, render=False)
        names = ("voxel_sizes", "image_sizes", "shares", "cameras", "plain_up_to")
        job = CurvesJob(base, **{name: getattr(options, name) for name in names})
        figures = measure_curves(job, report)
    console = Console()
    for curve in _CURVES:
        console.print(_table(curve, figures))
    save(options.output, figures, plot_curves)
    return 0


def _table(curve: str, figures: dict[str, Any]) -> Table:
    machine = figures["machine"]
    table = Table(
        title=f"{figures['backbone']}, cost {curve}; milliseconds",
        caption=f"{machine['device']}, {machine['threads']} threads; {figures['weights']}",
    )
    column, value = _CURVES[curve]
    table.add_column(column, justify="right")
    table.add_column("network")
    for stage in _STAGES:
        for name in (f"{stage} p50", "p95", "bound"):
            table.add_column(name, justify="right")
    has_memory = "memory [MiB]" in figures[curve][0]
    if has_memory:
        table.add_column("memory, MiB", justify="right")
    for point in figures[curve]:
        for variant in VARIANTS:
            timing = point[variant]
            if timing is None:
                continue
            cells = []
            for stage in _STAGES:
                cells += [short(timing[f"{stage} {p} [ms]"]) for p in ("p50", "p95")]
                bound = point["bound"][f"{stage} [ms]"]
                cells.append(short(bound) if variant == "folded" else "")
            if has_memory:
                cells.append(short(point["memory [MiB]"]))
            table.add_row(value(point), variant, *cells)
    return table


def _image_size(point: dict[str, Any]) -> str:
    height, width = point["image size"]
    return f"{width} x {height}"


_STAGES = ("encode", "voxels")
# What changes along a curve: name of the column, and its value at a point.
_CURVES: dict[str, tuple[str, Callable[[dict[str, Any]], str]]] = {
    "over voxels": ("voxels", lambda point: f"{point['voxels']:,}"),
    "over image size": ("input image", _image_size),
    "over occupied fraction": ("occupied", lambda point: f"{point['share']:.0%}"),
    "over cameras": ("cameras", lambda point: str(point["cameras"])),
}
