# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Times the stages of a frame for each network, in turns, and asks processes for memory."""

from collections.abc import Callable
from dataclasses import asdict, replace
from typing import Any

from scenedino_ros.benchmark.bench import Bench, percentiles
from scenedino_ros.benchmark.job import BenchmarkJob, load, machine_facts
from scenedino_ros.benchmark.memory import peak_memory
from scenedino_ros.benchmark.peaks import Peaks, measure_peaks
from scenedino_ros.benchmark.roofline import image_precision, roofline
from scenedino_ros.inference.device import choose_device

OCCUPIED = "occupied voxels"


def measure_network(job: BenchmarkJob, report: Callable[[str], None]) -> dict[str, Any]:
    """Run a benchmark.

    Args:
        job: What to measure.
        report: Called with a few words on each step.

    Returns:
        Plain values: machine and its peaks, job, and per variant the p50 and p95 of each stage,
        by wall and processor time, and the first frame in milliseconds, the number of occupied
        voxels and the peak memory in MiB. For each folded network its roofline, and how far its
        voxels and its depth are those of the plain one.
    """
    report("building the networks")
    checkpoint = load(job, report)
    bench = Bench(job, checkpoint, report)
    frames: dict[str, list[dict[str, float]]] = {variant: [] for variant in job.variants}
    for repeat in range(job.repeats + 1):
        for variant in job.variants:  # in turns, so that a busy moment hits both
            report(f"frame {repeat} of {job.repeats}, {variant}")
            frames[variant].append(bench.frame(variant))
    results: dict[str, dict[str, float]] = {}
    for variant, (first, *others) in frames.items():
        results[variant] = {
            OCCUPIED: bench.occupied[variant],
            **percentiles(others),
            # It builds what later frames of the same camera and pose find ready.
            "first frame [ms]": 1000 * first["frame"],
        }
    report("peaks of the machine")
    peaks = measure_peaks(choose_device(job.network.device))
    folded = [variant for variant in job.variants if variant != "plain"]
    rooflines = {}
    for variant in folded:
        report(f"parts of the {variant} network")
        rooflines[variant] = measure_roofline(bench, job, variant, peaks)
    for variant in job.variants:
        report(f"memory of the {variant} network")
        alone = replace(job, variants=(variant,), threshold=bench.threshold)
        results[variant].update(peak_memory(alone))
    return {
        "machine": machine_facts(job.network.device),
        "peaks": asdict(peaks),
        "engine": bench.predictors["folded"].engine,
        **{f"{variant} against plain": bench.agreement(variant) for variant in folded},
        "weights": checkpoint.weights,
        "grid": list(bench.grid.shape),
        "image size": list(checkpoint.config.image_size),
        "backbone": checkpoint.config.backbone,
        "job": job.record(),
        "results": results,
        "roofline": rooflines,
    }


def measure_roofline(
    bench: Bench, job: BenchmarkJob, variant: str, peaks: Peaks
) -> list[dict[str, Any]]:
    """Return the parts of a folded network's frame, each with its time and its bound.

    Args:
        bench: The networks, after a first frame.
        job: What is measured.
        variant: The network.
        peaks: What the machine can do.
    """
    frames = [bench.profile(variant) for _ in range(job.repeats)]
    predictor = bench.predictors[variant]
    precision = image_precision(predictor.engine, peaks)
    return roofline(predictor.config, job.network.mode, precision, frames, peaks)
