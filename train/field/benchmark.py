# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Times the training step of stage 1 beside the reference step, and measures its memory."""

import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode

from scenedino_ros.core.errors import SceneDinoError
from scenedino_ros.core.memory import peak_resident_memory, resident_memory
from scenedino_ros.evaluation.ssc import rules as ssc
from scenedino_ros.inference.device import choose_device, device_memory
from scenedino_ros.recordings.frame_store.store import StoredCamera
from scenedino_ros.recordings.frame_store.writer import FrameStoreWriter
from train.field.batches import chosen_batches
from train.field.data import FieldBatch, FieldData
from train.field.feature_cache import encoder_key
from train.field.model import FieldTraining, load_encoder, target_encoder
from train.field.precompute import compute_features
from train.field.reference_step import ReferenceTraining
from train.field.resident import ResidentBatch, ResidentFrames
from train.field.resident_step import ResidentTraining
from train.field.settings import FieldSettings
from train.runs.settings import read_settings, write_settings

REFERENCE = "reference float32"
TRAINING, TRAINING_BFLOAT16 = "training float32", "training bfloat16"
RESIDENT = "resident images"
Batch = FieldBatch | ResidentBatch
_PUBLISHED_FRAMES, _NEARBY_FRAMES = 48, 8  # of the drive of noise
_SMALL = 1e-6  # below it, losses are compared absolutely


_KINDS = {REFERENCE: ReferenceTraining, RESIDENT: ResidentTraining}


def variants(settings: FieldSettings) -> tuple[str, ...]:
    """Return the variants of a step: float32, the precision of the run, and resident images."""
    mixed = settings.run.precision == "bf16-mixed"
    names = (REFERENCE, TRAINING, TRAINING_BFLOAT16) if mixed else (REFERENCE, TRAINING)
    return (*names, RESIDENT) if settings.data.resident else names


def build(settings: FieldSettings, variant: str) -> FieldTraining:
    """Return the training module of a variant; the same weights for each."""
    precision = "bf16-mixed" if variant == TRAINING_BFLOAT16 else "float32"
    precision = settings.run.precision if variant == RESIDENT else precision
    settings = replace(settings, run=replace(settings.run, precision=precision))
    torch.manual_seed(settings.run.seed)
    kind = _KINDS.get(variant, FieldTraining)
    training = kind(settings, None)
    load_encoder(training, settings)
    if settings.encoder.trainable or variant == REFERENCE:
        torch.manual_seed(settings.run.seed)
        training.target = target_encoder(settings)
        if not settings.encoder.trainable:  # its own features are the targets
            training.target.encoders[0].load_state_dict(training.network.encoder.state_dict())
    return training.to(choose_device(settings.run.device))


def resolve(settings: FieldSettings, folder: Path) -> FieldSettings:
    """Return complete settings: with a cache, and a drive of noise if no store is named.

    Images have full resolution and are not mirrored: for others, cached tokens differ slightly
    from those that the backbone computes, or it cannot take them at all.
    """
    if not settings.data.stores:
        write_noise_drive(folder / "noise", settings)
        data = replace(settings.data, stores=(str(folder / "noise"),), shares=(), every=(1,))
        settings = replace(settings, data=data)
    cache = settings.encoder.cache or str(folder / "cache")
    encoder = replace(settings.encoder, cache=cache)
    rays = replace(settings.rays, levels=(1,), level_shares=(1.0,) * len(settings.rays.phases))
    return replace(settings, encoder=encoder, rays=rays, mirror=False)


def open_data(settings: FieldSettings, training: FieldTraining) -> FieldData:
    """Open the drives of resolved settings; a frozen encoder's features are cached as in a run."""
    if settings.encoder.trainable or isinstance(training, ResidentTraining):
        return FieldData(settings, settings.data.stores, None)
    settings = replace(settings, data=replace(settings.data, resident=False))
    encoder, model = training.network.encoder, settings.model
    precision = settings.run.precision
    key = encoder_key(model.backbone, model.image_size, precision, encoder.state_dict())
    data = FieldData(settings, settings.data.stores, (Path(settings.encoder.cache), key))
    device = encoder.mean.device
    with torch.no_grad():
        for _ in compute_features(data, lambda images: encoder(images.to(device))):
            pass
    return data


def loader(settings: FieldSettings, training: FieldTraining) -> Callable[[int], Batch]:
    """Open the drives; return what makes the batch of a step, counted from the end of the run."""
    data, places = open_data(settings, training), range(settings.run.batch_size)
    device = training.network.encoder.mean.device
    last = settings.run.steps - 1
    if not isinstance(training, ResidentTraining):
        return lambda number: data.batch(last - number, places)
    frames = ResidentFrames(data, training.network.encoder, device)
    chosen = chosen_batches(data, frames, places)
    generator = torch.Generator(device).manual_seed(settings.run.seed)
    phase = settings.phase(last)
    return lambda number: ResidentBatch(frames, chosen[last - number].to(device), phase, generator)


def run_step(training: FieldTraining, batch: Batch) -> dict[str, float]:
    """Run one forward and backward pass; return wall and processor seconds, and the losses."""
    device = training.network.encoder.mean.device
    if isinstance(batch, FieldBatch):
        batch = batch.to(device)
    training.zero_grad(set_to_none=True)
    _synchronise(device)
    wall, processor = time.perf_counter(), time.process_time()
    losses = training(batch)
    losses["total"].backward()
    _synchronise(device)
    times = {"wall": time.perf_counter() - wall, "processor": time.process_time() - processor}
    return {**times, **{name: float(value.detach()) for name, value in losses.items()}}


def count_operations(training: FieldTraining, batch: Batch) -> float:
    """Return the operations of matrix products and convolutions of one pass, 1e9."""
    with FlopCounterMode(display=False) as counter:
        run_step(training, batch)
    return counter.get_total_flops() / 1e9


def measure(
    settings: FieldSettings, repeats: int, report: Callable[[str], None]
) -> dict[str, Any]:
    """Time the variants of a step in turns.

    Args:
        settings: The run whose step is timed.
        repeats: Steps, after one that is not counted.
        report: Called with a line on what is being done.

    Returns:
        Plain values: machine and run; per variant the p50 and p95 of a step in milliseconds, the
        p50 of processor time, peak memory of a process that does one step in MiB and the step's
        part of it, its operations, and, except for the reference step and resident images, the
        largest relative difference of each loss; p50 and p95 of loading a step's items.
    """
    with tempfile.TemporaryDirectory() as folder:
        settings = resolve(settings, Path(folder))
        names = variants(settings)
        report("building the networks")
        trained = {name: build(settings, name) for name in names}
        report("opening the drives")
        loaders = {name: loader(settings, trained[name]) for name in names}
        steps: dict[str, list[dict[str, float]]] = {name: [] for name in names}
        loading = []
        for number in range(repeats + 1):
            start = time.perf_counter()
            loaded = loaders[REFERENCE](number)
            loading.append(time.perf_counter() - start)
            for name in names:  # in turns, so that other load affects all
                report(f"step {number} of {repeats}, {name}")
                batch = loaders[name](number) if name == RESIDENT else loaded
                steps[name].append(run_step(trained[name], batch))
        results = {name: _summary(steps[name][1:]) for name in names}
        for name in names:
            report(f"operations of {name}")
            batch = loaders[name](0)
            results[name]["operations [GFLOP]"] = count_operations(trained[name], batch)
        device = str(choose_device(settings.run.device))
        trained.clear()
        loaders.clear()
        for name in names:
            report(f"memory of {name}")
            results[name] |= _memory(settings, name, Path(folder))
            if name not in (REFERENCE, RESIDENT):  # resident images have other draws
                results[name]["differences"] = _differences(steps[REFERENCE], steps[name])
    return {
        "machine": {
            "processor": platform.processor() or platform.machine(),
            "threads": torch.get_num_threads(),
            "device": device,
            "torch": torch.__version__,
        },
        "backbone": settings.model.backbone,
        "image size": list(settings.model.image_size),
        "items per step": settings.run.batch_size,
        "repeats": repeats,
        "results": results,
        "loading": _percentiles(loading[1:]),
    }


def _summary(steps: list[dict[str, float]]) -> dict[str, Any]:
    processor = [1000 * step["processor"] for step in steps]
    wall = _percentiles([step["wall"] for step in steps])
    return {**wall, "processor p50 [ms]": statistics.median(processor)}


def _percentiles(seconds: list[float]) -> dict[str, float]:
    milliseconds = [1000 * value for value in seconds]
    return {
        "p50 [ms]": statistics.median(milliseconds),
        "p95 [ms]": float(np.percentile(milliseconds, 95)),
    }


def _differences(
    reference: list[dict[str, float]], other: list[dict[str, float]]
) -> dict[str, float]:
    """Return the largest difference of each loss, relative to that of the reference step."""
    return {
        name: max(
            abs(b[name] - a[name]) / max(abs(a[name]), _SMALL)
            for a, b in zip(reference, other, strict=True)
        )
        for name in reference[0]
        if name not in ("wall", "processor")
    }


def _memory(settings: FieldSettings, variant: str, folder: Path) -> dict[str, float]:
    """Return the peak memory of one step, of a processor in a process of its own.

    A GPU's memory is counted tensor by tensor, whatever else the process has done.
    """
    if choose_device(settings.run.device).type == "cuda":
        torch.cuda.reset_peak_memory_stats()
        peak, before = _step_memory(settings, variant)
        return {"peak memory [MiB]": peak, "memory of the step [MiB]": peak - before}
    config = folder / "settings.yaml"
    write_settings(config, settings)
    command = [sys.executable, "-m", "train.field.benchmark", str(config), variant]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    if run.returncode:
        last = (run.stderr.strip().splitlines() or ["no output"])[-1]
        raise SceneDinoError(f"the process that measures memory failed: {last}")
    peak, before = (float(word) for word in run.stdout.split())
    return {"peak memory [MiB]": peak, "memory of the step [MiB]": peak - before}


def _measure_own_memory(config: Path, variant: str) -> None:
    """Print the peak memory and the memory before the step, MiB."""
    peak, before = _step_memory(read_settings(FieldSettings(), config, []), variant)
    sys.stdout.write(f"{peak} {before}\n")


def _step_memory(settings: FieldSettings, variant: str) -> tuple[float, float]:
    """Return the peak memory, resident or on the GPU, and the memory before the step, MiB."""
    device = choose_device(settings.run.device)
    training = build(settings, variant)
    batch = loader(settings, training)(0)
    before = device_memory(device).get("allocated", resident_memory())
    run_step(training, batch)
    return device_memory(device).get("peak", peak_resident_memory()), before


def write_noise_drive(path: Path, settings: FieldSettings) -> None:
    """Write a drive of the whole rig with images of noise, as long as one item needs."""
    height, width = settings.model.image_size
    K_norm = ssc.CAMERA.K_norm
    forward = np.array([[0.0, 0, 1, 0], [-1, 0, 0, 0], [0, -1, 0, 0], [0, 0, 0, 1]])
    left = np.array([[1.0, 0, 0, 0], [0, 0, 1, 0], [0, -1, 0, 0], [0, 0, 0, 1]])
    right = np.array([[-1.0, 0, 0, 0], [0, 0, -1, 0], [0, -1, 0, 0], [0, 0, 0, 1]])
    mounted = {"camera_00": forward, "camera_01": forward.copy()}
    mounted |= {"camera_02": left, "camera_03": right}
    mounted["camera_01"][1, 3] = -0.6
    cameras = {name: StoredCamera(name, K_norm, T) for name, T in mounted.items()}
    n_frames = _PUBLISHED_FRAMES if settings.data.views == "published" else _NEARBY_FRAMES
    rng = np.random.default_rng(0)
    source = {"noise": True}
    with FrameStoreWriter(path, (height, width), cameras, n_frames, source) as writer:
        for frame in range(n_frames):
            T = np.eye(4)
            T[0, 3] = 0.8 * frame
            writer.frame(frame, frame * 100_000_000, T)
            for name in cameras:
                picture = rng.integers(0, 256, (height // 4, width // 4, 3), dtype=np.uint8)
                writer.put("image", name, frame, picture.repeat(4, 0).repeat(4, 1))


def _synchronise(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


if __name__ == "__main__":
    _measure_own_memory(Path(sys.argv[1]), sys.argv[2])
