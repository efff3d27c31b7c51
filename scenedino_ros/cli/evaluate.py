"""Make the tables of the benchmarks, each with one command.

Every run is a folder: counts of each finished frame, result.json, report.md, plots and panels. A
run that was stopped is taken up again by the same command, and one in which files were missing
counts what is there by now. 'scenedino report' puts several runs on one page.
"""

import argparse
import importlib
from typing import NamedTuple


class Evaluation(NamedTuple):
    """One table: its module has ``add_arguments``, ``run`` and a docstring for the help."""

    name: str
    summary: str
    module: str


EVALUATIONS = (
    Evaluation(
        "ssc", "semantic scene completion, SSCBench-KITTI-360", "scenedino_ros.cli.evaluate_ssc"
    ),
    Evaluation(
        "geometry",
        "occupancy grids of a drive, beside grids that look at no image",
        "scenedino_ros.cli.evaluate_geometry",
    ),
    Evaluation(
        "segmentation",
        "classes of images: KITTI-360, Cityscapes, BDD100K",
        "scenedino_ros.cli.evaluate_segmentation",
    ),
    Evaluation(
        "probe",
        "linear or MLP probes of a frozen network's features",
        "scenedino_ros.cli.evaluate_probe",
    ),
    Evaluation(
        "consistency",
        "features of the same surface in two frames",
        "scenedino_ros.cli.evaluate_consistency",
    ),
    Evaluation("depth", "rendered depth against LiDAR", "scenedino_ros.cli.evaluate_depth"),
)
_EPILOG = """\
'scenedino evaluate TABLE --help' tells more.

examples:
  scenedino evaluate ssc KITTI-360 --checkpoint ssc-kitti-360-dino -o runs/ssc
  scenedino evaluate geometry kitti360_sequence --checkpoint model.safetensors -o runs/geometry
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare one nested subcommand per table."""
    parser.epilog = _EPILOG
    choices = parser.add_subparsers(dest="evaluation", metavar="TABLE", required=True)
    for entry in EVALUATIONS:
        module = importlib.import_module(entry.module)
        subparser = choices.add_parser(
            entry.name,
            help=entry.summary,
            description=module.__doc__,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        module.add_arguments(subparser)
        subparser.set_defaults(evaluate=module.run)


def run(options: argparse.Namespace) -> int:
    """Make the table that was chosen."""
    code: int = options.evaluate(options)
    return code
