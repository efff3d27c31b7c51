"""Time one frame of the plain and the folded network side by side, and their peak memory.

Both run in turns on the same image of KITTI-360's size: first everything the network can say for
every voxel of the grid (plain), then only what is asked for, after exact algebra on the weights
(folded). In float32 the answers are the same; the tests hold them to it. For any precision and
engine the table gives IoU and mIoU of the folded network's voxels, those of the plain one in
float32 taken for true. How much there is to classify depends on how many voxels are occupied, so
the density threshold is set to reach --share.
"""

import argparse
import json
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from scenedino_ros.cli.progress import telling
from scenedino_ros.cli.values import counts, positive
from scenedino_ros.core.config import ENGINES, PREDICTION_MODES, ModelSettings
from scenedino_ros.core.voxels import GRID_PRESETS
from scenedino_ros.export import write_atomically

_EPILOG = """\
examples:
  scenedino benchmark --grid camera
  scenedino benchmark --backbone dino_vitb8 --grid sscbench --repeats 3 -o benchmark.json
  scenedino benchmark --checkpoint dino.safetensors --image street.png --precision bfloat16
  scenedino benchmark --engine onnx
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.epilog = _EPILOG
    parser.add_argument("-o", "--output", type=Path, metavar="JSON", help="also save the figures")
    parser.add_argument(
        "--checkpoint", default="", metavar="NAME|PATH", help="default: untrained weights"
    )
    parser.add_argument(
        "--backbone",
        default="",
        help="time untrained weights of the published architecture on this backbone instead",
    )
    parser.add_argument("--image-size", type=counts("HEIGHT,WIDTH"), metavar="HEIGHT,WIDTH")
    parser.add_argument("--grid", choices=tuple(GRID_PRESETS), default="sscbench")
    parser.add_argument(
        "--voxel-size",
        type=positive,
        default=0.2,
        metavar="METRES",
        help="the grid keeps its extent (default: %(default)s)",
    )
    parser.add_argument("--mode", choices=PREDICTION_MODES, default=ModelSettings.mode)
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")
    parser.add_argument("--precision", choices=("float32", "bfloat16"), default="float32")
    parser.add_argument(
        "--engine",
        choices=ENGINES,
        default=ModelSettings.engine,
        help="what runs the folded network (default: %(default)s)",
    )
    parser.add_argument(
        "--image", default="", metavar="FILE", help="a street as KITTI-360 sees it; default: noise"
    )
    parser.add_argument(
        "--share",
        type=_share,
        default=0.05,
        help="of the voxels in view that are occupied (default: %(default)s)",
    )
    parser.add_argument("--repeats", type=int, choices=range(1, 1001), default=5, metavar="N")


def run(options: argparse.Namespace) -> int:
    """Measure, print a table, and save the figures where asked."""
    with telling("loading PyTorch") as tell:
        # Imported here because it takes seconds; help and wrong arguments do not wait for it.
        from scenedino_ros.benchmark.measure import BenchmarkJob, measure

        job = BenchmarkJob(
            checkpoint=options.checkpoint,
            backbone=options.backbone,
            image_size=options.image_size,
            grid=options.grid,
            voxel_size=options.voxel_size,
            mode=options.mode,
            device=options.device,
            precision=options.precision,
            share=options.share,
            repeats=options.repeats,
            engine=options.engine,
            image=options.image,
        )
        figures = measure(job, tell)
    Console().print(_table(figures))
    if options.output:
        options.output.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(options.output, (json.dumps(figures, indent=2) + "\n").encode())
    return 0


def _table(figures: dict[str, Any]) -> Table:
    machine, results = figures["machine"], figures["results"]
    height, width = figures["image size"]
    same = figures["folded against plain"]
    grid = " x ".join(map(str, figures["grid"]))
    table = Table(
        title=f"{figures['backbone']}, {width} x {height} px, grid {figures['job']['grid']} "
        f"({grid}), {figures['job']['mode']}",
        caption=f"{machine['device']}, {machine['threads']} threads; plain: PyTorch "
        f"{machine['torch']}, float32; folded: {figures['engine']}, its voxels against the plain "
        f"ones: IoU {same['IoU']:.4f}, mIoU {same['mIoU']:.4f}; {figures['weights']}",
    )
    table.add_column("")
    for column in ("plain", "folded", "plain / folded"):
        table.add_column(column, justify="right")
    for row in results["plain"]:
        plain, folded = results["plain"][row], results["folded"][row]
        ratio = "" if row == "occupied voxels" else f"{plain / folded:.1f}"
        table.add_row(escape(row), f"{plain:,.0f}", f"{folded:,.0f}", ratio)
    return table


def _share(text: str) -> float:
    value = float(text)
    if not 0 < value <= 1:
        raise argparse.ArgumentTypeError(f"must be over 0 and at most 1, got {text}")
    return value
