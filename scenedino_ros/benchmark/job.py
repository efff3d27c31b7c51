# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""What is measured: a network, a picture, a grid, and the machine they meet on."""

import os
import platform
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from scenedino_ros.benchmark.stages import BFLOAT16, VARIANTS
from scenedino_ros.cameras.image_folder import read_rgb
from scenedino_ros.checkpoints.checkpoint import (
    Checkpoint,
    resize_checkpoint,
    untrained_checkpoint,
)
from scenedino_ros.core.errors import InputError
from scenedino_ros.core.model_config import ModelConfig
from scenedino_ros.core.reporting import Report
from scenedino_ros.evaluation.ssc import rules as ssc
from scenedino_ros.inference.device import choose_device
from scenedino_ros.inference.network_choice import NetworkChoice


@dataclass(frozen=True)
class BenchmarkJob:
    """What is measured.

    Attributes:
        network: The folded network; the plain one has its checkpoint, mode and device, and is
            float32.
        backbone: Backbone of untrained weights of the published architecture, which then replace
            the checkpoint; empty: the checkpoint.
        grid: A key of ``GRID_PRESETS``, which gives the extent.
        voxel_size: Edge length of its voxels, metres.
        share: Share of the voxels in view that is occupied; the density threshold is set to
            reach it, since that share decides how much there is to classify.
        repeats: Frames timed, after one that is not.
        image: Picture as KITTI-360's cameras take it; empty: noise of that size.
        render: Also render what the node shows: depth and classes.
        exposed_only: Seek only occupied voxels with a face neighbour that is not occupied.
        coarse_to_fine: Let the folded network leave out voxels that an eighth of them settles.
        variants: Any of ``VARIANTS``, and ``BFLOAT16``.
        threshold: Density threshold, 1/m, where it is known already; None: found from the share.
    """

    network: NetworkChoice
    backbone: str
    grid: str
    voxel_size: float
    share: float
    repeats: int
    image: str = ""
    render: bool = True
    exposed_only: bool = False
    coarse_to_fine: bool = False
    variants: tuple[str, ...] = VARIANTS
    threshold: float | None = None

    def network_of(self, variant: str) -> NetworkChoice:
        """Return the folded network that a variant stands for."""
        return replace(self.network, precision="bfloat16") if variant == BFLOAT16 else self.network

    def record(self) -> dict[str, Any]:
        """Return the job as plain values, those of the network among the others."""
        values = asdict(self)
        return {**values.pop("network"), **values}


def load(job: BenchmarkJob, report: Report) -> Checkpoint:
    """Return the checkpoint of a job, for its image size.

    Raises:
        InputError: If the backbone is unknown, the network names no classes, or it has no head
            for the mode.
        CheckpointError: If the weights are missing, damaged or cannot be fetched.
    """
    network = job.network
    checkpoint = untrained(job.backbone) if job.backbone else network.load(report)
    if not checkpoint.config.has_semantics:
        raise InputError("a benchmark needs a checkpoint with a semantic head, got one without")
    checkpoint.config.check_mode(network.mode)
    return resize_checkpoint(checkpoint, network.image_size) if network.image_size else checkpoint


def untrained(backbone: str) -> Checkpoint:
    """Return untrained weights of the published architecture on a backbone.

    Raises:
        InputError: If there is no backbone of that name.
    """
    return untrained_checkpoint(ModelConfig(backbone=backbone, n_classes=19, n_clusters=19))


def picture_of(job: BenchmarkJob) -> np.ndarray:
    """Return the (H, W, 3) uint8 RGB picture of a job.

    Raises:
        InputError: If the file cannot be read.
    """
    if job.image:
        return read_rgb(Path(job.image))
    shape = (ssc.CAMERA.height, ssc.CAMERA.width, 3)
    return np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)


def machine_facts(device: str) -> dict[str, Any]:
    """Return what a figure depends on beside the job.

    Args:
        device: auto, cpu or cuda.

    Raises:
        InputError: If a GPU is asked for and there is none.
    """
    chosen = choose_device(device)
    name = torch.cuda.get_device_name(chosen) if chosen.type == "cuda" else "cpu"
    return {
        "processor": platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "device": name,
        "torch": torch.__version__,
    }
