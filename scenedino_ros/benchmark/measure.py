"""Times the stages of a frame for both predictors, in turns, and asks processes for memory."""

import json
import platform
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from scenedino_ros.benchmark.plain import PlainPredictor
from scenedino_ros.checkpoints.hub import load_named_or_path
from scenedino_ros.core import ssc
from scenedino_ros.core.camera import CalibratedCamera
from scenedino_ros.core.checkpoint import Checkpoint, resize_checkpoint, untrained_checkpoint
from scenedino_ros.core.config import ModelConfig
from scenedino_ros.core.device import choose_device, device_memory, peak_resident_memory
from scenedino_ros.core.errors import SceneDinoError
from scenedino_ros.core.metrics import class_iou, confusion_matrix, geometry_scores
from scenedino_ros.core.predictor import Predictor, VoxelQuery
from scenedino_ros.core.voxels import GRID_PRESETS, OPTICAL_FRAME_PRESETS, VoxelGrid
from scenedino_ros.datasets.images import read_rgb
from scenedino_ros.engines.opening import engine_maker

VARIANTS = ("plain", "folded")


@dataclass(frozen=True)
class BenchmarkJob:
    """What is measured.

    Attributes:
        checkpoint: Name or path; empty: the package's model.
        backbone: Backbone of untrained weights as published; empty: the checkpoint's.
        image_size: (height, width) of the network's picture, or None: the checkpoint's own.
        grid: A key of ``GRID_PRESETS``, which gives the extent.
        voxel_size: Edge length of its voxels, metres.
        mode: Which head names the classes.
        device: auto, cpu or cuda.
        precision: Of the folded network's encoder and decoder; the plain one is float32.
        share: Share of the voxels in view that is occupied; the density threshold is set to
            reach it, since that share decides how much there is to classify.
        repeats: Frames timed, after one that is not.
        engine: What runs the folded network, as the node's parameter names it.
        image: Picture as KITTI-360's cameras take it; empty: noise of that size.
        variants: Any of ``VARIANTS``.
        threshold: Density threshold, 1/m, where it is known already; None: found from the share.
    """

    checkpoint: str
    backbone: str
    image_size: tuple[int, int] | None
    grid: str
    voxel_size: float
    mode: str
    device: str
    precision: str
    share: float
    repeats: int
    engine: str = "torch"
    image: str = ""
    variants: tuple[str, ...] = VARIANTS
    threshold: float | None = None


def load(job: BenchmarkJob, tell: Callable[[str], None]) -> Checkpoint:
    """Return the checkpoint of a job, for its image size."""
    if job.backbone:
        config = ModelConfig(backbone=job.backbone, n_classes=19, n_clusters=19)
        checkpoint = untrained_checkpoint(config)
    else:
        checkpoint = load_named_or_path(job.checkpoint, tell)
    return resize_checkpoint(checkpoint, job.image_size) if job.image_size else checkpoint


def grid_of(job: BenchmarkJob) -> VoxelGrid:
    """Return the grid of a job: the preset's extent in voxels of the job's size."""
    preset = GRID_PRESETS[job.grid]
    x, y, z = (max(1, round(n * preset.voxel_size / job.voxel_size)) for n in preset.shape)
    return VoxelGrid(preset.origin, (x, y, z), job.voxel_size)


class Bench:
    """The predictors of a job on the same image, ready to be timed."""

    def __init__(
        self, job: BenchmarkJob, checkpoint: Checkpoint, tell: Callable[[str], None]
    ) -> None:
        """Build the predictors and settle the density threshold."""
        self.predictors: dict[str, Any] = {}
        self.answers: dict[str, np.ndarray] = {}
        if "folded" in job.variants:
            self.predictors["folded"] = Predictor(
                checkpoint,
                device=job.device,
                precision=job.precision,
                mode=job.mode,
                make_engine=engine_maker(job.engine, tell),
            )
        if "plain" in job.variants:
            self.predictors["plain"] = PlainPredictor(checkpoint, job.device, job.mode)
        self._rgb = _picture(job.image)
        height, width = self._rgb.shape[:2]
        self._camera = CalibratedCamera(ssc.CAMERA.resized(width, height))
        self._grid = grid_of(job)
        optical = job.grid in OPTICAL_FRAME_PRESETS
        self._T_grid_cam = np.eye(4) if optical else ssc.T_VELO_CAM
        self._grow = not optical
        self.threshold = self._find(job.share) if job.threshold is None else job.threshold
        self._query = VoxelQuery(self.threshold, grow=self._grow)

    def _find(self, share: float) -> float:
        """Return the density that this share of the voxels in view exceeds."""
        predictor = self.predictors["folded"]
        encoded = predictor.encode(self._rgb, self._camera)
        query = VoxelQuery(0.0, grow=self._grow)
        density = predictor.voxels(encoded, self._grid, self._T_grid_cam, query).density
        return float(np.quantile(density, 1 - share))

    def frame(self, variant: str) -> dict[str, float]:
        """Run one frame; return seconds by stage, and the number of occupied voxels."""
        predictor = self.predictors[variant]
        start = time.perf_counter()
        encoded = predictor.encode(self._rgb, self._camera)
        _synchronise()
        middle = time.perf_counter()
        voxels = predictor.voxels(encoded, self._grid, self._T_grid_cam, self._query)
        _synchronise()
        end = time.perf_counter()
        if variant == "folded":
            voxels = np.where(voxels.occupied(), voxels.label_grid(empty=0).astype(int), -1)
        self.answers[variant], count = voxels, int((voxels >= 0).sum())
        stages = {"encode": middle - start, "voxels": end - middle, "frame": end - start}
        return {**stages, "occupied": count}

    def agreement(self) -> dict[str, float]:
        """Score the folded network's last voxels against the plain one's, in float32."""
        # Class 0 of the scores is an empty voxel.
        plain, folded = (self.answers[variant] + 1 for variant in VARIANTS)
        confusion = confusion_matrix(plain, folded, int(max(plain.max(), folded.max())) + 1)
        occurs = confusion.sum(axis=0) + confusion.sum(axis=1) > 0
        return {
            "IoU": geometry_scores(confusion).iou,
            "mIoU": float(class_iou(confusion)[1:][occurs[1:]].mean()),
        }


def _picture(path: str) -> np.ndarray:
    if path:
        return read_rgb(Path(path))
    shape = (ssc.CAMERA.height, ssc.CAMERA.width, 3)
    return np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)


def _synchronise() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def measure(job: BenchmarkJob, tell: Callable[[str], None]) -> dict[str, Any]:
    """Run a benchmark.

    Args:
        job: What to measure.
        tell: Told in words what is going on.

    Returns:
        Plain values: machine, job, and per variant the p50 and p95 of each stage in milliseconds,
        the number of occupied voxels and the peak memory in MiB; how far the folded network's
        voxels are those of the plain one.
    """
    tell("building the networks")
    checkpoint = load(job, tell)
    bench = Bench(job, checkpoint, tell)
    frames: dict[str, list[dict[str, float]]] = {variant: [] for variant in job.variants}
    for repeat in range(job.repeats + 1):
        for variant in job.variants:  # in turns, so that a busy moment hits both
            tell(f"frame {repeat} of {job.repeats}, {variant}")
            timing = bench.frame(variant)
            if repeat:
                frames[variant].append(timing)
    results = {variant: _summary(timings) for variant, timings in frames.items()}
    for variant in job.variants:
        tell(f"memory of the {variant} network")
        alone = replace(job, variants=(variant,), threshold=bench.threshold)
        results[variant].update(_peak_memory(alone))
    return {
        "machine": {
            "processor": platform.processor() or platform.machine(),
            "threads": torch.get_num_threads(),
            "device": bench.predictors["folded"].device,
            "torch": torch.__version__,
        },
        "engine": bench.predictors["folded"].engine,
        "folded against plain": bench.agreement(),
        "weights": bench.predictors["folded"].weights,
        "grid": list(grid_of(job).shape),
        "image size": list(checkpoint.config.image_size),
        "backbone": checkpoint.config.backbone,
        "job": asdict(job),
        "results": results,
    }


def _summary(timings: list[dict[str, float]]) -> dict[str, Any]:
    summary: dict[str, Any] = {"occupied voxels": int(timings[0]["occupied"])}
    for stage in ("encode", "voxels", "frame"):
        milliseconds = [1000 * timing[stage] for timing in timings]
        summary[f"{stage} p50 [ms]"] = float(np.percentile(milliseconds, 50))
        summary[f"{stage} p95 [ms]"] = float(np.percentile(milliseconds, 95))
    return summary


def _peak_memory(job: BenchmarkJob) -> dict[str, float]:
    """Return the peak resident memory, or device memory on a GPU, of two frames in MiB.

    It runs in a process of its own, where nothing else counts.
    """
    command = [sys.executable, "-m", "scenedino_ros.benchmark.measure"]
    text = json.dumps(asdict(job))
    run = subprocess.run(command, input=text, capture_output=True, text=True, check=False)
    if run.returncode:
        last = (run.stderr.strip().splitlines() or ["no output"])[-1]
        raise SceneDinoError(f"the process that measures memory failed: {last}")
    peak, imported = map(float, run.stdout.split())
    return {"peak memory [MiB]": peak, "of it beyond imports [MiB]": peak - imported}


def _measure_own_memory() -> None:
    imported = peak_resident_memory()
    values = json.loads(sys.stdin.read())
    for name in ("variants", "image_size"):
        values[name] = tuple(values[name]) if values[name] else None
    job = BenchmarkJob(**values)
    bench = Bench(job, load(job, lambda _: None), lambda _: None)
    for _ in range(2):  # the second has caches beside it
        bench.frame(job.variants[0])
    device = device_memory(choose_device(job.device))
    if device:
        sys.stdout.write(f"{device['peak']} 0\n")
    else:
        sys.stdout.write(f"{peak_resident_memory()} {imported}\n")


if __name__ == "__main__":
    _measure_own_memory()
