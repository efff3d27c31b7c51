"""Measure what the package costs: the network, the whole node, and its messages.

Everything that has a straightforward counterpart is timed beside it, in turns, in one run. Tables
are printed; with -o the figures are saved as JSON, and a plot beside it. The same commands run on
a CPU and on a GPU.
"""

import argparse
import importlib
from typing import NamedTuple


class Benchmark(NamedTuple):
    """One benchmark: its module has ``add_arguments``, ``run`` and a docstring for the help."""

    name: str
    summary: str
    module: str


BENCHMARKS = (
    Benchmark(
        "network",
        "time per stage and memory, plain and folded",
        "scenedino_ros.cli.benchmark_network",
    ),
    Benchmark(
        "curves", "cost over voxels and over image size", "scenedino_ros.cli.benchmark_curves"
    ),
    Benchmark("node", "the whole node at given camera rates", "scenedino_ros.cli.benchmark_node"),
    Benchmark(
        "messages",
        "messages of 100,000 voxels, images, transport",
        "scenedino_ros.cli.benchmark_messages",
    ),
)
_EPILOG = """\
'scenedino benchmark WHAT --help' tells more.

examples:
  scenedino benchmark network --grid camera -o network.json
  scenedino benchmark curves --backbone dino_vitb8 -o curves.json
  scenedino benchmark node --rates 10,30 -o node.json
  scenedino benchmark messages -o messages.json
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare one nested subcommand per benchmark."""
    parser.epilog = _EPILOG
    choices = parser.add_subparsers(dest="benchmark", metavar="WHAT", required=True)
    for entry in BENCHMARKS:
        module = importlib.import_module(entry.module)
        subparser = choices.add_parser(
            entry.name,
            help=entry.summary,
            description=module.__doc__,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        module.add_arguments(subparser)
        subparser.set_defaults(measure=module.run)


def run(options: argparse.Namespace) -> int:
    """Run the benchmark that was chosen."""
    code: int = options.measure(options)
    return code
