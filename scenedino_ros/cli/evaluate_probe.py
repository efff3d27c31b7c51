"""Probes, linear or with one hidden layer, fitted to labels on the features of a frozen network.

Features of some labelled pixels of the training images are rendered once and kept in the folder
of the run; the probes (one on the distilled code, one on the full feature) are fitted to them and
scored on other images. DATA and --train are folders as for 'scenedino evaluate segmentation'.

The folder then holds probe.safetensors, the network with its new probes: 'scenedino evaluate ssc
--checkpoint RUN/probe.safetensors --mode stego_linear' scores them in 3D.
"""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from scenedino_ros.cli.evaluate_segmentation import (
    add_labelled_arguments,
    labelled_data,
    labelled_folder,
    together,
)
from scenedino_ros.cli.evaluation import (
    add_network_arguments,
    add_panel_argument,
    add_run_arguments,
    network_from,
    run_evaluation,
    work_on,
)
from scenedino_ros.core.errors import InputError
from scenedino_ros.terminal.arguments import add_every
from scenedino_ros.terminal.progress import telling
from scenedino_ros.terminal.values import NUMBER_RANGES, count, number_ranges

if TYPE_CHECKING:
    from scenedino_ros.evaluation.probe.counting import ProbeEvaluation
    from scenedino_ros.evaluation.segmentation.images import LabelledData

_EPILOG = """\
examples:
  scenedino evaluate probe KITTI-360 --train-drives 0,2,3 --train-every 10 \\
      --checkpoint ssc-kitti-360-dino -o runs/probe
  scenedino evaluate probe streets/kitti360 --train-drives 900 -o runs/probe
  scenedino evaluate probe town.store --train street.store --hidden \\
      --checkpoint model.safetensors -o runs/probe
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.epilog = _EPILOG
    add_labelled_arguments(parser)
    training = parser.add_argument_group("training")
    training.add_argument(
        "--train",
        type=Path,
        action="append",
        metavar="FOLDER",
        help="images to fit on, may be repeated (default: DATA's own training part)",
    )
    training.add_argument(
        "--train-drives",
        type=number_ranges,
        metavar=NUMBER_RANGES,
        help="of KITTI-360 (default: the training drives of SSCBench); of a set that names its "
        "own drives, those that are scored are then the others",
    )
    add_every(training, "training image", "--train-every")
    training.add_argument("--hidden", action="store_true", help="a hidden layer: an MLP probe")
    training.add_argument(
        "--epochs", type=count, default=10, metavar="N", help="passes (default: %(default)s)"
    )
    training.add_argument(
        "--pixels",
        type=count,
        default=2048,
        metavar="N",
        help="labelled pixels taken from each image (default: %(default)s)",
    )
    add_network_arguments(parser)
    add_run_arguments(parser)
    add_panel_argument(parser)


def run(options: argparse.Namespace) -> int:
    """Take the samples, fit the probes, score them, and say what came out."""
    network = network_from(options)
    from scenedino_ros.evaluation.probe.counting import ProbeEvaluation
    from scenedino_ros.evaluation.probe.fit import FitSettings
    from scenedino_ros.evaluation.workers import all_ranks

    _settle_drives(options)
    data, training = labelled_data(options), _training(options)
    if training.settings() == data.settings():
        raise InputError("the probes must be fitted on other images than those they are scored on")
    fit = FitSettings(hidden=options.hidden, pixels=options.pixels, epochs=options.epochs)
    evaluation = ProbeEvaluation(
        data, training, network, fit, options.output, panels=options.panels
    )
    with all_ranks():
        _fit(evaluation, options)
        return run_evaluation(evaluation, options)


def _fit(evaluation: "ProbeEvaluation", options: argparse.Namespace) -> None:
    """Take what samples are missing and fit the probes, unless that is done."""
    from scenedino_ros.checkpoints.checkpoint import save_checkpoint
    from scenedino_ros.evaluation.probe.fit import fit_probes
    from scenedino_ros.evaluation.run_folder import RunFolder
    from scenedino_ros.evaluation.workers import rank, wait_for_ranks

    if rank() == 0:
        RunFolder(evaluation.output, evaluation.kind, evaluation.settings())
    wait_for_ranks()
    if evaluation.checkpoint.exists():
        return
    samples = work_on(evaluation.samples, evaluation.output / "samples", options)
    items = evaluation.samples.items()
    missing = samples.missing(items)
    if missing:
        item, why = next(iter(missing.items()))
        raise InputError(
            f"{len(missing)} of {len(items)} training images cannot be read, such as {item}: {why}"
        )
    if rank() == 0:
        with telling("fitting the probes") as tell:
            fitted = fit_probes(evaluation.network.load(), samples, items, evaluation.fit, tell)
        save_checkpoint(evaluation.checkpoint, fitted)
    wait_for_ranks()


def _settle_drives(options: argparse.Namespace) -> None:
    """Choose what is scored where DATA names its own drives and is fitted on, too.

    Raises:
        InputError: If such a set is to be split and nobody says how.
    """
    from scenedino_ros.evaluation.segmentation.data import card_drives
    from scenedino_ros.recordings.datasets.kitti360_folders import dataset_root

    drives = card_drives(dataset_root(options.data))
    if drives is None or options.train:
        return
    fitted = set(options.train_drives or ())
    others = [drive for drive in drives if drive not in fitted]
    if not fitted or not others:
        raise InputError(
            f"{options.data} has the drives {', '.join(map(str, drives))}: name some of them, not "
            "all, with --train-drives, or another folder with --train"
        )
    if options.drive is None:
        options.drive = others


def _training(options: argparse.Namespace) -> "LabelledData":
    members = [
        member
        for folder in options.train or [options.data]
        for member in labelled_folder(
            folder, options, _training_drives(folder, options), "train", options.train_every
        )
    ]
    return together(members)


def _training_drives(folder: Path, options: argparse.Namespace) -> tuple[int, ...] | None:
    """Return which drives of a folder are fitted on; None: all that it names itself."""
    from scenedino_ros.evaluation.ssc.data import CARD, SPLITS
    from scenedino_ros.recordings.datasets.kitti360_folders import dataset_root

    if options.train_drives or (dataset_root(folder) / CARD).exists():
        return options.train_drives
    return SPLITS["train"][0]
