# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Measure what the package costs: the network, the whole node, and its messages.

Everything that has a straightforward counterpart is timed beside it, in turns, in one run. Tables
are printed; with -o the figures are saved as JSON, and a plot beside it. The same commands run on
a CPU and on a GPU.
"""

import argparse

from scenedino_ros.cli.subcommands import Subcommand, add_subcommands

BENCHMARKS = (
    Subcommand(
        "network",
        "time per stage and memory, plain and folded",
        "scenedino_ros.cli.benchmark_network",
    ),
    Subcommand(
        "curves",
        "cost over voxels, image size, occupied voxels and cameras",
        "scenedino_ros.cli.benchmark_curves",
    ),
    Subcommand("node", "the whole node at given camera rates", "scenedino_ros.cli.benchmark_node"),
    Subcommand(
        "map", "the rolling map over the size of its box", "scenedino_ros.cli.benchmark_map"
    ),
    Subcommand(
        "messages",
        "messages of 100,000 voxels, images, transport",
        "scenedino_ros.cli.benchmark_messages",
    ),
    Subcommand(
        "gpu", "a GPU: answers, time and memory on one page", "scenedino_ros.cli.benchmark_gpu"
    ),
)
_EPILOG = """\
'scenedino benchmark WHAT --help' says more.

examples:
  scenedino benchmark network --grid camera -o network.json
  scenedino benchmark curves --backbone dino_vitb8 -o curves.json
  scenedino benchmark node --rates 10,30 -o node.json
  scenedino benchmark map --image street.png -o map.json
  scenedino benchmark messages -o messages.json
  scenedino benchmark gpu
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare one nested subcommand per benchmark."""
    parser.epilog = _EPILOG
    add_subcommands(parser, BENCHMARKS, dest="benchmark", metavar="WHAT")
