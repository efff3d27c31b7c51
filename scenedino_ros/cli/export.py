# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Prepare the engines that run the network: ONNX graphs, OpenVINO, TensorRT, int8.

image.onnx turns an image into a map, points.onnx turns the map and points in it into density and
feature, classes.onnx turns features into classes. card.json states what they were made from, and
how far the answers of ONNX Runtime are from those of PyTorch. Where TensorRT and a GPU are
available, an engine of each graph is built beside it.

Without --output the graphs go to the cache, where the node finds them. The command then also
converts the image part for OpenVINO and measures which engine is the fastest here, which the node
otherwise does at its first start (parameters model.engine and model.precision).

With --int8 it writes the image part in int8 instead of ONNX graphs. The images of the folder show
how far voxels and depths of int8 agree with those of float32: the node takes int8 by itself only
if that is enough.
"""

import argparse
from pathlib import Path

from rich.console import Console
from rich.table import Table

from scenedino_ros.core.errors import InputError
from scenedino_ros.terminal.arguments import add_force, add_output
from scenedino_ros.terminal.network_arguments import add_image_size, add_mode, network_values
from scenedino_ros.terminal.progress import reporting

_EPILOG = """\
examples:
  scenedino export
  scenedino export --int8 drive/images
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
    parser.add_argument(
        "--int8",
        type=Path,
        metavar="FOLDER",
        help="images of your camera (at least 8, at most 32 are compared) for precision int8",
    )
    add_force(parser, "replace an earlier export")


def run(options: argparse.Namespace) -> int:
    """Export, and print what was written."""
    if options.int8 and options.output:
        raise InputError("--int8 writes to the cache, where the node finds it, not to --output")
    with reporting("loading PyTorch") as report:
        # Imported here because it takes seconds; help and wrong arguments do not wait for it.
        from scenedino_ros.cli.exporting import export
        from scenedino_ros.inference.network_choice import NetworkChoice

        network = NetworkChoice(**network_values(options))
        network.find(report)
        network.check_mode()
        rows = export(network, options.output, options.int8, options.force, report)
    table = Table(show_header=False, box=None, padding=(0, 1, 0, 0))
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for row in rows:
        table.add_row(*row)
    Console(highlight=False, markup=False).print(table)
    return 0
