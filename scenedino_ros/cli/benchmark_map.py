# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Time the rolling map over the size of its box, and watch its memory over many images.

One image is encoded, and fused again and again while the camera drives along a wide curve at 8 m/s
and 10 images per second. "fuse" is what an image costs beyond its encoding: "density" and
"classes" are the network's part of it, "rest" is the map's. "voxels" and "grid" are computed once
a second for the map's messages: the exposed voxels, and the ground and the occupancy grid.

With --road-only a flat road answers instead of the network: 10,000 images then take minutes, and
show whether time and memory grow.
"""

import argparse
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from scenedino_ros.cli.benchmark_options import add_output, save
from scenedino_ros.core.config import MapSettings
from scenedino_ros.terminal.network_arguments import (
    add_checkpoint,
    add_image_size,
    add_runtime,
    network_values,
)
from scenedino_ros.terminal.progress import reporting
from scenedino_ros.terminal.values import count, numbers, positive

_SIZES = ((32.0, 32.0, 6.4), (64.0, 64.0, 6.4), (100.0, 100.0, 6.4))
_EPILOG = """\
examples:
  scenedino benchmark map --image street.png -o map.json
  scenedino benchmark map --size 64,64,6.4 --frames 10000 --road-only
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.epilog = _EPILOG
    add_output(parser)
    parser.add_argument(
        "--size",
        dest="sizes",
        action="append",
        type=numbers("x,y,z"),
        metavar="x,y,z",
        help="lengths of the box, metres; may be repeated (default: 32,32,6.4, 64,64,6.4 and "
        "100,100,6.4)",
    )
    parser.add_argument(
        "--voxel-size",
        type=positive,
        default=MapSettings.voxel_size,
        metavar="METRES",
        help="default: %(default)s",
    )
    parser.add_argument(
        "--frames",
        type=count,
        default=50,
        metavar="N",
        help="images that are fused, after one that is not timed (default: %(default)s)",
    )
    parser.add_argument(
        "--image", default="", metavar="FILE", help="a street as KITTI-360 sees it; default: noise"
    )
    parser.add_argument(
        "--road-only", action="store_true", help="a flat road answers instead of the network"
    )
    group = parser.add_argument_group("network")
    add_checkpoint(group)
    add_image_size(group)
    add_runtime(group)


def run(options: argparse.Namespace) -> int:
    """Measure, print a table, and save the figures where asked."""
    with reporting("loading PyTorch") as report:
        # Imported here because it takes seconds; help and wrong arguments do not wait for it.
        from scenedino_ros.benchmark.map import MapJob, measure_map, plot_map
        from scenedino_ros.inference.network_choice import NetworkChoice

        network = NetworkChoice(**network_values(options))
        sizes = tuple(options.sizes or _SIZES)
        names = ("voxel_size", "frames", "image", "road_only")
        job = MapJob(network, sizes, **{name: getattr(options, name) for name in names})
        figures = measure_map(job, report)
    Console().print(_table(figures))
    save(options.output, figures, plot_map)
    return 0


def _table(figures: dict[str, Any]) -> Table:
    machine, results = figures["machine"], figures["results"]
    table = Table(
        title=f"The map, voxels of {figures['job']['voxel_size']:g} m, "
        f"{figures['job']['frames']} images",
        caption=f"{machine['device']}, {machine['threads']} threads; encoding an image takes "
        f"{figures['encode [ms]']:.0f} ms; {figures['weights']}",
    )
    table.add_column("")
    for row in results:
        size = " x ".join(f"{length:g}" for length in row["size [m]"])
        table.add_column(f"{size} m", justify="right")
    for key in list(results[0])[1:]:
        table.add_row(escape(key), *(_short(row[key]) for row in results))
    return table


def _short(value: float) -> str:
    return f"{value:,.0f}" if isinstance(value, int) or value >= 100 else f"{value:.1f}"
