# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Measure the whole node, from an image's stamp to its published results, at given camera rates.

Player, node and recorder are processes of their own that exchange real messages over DDS, as in
the demo. The player keeps the rate whatever the node does; the node works on the newest image and
drops those it cannot keep up with. The table shows, per rate, how many images were processed and
dropped, and p50 and p95 from stamp to publish and of each stage, by the node's own clock, over the
last 500 images. The first image counts too: it fills caches.
"""

import argparse
import tempfile
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from scenedino_ros.benchmark.grids import grid_of
from scenedino_ros.benchmark.stages import SUBSCRIBED
from scenedino_ros.cli.benchmark_options import add_grid, add_network, add_output, save
from scenedino_ros.core.config import GridSettings
from scenedino_ros.demo.arguments import add_drive
from scenedino_ros.terminal.arguments import add_node_voxels
from scenedino_ros.terminal.progress import reporting
from scenedino_ros.terminal.values import positive, several

_EPILOG = """\
examples:
  scenedino benchmark node --rates 10,30 -o node.json
  scenedino benchmark node --checkpoint ssc-kitti-360-dino --grid sscbench --subscribe voxels
  scenedino benchmark node --backbone dino_vitb8 --device cuda --precision bfloat16
  scenedino benchmark node --kitti360 data_2d_raw/2013_05_28_drive_0000_sync --seconds 30
  scenedino benchmark node --images dashcam/ --intrinsics 1450,1450,960,540 --transport compressed
"""
_TOTAL = "stamp to publish"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.epilog = _EPILOG
    add_output(parser)
    parser.add_argument(
        "--rates",
        "--rate",
        type=several(positive),
        default=(10.0,),
        metavar="HZ,...",
        help="images per second, each played through a node of its own (default: 10)",
    )
    parser.add_argument(
        "--seconds",
        type=positive,
        default=10.0,
        help="how long each rate is played (default: %(default)s)",
    )
    parser.add_argument(
        "--subscribe",
        choices=tuple(SUBSCRIBED),
        default="all",
        help="what is subscribed to, and therefore computed: the cloud, cloud and markers, "
        "or the rendered images too (default: %(default)s)",
    )
    parser.add_argument(
        "--transport",
        choices=("raw", "compressed"),
        default="raw",
        help="how the images travel (default: %(default)s)",
    )
    add_network(parser, as_node=True)
    add_grid(parser, GridSettings.preset, 0.2)
    add_node_voxels(parser)
    add_drive(parser, "synthetic images of KITTI-360's size")


def run(options: argparse.Namespace) -> int:
    """Measure, print a table, and save the figures where asked."""
    with reporting("preparing") as report, tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        # Imported here because it takes seconds; help and wrong arguments do not wait for it.
        from scenedino_ros.benchmark.drives import synthetic_drive, with_raw_images
        from scenedino_ros.benchmark.node import NodeJob, measure_node, require_ros
        from scenedino_ros.benchmark.plots import plot_node
        from scenedino_ros.demo.sources import grid_frame, make_drive, write_calibration

        require_ros()
        options.rate = options.rates[0]  # at which a folder of images is recorded
        given = (options.bag, options.images, options.kitti360, options.dgp)
        if any(given) or options.seed is not None:
            drive = make_drive(
                options, folder, lambda what, done, of: report(f"{what}: {done} of {of}")
            )
        else:
            drive = synthetic_drive(folder / "drive")
        frame = grid_frame(options.grid, options.grid_frame, drive)
        info_file = write_calibration(options, drive, folder)
        if options.transport == "raw":
            most = round(max(options.rates) * options.seconds)
            drive = with_raw_images(
                drive, folder / "raw", most, lambda done, of: report(f"raw image {done} of {of}")
            )
        job = NodeJob(
            drive=drive,
            info_file=info_file,
            parameters=_parameters(options, frame, folder),
            outputs=options.subscribe,
            rates_hz=options.rates,
            seconds=options.seconds,
        )
        figures = measure_node(job, folder / "runs", report)
    Console().print(_table(figures))
    save(options.output, figures, plot_node)
    return 0


def _parameters(
    options: argparse.Namespace, grid_frame: str, folder: Path
) -> dict[str, dict[str, Any]]:
    """Return the node's parameters by group; untrained weights become a file in the folder."""
    from scenedino_ros.demo.sources import checkpoint_argument

    checkpoint = checkpoint_argument(options.checkpoint)
    if options.backbone:
        from scenedino_ros.benchmark.job import untrained
        from scenedino_ros.checkpoints.checkpoint import save_checkpoint

        checkpoint = str(folder / "untrained.safetensors")
        save_checkpoint(Path(checkpoint), untrained(options.backbone))
    model = {name: getattr(options, name) for name in ("device", "precision", "mode", "engine")}
    if options.image_size:
        model["image_size"] = list(options.image_size)
    grid = grid_of(options.grid, options.voxel_size)
    return {
        "model": {"checkpoint": checkpoint, **model},
        "grid": {
            "preset": options.grid,
            "frame": grid_frame,
            "shape": list(grid.shape),
            "voxel_size": grid.voxel_size,
        },
        "voxels": {
            "density_threshold": float(options.threshold),
            "exposed_only": not options.all_voxels,
        },
    }


def _table(figures: dict[str, Any]) -> Table:
    network, runs = figures["network"], figures["runs"]
    grid = figures["parameters"]["grid"]
    table = Table(
        title=f"node, {figures['drive']} ({figures['transport']}), grid {grid['preset']} "
        f"({' x '.join(map(str, grid['shape']))}); p50 / p95 in ms",
        caption=f"{network.get('device', '?')}, {network.get('engine', '?')}; subscribed to "
        f"{', '.join(figures['subscribed'])}; {network.get('weights', 'unknown weights')}",
    )
    table.add_column("")
    for run_ in runs:
        table.add_column(f"{run_['rate_hz']:g} Hz", justify="right")
    for name, key in (
        ("images played", "played"),
        ("arrived at the node", "arrived_at_node"),
        ("processed", "processed"),
    ):
        table.add_row(name, *(str(run_["images"][key]) for run_ in runs))
    table.add_row("dropped", *(str(sum(run_["drops"].values())) for run_ in runs))
    table.add_row("processed per second", *(f"{run_['images_out_hz']:.2f}" for run_ in runs))
    stages = dict.fromkeys(stage for run_ in runs for stage in run_["latency_ms"])
    for stage in sorted(stages, key=lambda stage: stage != _TOTAL):
        table.add_row(stage, *(_percentiles(run_["latency_ms"].get(stage)) for run_ in runs))
    return table


def _percentiles(latency: dict[str, float] | None) -> str:
    return f"{latency['p50']:,.1f} / {latency['p95']:,.1f}" if latency else "-"
