# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Measure how the cost of a frame grows with the grid and with the network input image.

The grid keeps its extent while its voxels shrink. Then the network input image grows while the
grid stays the same. Every point gives p50 and p95 of both stages of a frame, for the plain and the
folded network in turns. The plain network is left out of grids with more than --plain-up-to
voxels.
"""

import argparse
from typing import Any

from rich.console import Console
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
from scenedino_ros.core.config import GridSettings
from scenedino_ros.terminal.progress import reporting
from scenedino_ros.terminal.values import count, image_size, positive, several

_EPILOG = """\
examples:
  scenedino benchmark curves -o curves.json
  scenedino benchmark curves --backbone dino_vitb8 --grid sscbench --plain-up-to 300000
  scenedino benchmark curves --voxel-sizes 0.8,0.4,0.2,0.1 --image-sizes 192x640,384x1280
  scenedino benchmark curves --device cuda --precision bfloat16 --plain-up-to 10000000
"""
_CURVES = ("over voxels", "over image size")
_SHOWN = tuple(f"{stage} {p} [ms]" for stage in ("encode", "voxels") for p in ("p50", "p95"))


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
        job = CurvesJob(base, options.voxel_sizes, options.image_sizes, options.plain_up_to)
        figures = measure_curves(job, report)
    for curve in _CURVES:
        Console().print(_table(curve, figures))
    save(options.output, figures, plot_curves)
    return 0


def _table(curve: str, figures: dict[str, Any]) -> Table:
    machine = figures["machine"]
    table = Table(
        title=f"{figures['backbone']}, cost {curve}; p50 and p95 in ms",
        caption=f"{machine['device']}, {machine['threads']} threads; {figures['weights']}",
    )
    table.add_column("input image")
    for column in ("voxels", "network", "encode p50", "p95", "voxels p50", "p95"):
        table.add_column(column, justify="left" if column == "network" else "right")
    for point in figures[curve]:
        height, width = point["image size"]
        for variant in ("plain", "folded"):
            timing = point[variant]
            cells = [f"{timing[row]:,.1f}" if timing else "-" for row in _SHOWN]
            table.add_row(f"{width} x {height}", f"{point['voxels']:,}", variant, *cells)
    return table
