# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""The first pass of a network, before images wait for it."""

import numpy as np

from scenedino_ros.cameras.camera import CalibratedCamera, PinholeCamera
from scenedino_ros.core.config import GridSettings
from scenedino_ros.core.voxels import GRID_PRESETS
from scenedino_ros.inference.predictor import Predictor
from scenedino_ros.inference.query import VoxelQuery


def warm_up(predictor: Predictor) -> None:
    """Run one empty image through a network, so that the first real one is not slow.

    Raises:
        OutOfMemoryError: If an image, or on a GPU even the smallest chunk, does not fit.
    """
    height, width = predictor.image_size
    pinhole = PinholeCamera.from_focal(width, width, width / 2, height / 2, width, height)
    image = np.zeros((height, width, 3), np.uint8)
    encoded = predictor.encode(image, CalibratedCamera(pinhole))
    if predictor.torch_device.type == "cuda":
        # A GPU loads each of its programs when it is first asked for.
        query = VoxelQuery(density_threshold=0.0, exposed_only=True)
        predictor.voxels(encoded, GRID_PRESETS[GridSettings.preset], query=query)
        predictor.render(encoded, semantic=True, unbounded=True)
        predictor.forget()
