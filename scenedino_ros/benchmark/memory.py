# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""The most memory that two frames of one network need, and nothing else.

That of a processor is measured in a process of its own. A GPU's is counted tensor by tensor.
"""

import json
import subprocess
import sys
from dataclasses import asdict

import torch

from scenedino_ros.benchmark.bench import Bench
from scenedino_ros.benchmark.job import BenchmarkJob, load
from scenedino_ros.core.errors import SceneDinoError
from scenedino_ros.core.memory import peak_resident_memory
from scenedino_ros.core.reporting import silent
from scenedino_ros.inference.device import choose_device, device_memory
from scenedino_ros.inference.network_choice import NetworkChoice


def peak_memory(job: BenchmarkJob) -> dict[str, float]:
    """Return the peak resident memory, or device memory on a GPU, of two frames in MiB.

    Args:
        job: With one variant and its density threshold.

    Raises:
        SceneDinoError: If the process fails.
    """
    device = choose_device(job.network.device)
    if device.type == "cuda":
        before = device_memory(device)["allocated"]
        torch.cuda.reset_peak_memory_stats(device)
        _run_two_frames(job)
        peak = device_memory(device)["peak"] - before
        return {"peak memory [MiB]": peak, "of it beyond imports [MiB]": peak}
    command = [sys.executable, "-m", "scenedino_ros.benchmark.memory"]
    text = json.dumps(asdict(job))
    run = subprocess.run(command, input=text, capture_output=True, text=True, check=False)
    if run.returncode:
        last = (run.stderr.strip().splitlines() or ["no output"])[-1]
        raise SceneDinoError(f"the process that measures memory failed: {last}")
    peak, imported = map(float, run.stdout.split())
    return {"peak memory [MiB]": peak, "of it beyond imports [MiB]": peak - imported}


def _measure_this_process() -> None:
    imported = peak_resident_memory()
    values = json.loads(sys.stdin.read())
    network = NetworkChoice(**values.pop("network"))
    job = BenchmarkJob(network, **values)
    _run_two_frames(job)
    sys.stdout.write(f"{peak_resident_memory()} {imported}\n")


def _run_two_frames(job: BenchmarkJob) -> None:
    bench = Bench(job, load(job, silent), silent)
    for _ in range(2):  # the second has caches beside it
        bench.frame(job.variants[0])


if __name__ == "__main__":
    _measure_this_process()
