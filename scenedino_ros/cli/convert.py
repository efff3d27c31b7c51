# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Turn an official SceneDINO checkpoint into one file with weights, configuration and classes.

The source is a folder with checkpoint.pt and training_config.yaml, or the .pt file itself.
The architecture is read from the tensors; the configuration must agree with it. The pickle is
read with weights_only: nothing in it is executed.
"""

import argparse
from pathlib import Path

from scenedino_ros.core.errors import InputError
from scenedino_ros.core.labels import ClassTable
from scenedino_ros.terminal.arguments import add_force, add_output
from scenedino_ros.terminal.progress import reporting
from scenedino_ros.terminal.values import image_size

_EPILOG = """\
examples:
  scenedino convert seg-best-dino -o dino.safetensors
  scenedino convert my_run/checkpoint.pt -o mine.safetensors --image-size 192x640
  scenedino convert my_run -o mine.safetensors --classes classes.yaml --license CC-BY-4.0
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.epilog = _EPILOG
    parser.add_argument("source", type=Path, help="official folder, or its checkpoint.pt")
    add_output(parser, "file to write, *.safetensors")
    parser.add_argument(
        "--classes", type=Path, help="YAML class table; default: the 19 Cityscapes classes"
    )
    parser.add_argument(
        "--image-size",
        type=image_size,
        metavar="HEIGHTxWIDTH",
        help="size of the network input image, pixels, "
        "where neither configuration nor tensors state it",
    )
    parser.add_argument("--license", help="licence of the weights, written into the file")
    add_force(parser, "replace an existing output file")


def run(options: argparse.Namespace) -> int:
    """Convert, and print the card of the result."""
    if options.output.suffix != ".safetensors":
        raise InputError(f"output must be named *.safetensors, got {options.output}")
    if options.output.exists() and not options.force:
        raise InputError(f"{options.output} exists; --force replaces it")
    classes = ClassTable.from_yaml(options.classes) if options.classes else None
    with reporting("loading PyTorch") as report:
        # Imported here because it takes seconds; help and wrong arguments do not wait for it.
        from scenedino_ros.checkpoints.card import read_card
        from scenedino_ros.checkpoints.checkpoint import save_checkpoint
        from scenedino_ros.checkpoints.official.conversion import convert_official
        from scenedino_ros.cli.card import card_values, print_card
        from scenedino_ros.core.files import file_sha256

        checkpoint = convert_official(
            options.source,
            classes=classes,
            image_size=options.image_size,
            provenance={"license": options.license} if options.license else None,
            report=report,
        )
        report(f"writing {options.output}")
        save_checkpoint(options.output, checkpoint)
        sha256 = file_sha256(options.output)
    print_card(card_values(options.output, read_card(options.output), sha256))
    return 0
