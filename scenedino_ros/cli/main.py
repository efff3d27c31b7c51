# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Runs a subcommand, and turns errors into one sentence and an exit code.

Exit codes: 0 done; 1 some images of a folder failed, the others are done; 2 wrong arguments or
an error, reported in one sentence; 130 stopped with Ctrl-C.
"""

import argparse
import io
import os
import re
import sys
from collections.abc import Sequence

from scenedino_ros import __version__
from scenedino_ros.cli.subcommands import Subcommand, add_subcommands
from scenedino_ros.core.errors import SceneDinoError
from scenedino_ros.core.printable import printable
from scenedino_ros.core.reading import reason_of
from scenedino_ros.inference.torch_cache import is_of_compiler, unloadable

SUBCOMMANDS = (
    Subcommand(
        "predict", "find semantic voxels in images or folders", "scenedino_ros.cli.predict"
    ),
    Subcommand("view", "look at predicted voxels in a window", "scenedino_ros.cli.view"),
    Subcommand(
        "convert", "turn an official checkpoint into a .safetensors", "scenedino_ros.cli.convert"
    ),
    Subcommand(
        "synthesize", "make synthetic drives with ground truth", "scenedino_ros.cli.synthesize"
    ),
    Subcommand("kitti360-to-bag", "record KITTI-360 drives", "scenedino_ros.cli.kitti360_to_bag"),
    Subcommand("kitti-to-bag", "record KITTI drives", "scenedino_ros.cli.kitti_to_bag"),
    Subcommand("folder-to-bag", "record a folder of images", "scenedino_ros.cli.folder_to_bag"),
    Subcommand("dataset-to-bag", "record DGP or Argoverse", "scenedino_ros.cli.dataset_to_bag"),
    Subcommand("poses", "estimate poses from stereo images", "scenedino_ros.cli.poses"),
    Subcommand("index", "make a recording ready for training", "scenedino_ros.cli.index"),
    Subcommand("label-images", "make class maps of images", "scenedino_ros.cli.label_images"),
    Subcommand("export", "prepare and time the engines", "scenedino_ros.cli.export"),
    Subcommand("info", "show what a checkpoint contains", "scenedino_ros.cli.info"),
    Subcommand("benchmark", "measure network, node and messages", "scenedino_ros.cli.benchmark"),
    Subcommand("evaluate", "score a model on data sets", "scenedino_ros.cli.evaluate"),
    Subcommand("reproduce", "reproduce a table of the paper", "scenedino_ros.cli.reproduce"),
    Subcommand("report", "put several runs on one page", "scenedino_ros.cli.report"),
)
_EPILOG = """\
examples:
  scenedino predict street.png --intrinsics 552.55,552.55,682.05,238.77 -o out
  scenedino convert seg-best-dino -o dino.safetensors
  scenedino info dino.safetensors

Several frames, seeds or drives are given as numbers and ranges, both ends included: 0-9,90,91.
'scenedino SUBCOMMAND --help' describes a subcommand.
"""
TRACEBACK = "SCENEDINO_TRACEBACK"  # variable; where it is set, unexpected errors are not caught
_NEGATIVE = re.compile(r"-[0-9.][-+0-9.,eE]*")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line.

    Args:
        argv: Arguments without the program's name; None takes those of the process.

    Returns:
        The exit code.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # names of files need not be UTF-8
            stream.reconfigure(errors="backslashreplace")
    arguments = _attach_negative_values(sys.argv[1:] if argv is None else argv)
    options = build_parser(arguments).parse_args(arguments)
    name = f"scenedino {options.subcommand}"
    try:
        status = options.run(options)
        sys.stdout.flush()
        return status
    except SceneDinoError as error:
        print(f"{name}: {error}", file=sys.stderr)
    except BrokenPipeError:
        # Whoever read the output has gone; nothing may be flushed to it at exit either.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except OSError as error:
        reason = error.strerror or str(error)
        where = f": {error.filename}" if error.filename else ""
        sentence = unloadable(error) if is_of_compiler(error) else f"{reason}{where}"
        print(f"{name}: {printable(sentence)}", file=sys.stderr)
    except KeyboardInterrupt:
        print(f"{name}: stopped", file=sys.stderr)
        return 130
    except Exception as error:  # the last resort, whatever it is
        if os.environ.get(TRACEBACK):
            raise
        print(
            f"{name}: unexpected {type(error).__name__}: {reason_of(error)}; set {TRACEBACK}=1 to "
            "see where",
            file=sys.stderr,
        )
    return 2


def build_parser(arguments: Sequence[str] = ()) -> argparse.ArgumentParser:
    """Return the parser; only the subcommand that is chosen in the arguments gets its own.

    Args:
        arguments: The arguments that will be parsed.
    """
    parser = argparse.ArgumentParser(
        prog="scenedino",
        description="Semantic voxels from one camera image.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"scenedino_ros {__version__}")
    chosen = next((word for word in arguments if not word.startswith("-")), "")
    add_subcommands(parser, SUBCOMMANDS, dest="subcommand", metavar="SUBCOMMAND", chosen=chosen)
    return parser


def _attach_negative_values(arguments: Sequence[str]) -> list[str]:
    """Return ``--origin -1,2,3`` as ``--origin=-1,2,3``, which argparse does not take apart."""
    attached: list[str] = []
    for word in arguments:
        option = attached[-1] if attached else ""
        if _NEGATIVE.fullmatch(word) and option.startswith("--") and "=" not in option:
            attached[-1] = f"{option}={word}"
        else:
            attached.append(word)
    return attached
