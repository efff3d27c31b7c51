# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""The plain and the folded network on the same image and grid, run in turns."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch

from scenedino_ros.benchmark.grids import grid_of
from scenedino_ros.benchmark.job import BenchmarkJob, picture_of
from scenedino_ros.benchmark.plain import PlainPredictor
from scenedino_ros.benchmark.stages import VARIANTS
from scenedino_ros.cameras.camera import CalibratedCamera
from scenedino_ros.checkpoints.checkpoint import Checkpoint
from scenedino_ros.core.config import RenderSettings
from scenedino_ros.core.metrics import class_iou, confusion_matrix, geometry_scores
from scenedino_ros.core.reporting import Report
from scenedino_ros.core.voxels import OPTICAL_FRAME_PRESETS, VoxelGrid
from scenedino_ros.evaluation.ssc import rules as ssc
from scenedino_ros.inference.query import VoxelQuery

_VIEW = RenderSettings()


class Bench:
    """The predictors of a job on the same image, ready to be timed.

    Attributes:
        predictors: By variant.
        grid: Where voxels are sought.
        threshold: Density from which on they are occupied, 1/m.
        answers: The last voxels by variant: (X, Y, Z) classes, -1 where nothing is.
        occupied: How many of them there are.
    """

    def __init__(self, job: BenchmarkJob, checkpoint: Checkpoint, report: Report) -> None:
        """Build the predictors and settle the density threshold."""
        self.predictors: dict[str, Any] = {}
        self.answers: dict[str, np.ndarray] = {}
        self.occupied: dict[str, int] = {}
        if "folded" in job.variants:
            self.predictors["folded"] = job.network.predictor(checkpoint, report)
        if "plain" in job.variants:
            network = job.network
            self.predictors["plain"] = PlainPredictor(checkpoint, network.device, network.mode)
        self._job = job
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
        known = self._job.threshold
        self.threshold = self._find(self._job.share) if known is None else known
        self._query = VoxelQuery(self.threshold, grow=self._grow)

    def _find(self, share: float) -> float:
        """Return the density that this share of the voxels in view exceeds."""
        predictor = self.predictors["folded"]
        encoded = predictor.encode(self._rgb, self._camera)
        query = VoxelQuery(0.0, grow=self._grow)
        density = predictor.voxels(encoded, self.grid, self._T_grid_cam, query).density
        return float(np.quantile(density, 1 - share)) if len(density) else 0.0

    def frame(self, variant: str) -> dict[str, float]:
        """Run one frame; return seconds by stage, and those of the frame: encode and voxels."""
        predictor = self.predictors[variant]
        seconds: dict[str, float] = {}
        with timed(seconds, "encode"):
            encoded = predictor.encode(self._rgb, self._camera)
        with timed(seconds, "voxels"):
            voxels = predictor.voxels(encoded, self.grid, self._T_grid_cam, self._query)
        if self._job.render:
            with timed(seconds, "render"):
                predictor.render(
                    encoded, downscale=_VIEW.downscale, n_samples=_VIEW.n_samples, semantic=True
                )
        if variant == "folded":
            voxels = np.where(voxels.occupied(), voxels.label_grid(empty=0).astype(int), -1)
        self.answers[variant], self.occupied[variant] = voxels, int((voxels >= 0).sum())
        return {**seconds, "frame": seconds["encode"] + seconds["voxels"]}

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


@contextmanager
def timed(seconds: dict[str, float], stage: str) -> Iterator[None]:
    """Note how long the body takes, with all that it started on a GPU."""
    start = time.perf_counter()
    yield
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    seconds[stage] = time.perf_counter() - start


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
