# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""The checks of a GPU: is every answer right there, how fast, and in how much memory.

To add one, write a function that takes a `GpuPlan` and yields what it has found so far, and name
it in `CHECKS`.
"""

import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from scenedino_ros.benchmark.bench import Bench, timed
from scenedino_ros.benchmark.drives import synthetic_drive, with_raw_images
from scenedino_ros.benchmark.gpu_repository import (
    check_field_step,
    check_golden_vectors,
    check_semantics_step,
)
from scenedino_ros.benchmark.gpu_run import Check, Found, SkippedError
from scenedino_ros.benchmark.gpu_scene import GpuPlan, Scene, agreement, reference, stage_words
from scenedino_ros.benchmark.grids import grid_of
from scenedino_ros.benchmark.job import load, machine_facts
from scenedino_ros.benchmark.network import measure_roofline
from scenedino_ros.benchmark.node import NodeJob, measure_node, require_ros
from scenedino_ros.benchmark.peaks import measure_peaks
from scenedino_ros.checkpoints.checkpoint import build_model
from scenedino_ros.core.errors import InputError
from scenedino_ros.core.memory import MIB, resident_memory
from scenedino_ros.core.reporting import Report, silent
from scenedino_ros.demo.sources import checkpoint_argument, grid_frame
from scenedino_ros.inference.device import choose_device
from scenedino_ros.inference.engines.cuda_graphs import CudaGraph
from scenedino_ros.inference.engines.onnx_graph import require_provider
from scenedino_ros.inference.grid_view import points_at
from scenedino_ros.network.folded import FoldedSceneDino
from scenedino_ros.network.model import SceneDino

# Least IoU and mIoU, and most relative difference of depths, from which an engine passes. What
# computes something else is far off; the figures say more.
_FLOORS = {"float32": (0.99, 0.97, 0.01), "bfloat16": (0.9, 0.7, 0.05)}
_POINTS = 4096
_EXACT = 1e-3  # largest difference of the plain network in float32, relative to the largest value
_GRAPH_POINTS = 1 << 17
_GRAPH_OFF = 1e-4  # largest difference that a CUDA graph makes, relative to the largest value
# Growth over the frames after the first tenth that is none, MiB.
_GROWTH = {"allocated": 1.0, "reserved": 64.0, "resident": 32.0}


def check_machine(plan: GpuPlan) -> Iterator[Found]:
    """Report what every figure depends on."""
    facts = machine_facts(plan.device)
    words = [facts["device"]]
    if plan.device == "cuda":
        card = torch.cuda.get_device_properties(0)
        facts.update(
            memory_mib=card.total_memory / MIB,
            compute_capability=f"{card.major}.{card.minor}",
            multiprocessors=card.multi_processor_count,
            cuda=torch.version.cuda,
            cudnn=torch.backends.cudnn.version(),
        )
        words.append(f"{facts['memory_mib']:,.0f} MiB, compute {facts['compute_capability']}")
        words.append(f"CUDA {facts['cuda']}, cuDNN {facts['cudnn']}")
    words.append(f"PyTorch {facts['torch']}, Python {platform.python_version()}")
    words.append(f"{facts['cores']} cores")
    yield Found("; ".join(words), facts)


def check_plain_network(plan: GpuPlan) -> Iterator[Found]:
    """Compare the plain network in float32 on the device with float64 on the processor."""
    scene, _ = reference(plan.job)
    device = choose_device(plan.device)
    exact = build_model(scene.checkpoint).double()
    ours = build_model(scene.checkpoint).to(device)
    # A GPU rounds the factors of float32 convolutions to ten bits (TF32), unless it must not.
    modes = {"": False, ", with TF32 convolutions": True} if device.type == "cuda" else {"": False}
    figures = {
        mode: _differences(exact, ours, device, allow_tf32) for mode, allow_tf32 in modes.items()
    }
    words = "; ".join(
        ", ".join(f"{part} {off:.1e}" for part, off in parts.items()) + mode
        for mode, parts in figures.items()
    )
    is_right = max(figures[""].values()) <= _EXACT
    problem = "" if is_right else f"off by more than {_EXACT:.0e} of the largest value"
    yield Found(f"differs from float64 by at most: {words}", figures, problem)


@torch.inference_mode()
def _differences(
    exact: SceneDino, ours: SceneDino, device: torch.device, allow_tf32: bool
) -> dict[str, float]:
    """Return the largest differences on one random image and random points, by part."""
    draws = torch.Generator().manual_seed(0)
    near, far = exact.config.depth_range
    image = torch.rand(1, 3, *exact.config.image_size, generator=draws) * 2 - 1
    points = torch.rand(1, _POINTS, 3, generator=draws) * 2 - 1
    points[..., 2] = near + (far - near) * torch.rand(1, _POINTS, generator=draws)
    points[..., :2] *= points[..., 2:]
    K_norm = torch.eye(3)[None]
    expected_map = exact.encode(image.double())
    expected = exact.query(expected_map, points.double(), K_norm.double())
    with torch.backends.cudnn.flags(enabled=True, allow_tf32=allow_tf32):
        found_map = ours.encode(image.to(device))
    # The points read the same map, so that each part is compared alone.
    same_map = expected_map.float().to(device)
    found = ours.query(same_map, points.to(device), K_norm.to(device))
    return {
        "map": _relative(found_map, expected_map),
        "density": _relative(found[0], expected[0]),
        "feature": _relative(found[1], expected[1]),
    }


def _relative(found: torch.Tensor, expected: torch.Tensor) -> float:
    return float((found.cpu().double() - expected).abs().max() / expected.abs().max())


def check_engine(plan: GpuPlan, engine: str, precision: str) -> Iterator[Found]:
    """Compare an engine with PyTorch in float32 on the processor, and time its stages."""
    if engine == "tensorrt" and plan.device != "cuda":
        raise SkippedError("needs a GPU")
    if engine == "onnx":
        try:
            require_provider(choose_device(plan.device))
        except InputError as error:  # another build of the package is installed
            raise SkippedError(str(error)) from error
    scene, expected = reference(plan.job)
    start = time.perf_counter()
    predictor = scene.predictor(plan.device, engine, precision)
    opened = time.perf_counter() - start
    for figures, answer in scene.timings(predictor, plan.job.repeats):
        same = agreement(answer, expected)
        iou, miou, depth = _FLOORS[precision]
        is_right = same.iou >= iou and same.miou >= miou and same.depth <= depth
        yield Found(
            f"{same.describe()}; {stage_words(figures)}; opened in {opened:.0f} s",
            {**same._asdict(), **figures, "opened [s]": opened, "engine": predictor.engine},
            "" if is_right else f"beyond IoU {iou}, mIoU {miou} or depth {100 * depth:.0f} %",
        )


def check_cuda_graphs(plan: GpuPlan) -> Iterator[Found]:
    """Compare image part and densities as CUDA graphs with the same without, and time both."""
    if plan.device != "cuda":
        raise SkippedError("needs a GPU")
    yield compare_graphs(reference(plan.job)[0], choose_device(plan.device), plan.job.repeats)


@torch.inference_mode()
def compare_graphs(scene: Scene, device: torch.device, repeats: int) -> Found:
    """Run image part and densities with and without CUDA graph on two images each."""
    network = FoldedSceneDino(build_model(scene.checkpoint), scene.mode).to(device)
    draws = torch.Generator().manual_seed(0)
    size = scene.checkpoint.config.image_size
    images = torch.rand(2, 1, 3, *size, generator=draws).to(device) * 2 - 1
    maps = [network.hidden_map(image)[0] for image in images]
    uv_norm = (torch.rand(_GRAPH_POINTS, 2, generator=draws) * 2 - 1).to(device)
    depth = 3 + 40 * torch.rand(_GRAPH_POINTS, generator=draws).to(device)
    points = points_at(uv_norm, depth, tuple(maps[0].shape[:2]), network.plain.code)
    parts: dict[str, tuple[Callable[..., torch.Tensor], list[torch.Tensor]]] = {
        "image part": (network.hidden_map, list(images)),
        "densities": (
            lambda rows: network.density(network.hidden(rows, *points)),
            [found.flatten(0, 1) for found in maps],
        ),
    }
    figures, words = {}, []
    problems: list[str] = []
    for name, (function, arguments) in parts.items():
        graph = CudaGraph(function, device, problems.append)
        off = max(_relative(graph(one), function(one).cpu().double()) for one in arguments)
        without, with_graph = (_median_ms(run, arguments[0], repeats) for run in (function, graph))
        figures[name] = {"without [ms]": without, "graph [ms]": with_graph, "difference": off}
        words.append(f"{name} {without:.2f} ms, as a graph {with_graph:.2f} ms, off {off:.0e}")
        if not off <= _GRAPH_OFF:
            problems.append(f"the graph of the {name} answers something else")
    return Found("; ".join(words), figures, "; ".join(problems))


def _median_ms(run: Callable[..., torch.Tensor], argument: torch.Tensor, repeats: int) -> float:
    """Return the median time of a call, milliseconds, with all that it starts on a GPU."""
    seconds: list[dict[str, float]] = [{} for _ in range(repeats)]
    for one in seconds:
        with timed(one, "call"):
            run(argument)
    return 1000 * statistics.median(one["call"] for one in seconds)


def check_roofline(plan: GpuPlan) -> Iterator[Found]:
    """Compare the time of each stage with the shortest that the device allows."""
    network = replace(plan.job.network, device=plan.device)
    job = replace(plan.job, network=network, variants=("folded",))
    bench = Bench(job, load(job, silent), silent)
    bench.frame("folded")  # fills what later frames find ready
    rows = measure_roofline(bench, job, "folded", measure_peaks(choose_device(plan.device)))
    stages = [row for row in rows if not row["part"] and row["p50 / bound"]]
    words = ", ".join(f"{row['stage']} {row['p50 / bound']:.1f}" for row in stages)
    yield Found(f"p50 / bound: {words}", {"roofline": rows})


def check_memory(plan: GpuPlan) -> Iterator[Found]:
    """Watch the memory of process and device over many frames."""
    scene, _ = reference(plan.job)
    predictor = scene.predictor(plan.device, "torch", "float32")
    settled, every = max(1, plan.frames // 10), max(1, plan.frames // 20)
    first: dict[str, float] = {}
    series: list[dict[str, float]] = []
    for number in range(1, plan.frames + 1):
        # Another picture each time, so that the number of occupied voxels changes.
        scene.frame(predictor, np.roll(scene.rgb, 8 * number, axis=1))
        if number != settled and number % every:
            continue
        series.append({"frame": number, **_memory(plan.device)})
        if number < settled:
            continue
        first = first or series[-1]
        growth = {name: series[-1][name] - first[name] for name in _GROWTH if name in first}
        grown = [name for name, value in growth.items() if value > _GROWTH[name]]
        words = ", ".join(
            f"{name} {series[-1][name]:,.0f} MiB ({value:+.1f})" for name, value in growth.items()
        )
        yield Found(
            f"after {number} frames {words}, since frame {first['frame']:.0f}",
            {"series [MiB]": series},
            f"{', '.join(grown)} grows" if grown else "",
        )


def _memory(device: str) -> dict[str, float]:
    """Return the resident memory and, on a GPU, the memory of tensors and of PyTorch, MiB."""
    found = {"resident": resident_memory()}
    if device == "cuda":
        found["allocated"] = torch.cuda.memory_allocated() / MIB
        found["reserved"] = torch.cuda.memory_reserved() / MIB
    return found


def check_node(plan: GpuPlan, rate_hz: float) -> Iterator[Found]:
    """Play synthetic images through the whole node."""
    require_ros()
    job, network = plan.job, plan.job.network
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        drive = synthetic_drive(folder / "drive")
        frame = grid_frame(job.grid, "", drive)
        most = round(rate_hz * plan.seconds)
        drive = with_raw_images(drive, folder / "raw", most, lambda done, of: None)
        grid = grid_of(job.grid, job.voxel_size)
        model: dict[str, Any] = {
            "checkpoint": checkpoint_argument(network.checkpoint),
            "device": plan.device,
        }
        if network.image_size:
            model["image_size"] = list(network.image_size)
        parameters: dict[str, dict[str, Any]] = {
            "model": model,
            "grid": {
                "preset": job.grid,
                "frame": frame,
                "shape": list(grid.shape),
                "voxel_size": grid.voxel_size,
            },
        }
        played = NodeJob(drive, "", parameters, "all", (rate_hz,), plan.seconds)
        try:
            figures = measure_node(played, folder / "runs", _with_time())
        finally:  # also if the check is cut
            for log in sorted((folder / "runs").rglob("node.log")):
                sys.stderr.write(log.read_text(encoding="utf-8", errors="replace"))
    run = figures["runs"][0]
    total, counts = run["latency_ms"]["stamp to publish"], run["images"]
    yield Found(
        f"stamp to publish {total['p50']:.0f} / {total['p95']:.0f} ms, "
        f"{run['images_out_hz']:.1f} images/s, {counts['processed']} of {counts['played']} "
        f"processed; {figures['network'].get('engine', '?')}",
        figures,
        "; ".join(run["problems"]),
    )


def _with_time() -> Report:
    """Return a function that writes to the log what is being done, and since when."""
    start = time.perf_counter()

    def report(what: str) -> None:
        sys.stderr.write(f"{time.perf_counter() - start:.1f} s: {what}\n")

    return report


def _engine(engine: str, precision: str, seconds: float, *packages: str) -> Check:
    run = partial(check_engine, engine=engine, precision=precision)
    return Check(f"engine {engine}, {precision}", seconds, run, packages)


# In this order; the slowest comes last, since it gets the time that the others did not need.
CHECKS = (
    Check("machine", 30, check_machine),
    Check("plain network, float32", 15, check_plain_network),
    Check("golden vectors", 40, check_golden_vectors, ("pytest",)),
    _engine("torch", "float32", 30),
    _engine("torch", "bfloat16", 15),
    _engine("onnx", "float32", 45, "onnxruntime", "onnxscript"),
    _engine("compiled", "float32", 45),
    _engine("compiled", "bfloat16", 35),
    *(Check(f"node at {rate} Hz", 25, partial(check_node, rate_hz=rate)) for rate in (10, 30, 60)),
    Check("CUDA graphs", 15, check_cuda_graphs),
    Check("roofline", 10, check_roofline),
    Check("memory", 25, check_memory),
    Check("training step, stage 1", 30, partial(check_field_step, repeats=3)),
    Check("training step, stage 2", 25, partial(check_semantics_step, repeats=2)),
    _engine("tensorrt", "float32", 40, "tensorrt", "onnxscript"),
)
