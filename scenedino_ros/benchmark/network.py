# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Times the stages of a frame for both networks, in turns, and asks processes for memory."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from scenedino_ros.benchmark.bench import Bench, percentiles
from scenedino_ros.benchmark.job import BenchmarkJob, load, machine_facts
from scenedino_ros.benchmark.memory import peak_memory

OCCUPIED = "occupied voxels"


def measure_network(job: BenchmarkJob, report: Callable[[str], None]) -> dict[str, Any]:
    """Run a benchmark.

    Args:
        job: What to measure.
        report: Called with a few words on each step.

    Returns:
        Plain values: machine, job, and per variant the p50 and p95 of each stage and the first
        frame in milliseconds, the number of occupied voxels and the peak memory in MiB; how far
        the folded network's voxels are those of the plain one.
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
    for variant in job.variants:
        report(f"memory of the {variant} network")
        alone = replace(job, variants=(variant,), threshold=bench.threshold)
        results[variant].update(peak_memory(alone))
    folded = bench.predictors["folded"]
    return {
        "machine": machine_facts(job.network.device),
        "engine": folded.engine,
        "folded against plain": bench.agreement(),
        "weights": folded.weights,
        "grid": list(bench.grid.shape),
        "image size": list(checkpoint.config.image_size),
        "backbone": checkpoint.config.backbone,
        "job": job.record(),
        "results": results,
    }
