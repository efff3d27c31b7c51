# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""What the benchmarks have in common: arguments, and files for their figures."""

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console

from scenedino_ros.benchmark.stages import BFLOAT16, VARIANTS
from scenedino_ros.core.config import (
    REPRODUCIBLE_ENGINE,
    REPRODUCIBLE_PRECISION,
    ModelSettings,
)
from scenedino_ros.core.files import write_atomically
from scenedino_ros.core.voxels import GRID_PRESETS
from scenedino_ros.terminal.network_arguments import (
    add_checkpoint,
    add_image_size,
    add_runtime,
    network_values,
)
from scenedino_ros.terminal.values import count, positive

if TYPE_CHECKING:
    from scenedino_ros.benchmark.job import BenchmarkJob

BOTH = "both"  # value of --precision: the folded network in float32 and in bfloat16


def add_output(
    parser: argparse.ArgumentParser,
    default: str | None = None,
    beside: str = "a plot beside them: figures.json, figures.png",
) -> None:
    """Declare where the figures go.

    Args:
        parser: Where.
        default: The file; None: they are not saved.
        beside: What is saved beside them.
    """
    parser.add_argument(
        "-o",
        "--output",
        type=_json_file,
        default=default,
        metavar="JSON",
        help=f"save the figures, and {beside}" + (" (default: %(default)s)" if default else ""),
    )


def add_repeats(parser: argparse.ArgumentParser, default: int) -> None:
    """Declare how often everything is timed."""
    parser.add_argument(
        "--repeats",
        type=count,
        default=default,
        metavar="N",
        help="times that everything is timed, after once that is not (default: %(default)s)",
    )


def add_network(
    parser: argparse.ArgumentParser,
    more_precisions: tuple[str, ...] = (),
    *,
    as_node: bool = False,
) -> None:
    """Declare which network is run, and how.

    Args:
        parser: Where.
        more_precisions: What a command accepts beside the precisions of the node.
        as_node: Whether engine and precision are the fastest unless named, as in the node.
    """
    group = parser.add_argument_group("network")
    weights = group.add_mutually_exclusive_group()
    add_checkpoint(weights)
    weights.add_argument(
        "--backbone",
        default="",
        metavar="NAME",
        help="untrained weights of the published architecture on this backbone instead",
    )
    add_image_size(group)
    precision, engine = (
        (ModelSettings.precision, ModelSettings.engine)
        if as_node
        else (REPRODUCIBLE_PRECISION, REPRODUCIBLE_ENGINE)
    )
    add_runtime(group, precision, engine, more_precisions)


def add_grid(parser: argparse.ArgumentParser, default: str, voxel_size: float) -> None:
    """Declare where voxels are sought."""
    parser.add_argument(
        "--grid", choices=tuple(GRID_PRESETS), default=default, help="default: %(default)s"
    )
    parser.add_argument(
        "--voxel-size",
        type=positive,
        default=voxel_size,
        metavar="METRES",
        help="the grid keeps its extent (default: %(default)s)",
    )


def add_picture(parser: argparse.ArgumentParser) -> None:
    """Declare what the networks look at, and how much of it is occupied."""
    parser.add_argument(
        "--image", default="", metavar="FILE", help="a street as KITTI-360 sees it; default: noise"
    )
    parser.add_argument(
        "--share",
        type=fraction,
        default=0.05,
        help="of the voxels in view that are occupied (default: %(default)s)",
    )
    parser.add_argument(
        "--exposed-only",
        action="store_true",
        help="seek only occupied voxels with a face neighbour that is not occupied, as the node "
        "does by default",
    )
    parser.add_argument(
        "--coarse-to-fine",
        action="store_true",
        help="let the folded network leave out the voxels that an eighth of them settles, as the "
        "node does by default; on the grid of the camera, whose voxels do not grow",
    )


def network_job(options: argparse.Namespace, *, render: bool) -> "BenchmarkJob":
    """Return what is measured of a network."""
    from scenedino_ros.benchmark.job import BenchmarkJob
    from scenedino_ros.inference.network_choice import NetworkChoice

    names = (
        *("backbone", "grid", "voxel_size", "share", "repeats", "image"),
        *("exposed_only", "coarse_to_fine"),
    )
    values = {name: getattr(options, name) for name in names}
    network = network_values(options)
    if network["precision"] == BOTH:
        network["precision"] = REPRODUCIBLE_PRECISION
        values["variants"] = (*VARIANTS, BFLOAT16)
    return BenchmarkJob(NetworkChoice(**network), **values, render=render)


def save(
    output: Path | None, figures: dict[str, Any], plot: Callable[[Path, dict[str, Any]], None]
) -> None:
    """Write the figures, and their plot beside them, if an output was asked for."""
    if output is None:
        return
    output.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(output, (json.dumps(figures, indent=2) + "\n").encode())
    picture = output.with_suffix(".png")
    plot(picture, figures)
    console = Console(stderr=True)
    console.print(f"saved {output} and {picture}", markup=False, highlight=False, soft_wrap=True)


def short(value: float | None) -> str:
    """Return a figure with three digits, or all of those before the point; empty for None."""
    if value is None:
        return ""
    return f"{value:,.0f}" if isinstance(value, int) or value >= 100 else f"{value:#.3g}"


def _json_file(text: str) -> Path:
    if not text.endswith(".json"):
        raise argparse.ArgumentTypeError(f"must be a file *.json, got '{text}'")
    return Path(text)


def fraction(text: str) -> float:
    """Return a number over 0 and at most 1."""
    value = positive(text)
    if value > 1:
        raise argparse.ArgumentTypeError(f"must be over 0 and at most 1, got '{text}'")
    return value
