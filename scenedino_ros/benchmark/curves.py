# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""The cost of an image over voxels, image size, occupied voxels and the number of cameras."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from scenedino_ros.benchmark.bench import Bench, percentiles
from scenedino_ros.benchmark.grids import grid_of
from scenedino_ros.benchmark.job import BenchmarkJob, load, machine_facts
from scenedino_ros.benchmark.peaks import Peaks, measure_peaks
from scenedino_ros.benchmark.roofline import image_precision, roofline
from scenedino_ros.benchmark.stages import VARIANTS
from scenedino_ros.checkpoints.checkpoint import Checkpoint, resize_checkpoint
from scenedino_ros.core.memory import resident_memory, return_freed_memory
from scenedino_ros.inference.device import choose_device, device_memory

_FOLDED = ("folded",)


@dataclass(frozen=True)
class CurvesJob:
    """What is measured at each point of the curves.

    Attributes:
        base: Everything that does not change along a curve: its voxel size holds for all curves
            but that over voxels, its image size for all but that over image sizes, and its share
            of occupied voxels for all but that over shares.
        voxel_sizes: Edge lengths of the voxels in the grid's extent, metres.
        image_sizes: (height, width) of the network input image.
        shares: Fractions of the voxels in view that are occupied.
        cameras: Numbers of cameras that take turns.
        plain_up_to: Most voxels of a grid for which the plain network is run too.
    """

    base: BenchmarkJob
    voxel_sizes: tuple[float, ...]
    image_sizes: tuple[tuple[int, int], ...]
    shares: tuple[float, ...]
    cameras: tuple[int, ...]
    plain_up_to: int


class Curves:
    """Measures the curves of a job."""

    def __init__(self, job: CurvesJob, report: Callable[[str], None]) -> None:
        """Load the network and measure the peaks of the machine."""
        self._job, self._report = job, report
        report("loading the network")
        self.checkpoint = load(job.base, report)
        report("peaks of the machine")
        self.peaks: Peaks = measure_peaks(choose_device(job.base.network.device))

    def over_voxels(self) -> list[dict[str, Any]]:
        """Return points with ever smaller voxels."""
        job = self._job
        grids = [grid_of(job.base.grid, size) for size in sorted(job.voxel_sizes, reverse=True)]
        # It looks at the smallest grid first, whatever the voxel size of the other curves.
        bench = self._bench(replace(job.base, voxel_size=grids[0].voxel_size), self.checkpoint)
        points = []
        for grid in grids:
            self._report(f"{grid.size:,} voxels of {grid.voxel_size:g} m")
            bench.look_at(grid)
            points.append(self._point(bench, self._affordable(bench)))
        return points

    def over_image_sizes(self) -> list[dict[str, Any]]:
        """Return points with ever larger network input images."""
        points = []
        for height, width in sorted(self._job.image_sizes, key=lambda size: size[0] * size[1]):
            self._report(f"network input image of {width} x {height} px")
            bench = self._bench(
                self._job.base, resize_checkpoint(self.checkpoint, (height, width))
            )
            points.append(self._point(bench, self._affordable(bench)))
        return points

    def over_shares(self) -> list[dict[str, Any]]:
        """Return points with ever more occupied voxels; the plain network classifies all."""
        bench = self._bench(replace(self._job.base, variants=_FOLDED), self.checkpoint)
        points = []
        for share in sorted(self._job.shares):
            self._report(f"{share:.0%} of the voxels in view occupied")
            bench.occupy(share)
            points.append({"share": share, **self._point(bench, _FOLDED)})
        return points

    def over_cameras(self) -> list[dict[str, Any]]:
        """Return points with ever more cameras, whose images take turns through one predictor."""
        counts = sorted(self._job.cameras)
        network = replace(self._job.base.network, n_cameras=counts[-1])
        job = replace(self._job.base, network=network, variants=_FOLDED)
        bench = self._bench(job, self.checkpoint)
        points = []
        for cameras in counts:
            self._report(f"{cameras} cameras")
            point = self._point(bench, _FOLDED, cameras)
            return_freed_memory()
            device = device_memory(choose_device(network.device))
            memory = device["allocated"] if device else resident_memory()
            points.append({"cameras": cameras, "memory [MiB]": memory, **point})
        return points

    def _bench(self, job: BenchmarkJob, checkpoint: Checkpoint) -> Bench:
        return Bench(job, checkpoint, self._report)

    def _affordable(self, bench: Bench) -> Sequence[str]:
        return VARIANTS if bench.grid.size <= self._job.plain_up_to else _FOLDED

    def _point(self, bench: Bench, variants: Sequence[str], cameras: int = 1) -> dict[str, Any]:
        timings = _turns(bench, variants, self._job.base.repeats, cameras)
        predictor = bench.predictors["folded"]
        precision = image_precision(predictor.engine, self.peaks)
        mode = self._job.base.network.mode
        rows = roofline(predictor.config, mode, precision, [bench.profile()], self.peaks)
        bounds = {row["stage"]: row["bound [ms]"] for row in rows if not row["part"]}
        return {
            "voxel size [m]": bench.grid.voxel_size,
            "voxels": bench.grid.size,
            "image size": list(predictor.image_size),
            "occupied voxels": bench.occupied["folded"],
            **{name: percentiles(timings[name]) if name in timings else None for name in VARIANTS},
            "bound": {
                **{f"{stage} [ms]": bound for stage, bound in bounds.items()},
                "frame [ms]": sum(bounds.values()),
            },
            "roofline": rows,
        }


def measure_curves(job: CurvesJob, report: Callable[[str], None]) -> dict[str, Any]:
    """Measure all curves.

    Args:
        job: What to measure.
        report: Called with a few words on each step.

    Returns:
        Plain values: machine and its peaks, job, and per curve a list of points. A point has its
        grid, its image size, by variant the p50 and p95 of each stage in milliseconds (``plain``
        is None where it was left out), and the bound of each stage; on the last curve also the
        memory of the process, or of the GPU.
    """
    curves = Curves(job, report)
    checkpoint = curves.checkpoint
    return {
        "machine": machine_facts(job.base.network.device),
        "peaks": asdict(curves.peaks),
        "backbone": checkpoint.config.backbone,
        "image size": list(checkpoint.config.image_size),
        "weights": checkpoint.weights,
        "job": {**asdict(job), "base": job.base.record()},
        "over voxels": curves.over_voxels(),
        "over image size": curves.over_image_sizes(),
        "over occupied fraction": curves.over_shares(),
        "over cameras": curves.over_cameras(),
    }


def _turns(
    bench: Bench, variants: Sequence[str], repeats: int, cameras: int
) -> dict[str, list[dict[str, float]]]:
    """Return the timings of some frames by variant, the first of each camera left out."""
    timings: dict[str, list[dict[str, float]]] = {variant: [] for variant in variants}
    for repeat in range(repeats + 1):
        for camera in range(cameras):
            for variant in variants:
                seconds = bench.frame(variant, camera)
                if repeat:
                    timings[variant].append(seconds)
    return timings
