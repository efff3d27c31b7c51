# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Small networks for tests: every part of the real one, little arithmetic."""

import functools

import numpy as np
import torch

from scenedino_ros.cameras.camera import CalibratedCamera, PinholeCamera
from scenedino_ros.checkpoints.checkpoint import Checkpoint, untrained_checkpoint
from scenedino_ros.core.model_config import ModelConfig

TINY = ModelConfig(
    backbone="dinov2_vits14",
    image_size=(64, 160),
    decoder_width=16,
    upsample_tail=False,
    hidden_dim=32,
    feature_dim=8,
    expansion_dim=16,
    n_classes=19,
    n_clusters=19,
    code_dim=16,
)


@functools.lru_cache(maxsize=4)
def lively_checkpoint(config: ModelConfig = TINY, seed: int = 0) -> Checkpoint:
    """Return untrained weights with every class in use and about half of the voxels occupied."""
    checkpoint = untrained_checkpoint(config, seed)
    state = dict(checkpoint.state)
    state["field.lin_out.bias"] = state["field.lin_out.bias"].clone()
    state["field.lin_out.bias"][0] = -1.5
    generator = torch.Generator().manual_seed(seed)
    for key in state:
        if key.endswith("pseudo_assignment"):
            state[key] = torch.randperm(len(state[key]), generator=generator)
    return Checkpoint(config, checkpoint.classes, state, checkpoint.provenance)


def street_camera(width: int = 320, height: int = 96) -> CalibratedCamera:
    """Return a KITTI-360-like camera of some image size."""
    kitti = PinholeCamera.from_focal(552.55, 552.55, 682.05, 238.77, 1408, 376)
    return CalibratedCamera(kitti.resized(width, height))


def noise_image(width: int = 320, height: int = 96, seed: int = 0) -> np.ndarray:
    """Return a (height, width, 3) uint8 picture of smooth noise."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (height // 8, width // 8, 3), dtype=np.uint8)
    return coarse.repeat(8, axis=0).repeat(8, axis=1)


def same_camera(a: PinholeCamera, b: PinholeCamera) -> bool:
    """Return whether two cameras have exactly the same intrinsics and size."""
    return (a.width, a.height) == (b.width, b.height) and np.array_equal(a.K, b.K)
