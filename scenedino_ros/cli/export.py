# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Write the network as ONNX graphs, verified against PyTorch, and as TensorRT engines.

image.onnx turns an image into a map, points.onnx turns the map and points in it into density and
feature, classes.onnx turns features into classes. card.json states what they were made from, and
how far the answers of ONNX Runtime are from those of PyTorch. Where TensorRT and a GPU are
available, an engine of each graph is built beside it. Without --output the graphs go to the cache,
where the node (parameter model.engine) finds them; otherwise it writes them on first use.
"""

import argparse
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from scenedino_ros.core.errors import InputError
from scenedino_ros.terminal.arguments import add_force, add_output
from scenedino_ros.terminal.network_arguments import add_image_size, add_mode, network_values
from scenedino_ros.terminal.progress import reporting

_EPILOG = """\
examples:
  scenedino export
  scenedino export dino.safetensors -o graphs
  scenedino export ssc-kitti-360-dino --mode direct_linear --image-size 192x640 -o graphs
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.epilog = _EPILOG
    parser.add_argument(
        "checkpoint",
        nargs="?",
        default="",
        metavar="NAME|PATH",
        help=".safetensors file or published name (default: the model of the package)",
    )
    add_output(parser, "folder for the graphs (default: in the cache)", required=False)
    add_mode(parser)
    add_image_size(parser)
    add_force(parser, "replace an earlier export")


def run(options: argparse.Namespace) -> int:
    """Export, and print what was written."""
    with reporting("loading PyTorch") as report:
        # Imported here because it takes seconds; help and wrong arguments do not wait for it.
        from scenedino_ros.checkpoints.checkpoint import build_model
        from scenedino_ros.inference.engines.graph_folder import (
            CARD,
            cached_folder,
            export_graphs,
            fingerprint,
        )
        from scenedino_ros.inference.engines.tensorrt_graph import build_where_possible
        from scenedino_ros.inference.network_choice import NetworkChoice

        network = NetworkChoice(**network_values(options))
        network.find(report)
        network.check_mode()
        model = build_model(network.load(report))
        folder = options.output or cached_folder(fingerprint(model, options.mode))
        if folder.exists() and not options.force:
            raise InputError(f"{folder} exists; --force replaces it")
        if folder.exists() and not (folder / CARD).is_file():
            raise InputError(f"{folder} is not an earlier export and is not replaced")
        card = export_graphs(model, options.mode, folder, report)
        built = build_where_possible(folder, report)
    _print(folder, card, built)
    return 0


def _print(folder: Path, card: dict[str, Any], tensorrt: str) -> None:
    table = Table(show_header=False, box=None, padding=(0, 1, 0, 0))
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    table.add_row("folder", str(folder))
    for name in card["files"]:
        table.add_row(name, f"{(folder / name).stat().st_size / 1e6:.1f} MB")
    deviation = card["deviation"]
    for name in ("map", "density", "feature"):
        table.add_row(f"{name} deviation", f"{deviation[name]:.1e} of the largest value")
    table.add_row("other classes", f"{deviation['labels']} of {deviation['points']} points")
    table.add_row("TensorRT", tensorrt)
    Console(highlight=False, markup=False).print(table)
