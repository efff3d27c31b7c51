# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""The frame that every GPU check computes, its reference answers, and how far others are off."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache
from typing import NamedTuple

import numpy as np
import torch

from scenedino_ros.benchmark.bench import percentiles, timed
from scenedino_ros.benchmark.grids import grid_of
from scenedino_ros.benchmark.job import BenchmarkJob, load, picture_of
from scenedino_ros.cameras.camera import CalibratedCamera
from scenedino_ros.checkpoints.checkpoint import Checkpoint
from scenedino_ros.core.config import RenderSettings
from scenedino_ros.core.errors import InputError
from scenedino_ros.core.metrics import class_iou, confusion_matrix, geometry_scores
from scenedino_ros.core.reporting import silent
from scenedino_ros.core.voxels import OPTICAL_FRAME_PRESETS
from scenedino_ros.evaluation.ssc import rules as ssc
from scenedino_ros.inference.predictor import Predictor
from scenedino_ros.inference.query import VoxelQuery

_VIEW = RenderSettings()


@dataclass(frozen=True)
class GpuPlan:
    """What the checks compute.

    Attributes:
        job: Network, device, picture and grid; its repeats are the frames timed per engine.
        frames: Frames over which memory is watched.
        seconds: How long the node is played at each rate.
    """

    job: BenchmarkJob
    frames: int
    seconds: float

    @property
    def device(self) -> str:
        """The device that is checked, ``cuda`` or ``cpu``."""
        return self.job.network.device

    def require_device(self) -> None:
        """Refuse a machine without a GPU where one is to be checked.

        Raises:
            InputError: If there is no usable GPU.
        """
        if self.device == "cuda" and not torch.cuda.is_available():
            raise InputError(
                "no usable GPU was found; --device cpu runs the same checks on the processor"
            )


class Answer(NamedTuple):
    """What a predictor answers.

    Attributes:
        classes: (X, Y, Z) int classes, -1 where nothing is.
        depth: (h, w) rendered depth, metres.
    """

    classes: np.ndarray
    depth: np.ndarray


class Agreement(NamedTuple):
    """How well one answer agrees with another.

    Attributes:
        iou: Of the occupied voxels.
        miou: Mean over the classes that occur.
        depth: Mean difference of the depths, relative to the expected ones.
    """

    iou: float
    miou: float
    depth: float

    def describe(self) -> str:
        """Return the figures in one line."""
        return f"IoU {self.iou:.4f}, mIoU {self.miou:.4f}, depth {100 * self.depth:.2f} %"


class Scene:
    """One picture and grid, and the stages of a frame.

    Attributes:
        mode: Which head names the classes.
        checkpoint: The network's weights.
        rgb: (h, w, 3) uint8 picture.
        camera: Its camera.
        grid: Where voxels are sought.
        T_grid_cam: (4, 4) camera pose in the grid frame, metres.
    """

    def __init__(self, job: BenchmarkJob) -> None:
        """Load the checkpoint and make the picture."""
        self._network, self.mode = job.network, job.network.mode
        self.checkpoint: Checkpoint = load(job, silent)
        self.rgb = picture_of(job)
        height, width = self.rgb.shape[:2]
        self.camera = CalibratedCamera(ssc.CAMERA.resized(width, height))
        self.grid = grid_of(job.grid, job.voxel_size)
        optical = job.grid in OPTICAL_FRAME_PRESETS
        self.T_grid_cam = np.eye(4) if optical else ssc.T_VELO_CAM
        self.query = VoxelQuery(0.0, grow=not optical)

    def predictor(self, device: str, engine: str, precision: str) -> Predictor:
        """Open the network.

        Raises:
            SceneDinoError: If engine, precision and device do not fit each other.
        """
        choice = replace(self._network, device=device, engine=engine, precision=precision)
        return choice.predictor(self.checkpoint)

    def occupy(self, predictor: Predictor, share: float) -> None:
        """Set the density threshold so that this share of the voxels in view is occupied."""
        encoded = predictor.encode(self.rgb, self.camera)
        found = predictor.voxels(encoded, self.grid, self.T_grid_cam, self.query).density
        threshold = float(np.quantile(found, 1 - share)) if len(found) else 0.0
        self.query = replace(self.query, density_threshold=threshold)

    def frame(
        self, predictor: Predictor, rgb: np.ndarray | None = None
    ) -> tuple[dict[str, float], Answer]:
        """Compute one frame; return the seconds of its stages and what it shows.

        Args:
            predictor: The network.
            rgb: Another picture of the same camera.
        """
        seconds: dict[str, float] = {}
        with timed(seconds, "encode"):
            encoded = predictor.encode(self.rgb if rgb is None else rgb, self.camera)
        with timed(seconds, "voxels"):
            voxels = predictor.voxels(encoded, self.grid, self.T_grid_cam, self.query)
        with timed(seconds, "render"):
            view = predictor.render(
                encoded, downscale=_VIEW.downscale, n_samples=_VIEW.n_samples, semantic=True
            )
        classes = np.where(voxels.occupied(), voxels.label_grid(empty=0).astype(int), -1)
        depth = np.zeros((0, 0)) if view.depth is None else view.depth
        return seconds, Answer(classes, depth)

    def timings(
        self, predictor: Predictor, repeats: int
    ) -> Iterator[tuple[dict[str, float], Answer]]:
        """Yield p50 and p95 of the stages and the last answer, after each frame but the first."""
        frames = []
        for number in range(repeats + 1):
            seconds, answer = self.frame(predictor)
            if number:
                frames.append(seconds)
                yield percentiles(frames), answer


@cache
def reference(job: BenchmarkJob) -> tuple[Scene, Answer]:
    """Return the scene and what PyTorch answers on the processor in float32."""
    scene = Scene(job)
    predictor = scene.predictor("cpu", "torch", "float32")
    scene.occupy(predictor, job.share)
    return scene, scene.frame(predictor)[1]


def agreement(found: Answer, expected: Answer) -> Agreement:
    """Score an answer against another that is taken as correct."""
    # Class 0 of the scores is an empty voxel.
    truth, said = expected.classes + 1, found.classes + 1
    confusion = confusion_matrix(truth, said, int(max(truth.max(), said.max())) + 1)
    occurs = confusion.sum(axis=0) + confusion.sum(axis=1) > 0
    occurs[0] = False
    off = np.abs(found.depth - expected.depth) / expected.depth
    return Agreement(
        float(geometry_scores(confusion).iou),
        float(class_iou(confusion)[occurs].mean()) if occurs.any() else 1.0,
        float(off.mean()),
    )


def stage_words(figures: dict[str, float]) -> str:
    """Return p50 and p95 of each stage in one line."""
    stages = [name.removesuffix(" p50 [ms]") for name in figures if name.endswith("p50 [ms]")]
    return ", ".join(
        f"{stage} {figures[f'{stage} p50 [ms]']:.1f} / {figures[f'{stage} p95 [ms]']:.1f} ms"
        for stage in stages
    )
