# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""The cost of a frame over the number of voxels, and over the size of the network input image."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from scenedino_ros.benchmark.bench import Bench, percentiles
from scenedino_ros.benchmark.grids import grid_of
from scenedino_ros.benchmark.job import BenchmarkJob, load, machine_facts
from scenedino_ros.benchmark.stages import VARIANTS
from scenedino_ros.checkpoints.checkpoint import Checkpoint, resize_checkpoint


@dataclass(frozen=True)
class CurvesJob:
    """What is measured at each point of the curves.

    Attributes:
        base: Everything that does not change along a curve: its voxel size holds for the curve
            over image sizes, its image size for the one over voxels.
        voxel_sizes: Edge lengths of the voxels in the grid's extent, metres.
        image_sizes: (height, width) of the network input image.
        plain_up_to: Most voxels of a grid for which the plain network is run too.
    """

    base: BenchmarkJob
    voxel_sizes: tuple[float, ...]
    image_sizes: tuple[tuple[int, int], ...]
    plain_up_to: int


def measure_curves(job: CurvesJob, report: Callable[[str], None]) -> dict[str, Any]:
    """Measure both curves.

    Args:
        job: What to measure.
        report: Called with a few words on each step.

    Returns:
        Plain values: machine, job, and per curve a list of points. A point has its grid, its
        image size, and by variant the p50 and p95 of each stage in milliseconds; ``plain`` is None
        where it was left out.
    """
    report("building the networks")
    checkpoint = load(job.base, report)
    return {
        "machine": machine_facts(job.base.network.device),
        "backbone": checkpoint.config.backbone,
        "image size": list(checkpoint.config.image_size),
        "weights": checkpoint.weights,
        "job": {**asdict(job), "base": job.base.record()},
        "over voxels": _over_voxels(job, checkpoint, report),
        "over image size": _over_image_sizes(job, checkpoint, report),
    }


def _over_voxels(
    job: CurvesJob, checkpoint: Checkpoint, report: Callable[[str], None]
) -> list[dict[str, Any]]:
    grids = [grid_of(job.base.grid, size) for size in sorted(job.voxel_sizes, reverse=True)]
    # It looks at the smallest grid first, whatever the voxel size of the other curve.
    bench = Bench(replace(job.base, voxel_size=grids[0].voxel_size), checkpoint, report)
    points = []
    for grid in grids:
        report(f"{grid.size:,} voxels of {grid.voxel_size:g} m")
        bench.look_at(grid)
        points.append(_point(job, bench, checkpoint))
    return points


def _over_image_sizes(
    job: CurvesJob, checkpoint: Checkpoint, report: Callable[[str], None]
) -> list[dict[str, Any]]:
    points = []
    for height, width in sorted(job.image_sizes, key=lambda size: size[0] * size[1]):
        report(f"network input image of {width} x {height} px")
        resized = resize_checkpoint(checkpoint, (height, width))
        bench = Bench(job.base, resized, report)
        points.append(_point(job, bench, resized))
    return points


def _point(job: CurvesJob, bench: Bench, checkpoint: Checkpoint) -> dict[str, Any]:
    affordable = bench.grid.size <= job.plain_up_to
    timings = _turns(bench, VARIANTS if affordable else ("folded",), job.base.repeats)
    height, width = checkpoint.config.image_size
    return {
        "voxel size [m]": bench.grid.voxel_size,
        "voxels": bench.grid.size,
        "image size": [height, width],
        "occupied voxels": bench.occupied["folded"],
        **{name: percentiles(timings[name]) if name in timings else None for name in VARIANTS},
    }


def _turns(
    bench: Bench, variants: Sequence[str], repeats: int
) -> dict[str, list[dict[str, float]]]:
    """Return the timings of some frames by variant, the first of each left out."""
    timings: dict[str, list[dict[str, float]]] = {variant: [] for variant in variants}
    for repeat in range(repeats + 1):
        for variant in variants:
            seconds = bench.frame(variant)
            if repeat:
                timings[variant].append(seconds)
    return timings
