# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Reproduce a table of the paper: make what each row needs, and put it beside the published one.

TABLE is one of these:
  ssc           semantic scene completion: SceneDINO, linear probes, S4C, S4C + STEGO
  analysis      one thing changed at a time: probes, clusters, losses, poses
  segmentation  classes of images: SceneDINO, STEGO, S4C + STEGO
  consistency   features of the same surface in two frames

Each row is a chain of this package's own commands: drives, frame stores, training, class maps,
evaluation. --plan prints them. Each runs in a process of its own with a log; the same command
resumes an interrupted chain, and repeats nothing that is done. Tables with the same output folder
share what both of them need.

--scale kitti360 is the published configuration and needs KITTI-360 with the labels of SSCBench.
--scale tiny renders synthetic streets and trains small networks on them; --scale smoke only shows
that every step runs. It must run in the repository, whose folder train has the training scripts.
"""

import argparse
import time
from pathlib import Path
from typing import TYPE_CHECKING

from scenedino_ros.core.errors import InputError
from scenedino_ros.core.files import write_atomically
from scenedino_ros.terminal.arguments import add_output
from scenedino_ros.terminal.progress import time_in_words
from scenedino_ros.terminal.values import count, number_ranges, several

if TYPE_CHECKING:
    from scenedino_ros.reproduction.recipe import Recipe, Step

_EPILOG = """\
examples:
  scenedino reproduce ssc --scale tiny -o reproduced
  scenedino reproduce ssc --scale tiny -o reproduced --rows s4c --seeds 0,1
  scenedino reproduce consistency --scale tiny -o reproduced
  scenedino reproduce ssc --scale kitti360 --data KITTI-360 -o reproduced --processes 8 --plan
"""
_TABLES = ("ssc", "analysis", "segmentation", "consistency")
_SCALES = ("tiny", "smoke", "kitti360")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.epilog = _EPILOG
    parser.add_argument("table", choices=_TABLES, metavar="TABLE", help=", ".join(_TABLES))
    add_output(parser, "folder of everything that is made")
    parser.add_argument(
        "--scale", choices=_SCALES, default="tiny", help="how much (default: %(default)s)"
    )
    parser.add_argument(
        "--data", type=Path, metavar="FOLDER", help="KITTI-360, for --scale kitti360"
    )
    parser.add_argument(
        "--rows",
        type=several(str),
        default=(),
        metavar="WORD,WORD",
        help="only rows with one of these words in their names (default: all)",
    )
    parser.add_argument(
        "--seeds",
        type=number_ranges,
        default=(0,),
        metavar="N,N-N",
        help="seeds of the training runs (default: 0)",
    )
    parser.add_argument(
        "--encoder",
        default="default",
        metavar="WEIGHTS",
        help="weights of the frozen encoder on streets, as encoder.weights of stage 1 "
        "(default: those of the default model)",
    )
    parser.add_argument(
        "--processes", type=count, default=1, help="of a run of stage 1, by torchrun (default: 1)"
    )
    parser.add_argument(
        "--jobs",
        type=count,
        help="steps that run at the same time, each with its share of the cores (default: one per "
        "core, at most 4; 1 with --scale kitti360)",
    )
    parser.add_argument(
        "--plan", action="store_true", help="print the steps and what is done, and do nothing"
    )


def run(options: argparse.Namespace) -> int:
    """Print the plan, or run what is missing and write the table."""
    # Imported here because it takes a while; help and wrong arguments do not wait for it.
    from scenedino_ros.evaluation.result import table_lines
    from scenedino_ros.reproduction.report import reproduced
    from scenedino_ros.reproduction.runner import StepRunner

    recipe = _recipe(options)
    rows = recipe.chosen(options.rows)
    runner = StepRunner(options.output, options.processes)
    steps = recipe.order(rows)
    if options.plan:
        for step in steps:
            made = runner.done(step)
            state = f"done in {time_in_words(made.seconds)}" if made else "to do"
            print(f"{step.name} ({state}): {' '.join(step.words)}")
        return 0
    numbers = {step.name: number for number, step in enumerate(steps, start=1)}

    def tell(step: "Step") -> None:
        place = f"[{numbers[step.name]}/{len(steps)}]"
        print(f"{place} {step.name}: {' '.join(step.words)}", flush=True)

    begun = time.monotonic()
    runner.run(steps, options.jobs or _usual_jobs(options.scale), tell)
    took = time_in_words(time.monotonic() - begun)
    lines = "\n".join(table_lines(reproduced(recipe, rows, runner)))
    write_atomically(options.output / f"{options.table}.md", f"{lines}\n".encode())
    print(f"{lines}\n\n{options.output / options.table}.md, after {took}")
    return 0


def _usual_jobs(scale: str) -> int:
    """Return how many steps run at a time: small networks leave cores idle, GPUs serve one."""
    from scenedino_ros.streets.render import usual_workers

    return 1 if scale == "kitti360" else usual_workers()


def _recipe(options: argparse.Namespace) -> "Recipe":
    """Return the recipe of the chosen scale.

    Raises:
        InputError: If its data are not named or not there.
    """
    from scenedino_ros.reproduction.kitti360_recipe import kitti360_recipe
    from scenedino_ros.reproduction.street_recipe import SCALES, street_recipe

    if options.scale != "kitti360":
        if options.data is not None:
            raise InputError(f"--data is for --scale kitti360, got --scale {options.scale}")
        scale = SCALES[options.scale]
        return street_recipe(options.table, scale, options.seeds, options.encoder)
    if options.data is None or not options.data.is_dir():
        raise InputError(f"--scale kitti360 needs --data, a folder, got {options.data or 'none'}")
    return kitti360_recipe(options.table, options.data.absolute(), options.seeds)
