# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""The plain and the folded network on the same image and grid, run in turns."""

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import numpy as np
import torch

from scenedino_ros.benchmark.counting import CountingEngine, Record, wait
from scenedino_ros.benchmark.grids import grid_of
from scenedino_ros.benchmark.job import BenchmarkJob, picture_of
from scenedino_ros.benchmark.plain import PlainPredictor
from scenedino_ros.benchmark.stages import processor
from scenedino_ros.cameras.camera import CalibratedCamera
from scenedino_ros.checkpoints.checkpoint import Checkpoint
from scenedino_ros.core.config import RenderSettings
from scenedino_ros.core.metrics import class_iou, confusion_matrix, geometry_scores
from scenedino_ros.core.reporting import Report
from scenedino_ros.core.voxels import OPTICAL_FRAME_PRESETS, VoxelGrid
from scenedino_ros.evaluation.ssc import rules as ssc
from scenedino_ros.inference.engines.engine import Engine, MakeEngine
from scenedino_ros.inference.exposed import exposed
from scenedino_ros.inference.query import VoxelQuery

_VIEW = RenderSettings()
_APART = 0.01  # metres from one camera to the next: each needs a grid view of its own


class Bench:
    """The predictors of a job on the same image, ready to be timed.

    Attributes:
        predictors: By variant.
        grid: Where voxels are sought.
        threshold: Density from which on they are occupied, 1/m.
        answers: The last voxels by variant: (X, Y, Z) classes, -1 where nothing is.
        occupied: How many of them there are.
        depths: The last rendered depths by variant, metres.
    """

    def __init__(self, job: BenchmarkJob, checkpoint: Checkpoint, report: Report) -> None:
        """Build the predictors and settle the density threshold."""
        self.predictors: dict[str, Any] = {}
        self.answers: dict[str, np.ndarray] = {}
        self.occupied: dict[str, int] = {}
        self.depths: dict[str, np.ndarray] = {}
        self._engines: dict[str, CountingEngine] = {}
        self._job = job
        for variant in job.variants:
            network = job.network_of(variant)
            if variant == "plain":
                predictor: Any = PlainPredictor(checkpoint, network.device, network.mode)
            else:
                adapt = self._counted(variant)
                predictor = network.predictor(checkpoint, report, adapt=adapt)
            self.predictors[variant] = predictor
        self._rgb = picture_of(job)
        height, width = self._rgb.shape[:2]
        self._camera = CalibratedCamera(ssc.CAMERA.resized(width, height))
        optical = job.grid in OPTICAL_FRAME_PRESETS
        self._T_grid_cam = np.eye(4) if optical else ssc.T_VELO_CAM
        self._grow = not optical
        self.look_at(grid_of(job.grid, job.voxel_size))

    def look_at(self, grid: VoxelGrid) -> None:
        """Seek voxels in this grid from now on."""
        self.grid = grid
        self._density: np.ndarray | None = None
        if self._job.threshold is None:
            self.occupy(self._job.share)
        else:
            self._seek(self._job.threshold)

    def occupy(self, share: float) -> None:
        """Let this share of the voxels in view be occupied from now on."""
        if self._density is None:
            predictor = self.predictors["folded"]
            encoded = predictor.encode(self._rgb, self._camera)
            query = VoxelQuery(0.0, grow=self._grow)
            voxels = predictor.voxels(encoded, self.grid, self._T_grid_cam, query)
            self._density = voxels.density
        empty = not len(self._density)
        self._seek(0.0 if empty else float(np.quantile(self._density, 1 - share)))

    def _seek(self, threshold: float) -> None:
        self.threshold = threshold
        self._query = VoxelQuery(
            threshold,
            grow=self._grow,
            exposed_only=self._job.exposed_only,
            coarse_to_fine=self._job.coarse_to_fine,
        )

    def _counted(self, variant: str) -> Callable[[MakeEngine], MakeEngine]:
        """Return what lets the engine of a variant count what it is asked."""

        def adapt(make: MakeEngine) -> MakeEngine:
            def make_counting(*arguments: Any) -> Engine:
                engine = self._engines[variant] = CountingEngine(make(*arguments))
                return engine

            return make_counting

        return adapt

    def frame(self, variant: str, camera: int = 0) -> dict[str, float]:
        """Run one frame.

        Args:
            variant: Which network.
            camera: Number of the camera that took the image.

        Returns:
            Seconds by stage, and those of the frame, which is encode and voxels; under
            ``processor(stage)`` the processor time of all threads.
        """
        seconds: dict[str, float] = {}
        self._run(variant, camera, lambda stage: clocked(seconds, stage))
        for name in (str, processor):
            seconds[name("frame")] = seconds[name("encode")] + seconds[name("voxels")]
        return seconds

    def profile(self, variant: str = "folded") -> dict[str, Record]:
        """Run one frame of a folded network; return what its engine was asked, by stage."""
        records: dict[str, Record] = {}
        engine = self._engines[variant]
        self._run(variant, 0, lambda stage: engine.counting(records.setdefault(stage, Record())))
        return records

    def _run(
        self, variant: str, camera: int, stage: Callable[[str], AbstractContextManager[None]]
    ) -> None:
        """Run one frame, each stage within the context of its name, and keep the answers."""
        predictor = self.predictors[variant]
        pose = self._T_grid_cam.copy()
        pose[0, 3] += _APART * camera
        with stage("encode"):
            encoded = predictor.encode(self._rgb, self._camera)
        with stage("voxels"):
            voxels = predictor.voxels(encoded, self.grid, pose, self._query)
        if self._job.render:
            with stage("render"):
                view = predictor.render(
                    encoded, downscale=_VIEW.downscale, n_samples=_VIEW.n_samples, semantic=True
                )
            self.depths[variant] = view[0] if variant == "plain" else view.depth
        if variant != "plain":
            voxels = np.where(voxels.occupied(), voxels.label_grid(empty=0).astype(int), -1)
        elif self._job.exposed_only:
            voxels = np.where(exposed(torch.from_numpy(voxels >= 0)).numpy(), voxels, -1)
        self.answers[variant], self.occupied[variant] = voxels, int((voxels >= 0).sum())

    def agreement(self, variant: str = "folded") -> dict[str, float]:
        """Score the last answers of a folded network against the plain one's, in float32.

        Returns:
            IoU and mIoU of the voxels; mean relative error of the rendered depth, if there is any.
        """
        # Class 0 of the scores is an empty voxel.
        plain, folded = (self.answers[name] + 1 for name in ("plain", variant))
        confusion = confusion_matrix(plain, folded, int(max(plain.max(), folded.max())) + 1)
        occurs = confusion.sum(axis=0) + confusion.sum(axis=1) > 0
        scores = {
            "IoU": geometry_scores(confusion).iou,
            "mIoU": float(class_iou(confusion)[1:][occurs[1:]].mean()),
        }
        if self.depths:
            depth = self.depths["plain"]
            error = np.abs(self.depths[variant] - depth) / depth
            scores["depth abs rel"] = float(error.mean())
        return scores


@contextmanager
def timed(seconds: dict[str, float], stage: str) -> Iterator[None]:
    """Note how long the body takes, with all that it started on a GPU."""
    start = time.perf_counter()
    yield
    wait()
    seconds[stage] = time.perf_counter() - start


@contextmanager
def clocked(seconds: dict[str, float], stage: str) -> Iterator[None]:
    """Note how long the body takes, and the processor time of all threads meanwhile."""
    start = time.process_time()
    with timed(seconds, stage):
        yield
    seconds[processor(stage)] = time.process_time() - start


def percentiles(timings: list[dict[str, float]]) -> dict[str, float]:
    """Return the p50 and p95 of each stage, such as ``{"encode p50 [ms]": 12.0}``.

    Args:
        timings: Seconds by stage, of one frame each.
    """
    return {
        f"{stage} p{percentile} [ms]": 1000
        * float(np.percentile([timing[stage] for timing in timings], percentile))
        for stage in timings[0]
        for percentile in (50, 95)
    }
