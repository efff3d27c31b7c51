# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""The largest job the package promises to do on a processor, in the memory it promises."""

import subprocess
import sys

import pytest

LIMIT_MIB = 4096
# In a process of its own: what other tests have loaded must not count, nor hide anything.
PROGRAM = """
import numpy as np
from scenedino_ros.cameras.camera import CalibratedCamera
from scenedino_ros.checkpoints.checkpoint import untrained_checkpoint
from scenedino_ros.core.model_config import ModelConfig
from scenedino_ros.core.memory import peak_resident_memory
from scenedino_ros.evaluation.ssc import rules as ssc
from scenedino_ros.inference.predictor import Predictor
from scenedino_ros.inference.query import VoxelQuery

config = ModelConfig(backbone="dino_vitb8", n_classes=19, n_clusters=19)
predictor = Predictor(untrained_checkpoint(config), device="cpu")
image = np.random.default_rng(0).integers(0, 256, (376, 1408, 3), dtype=np.uint8)
encoded = predictor.encode(image, CalibratedCamera(ssc.CAMERA))
# The most there can be: every voxel is occupied and gets a class.
query = VoxelQuery(0.0, grow=True, out_of_view=True)
voxels = predictor.voxels(encoded, ssc.GRID, ssc.T_VELO_CAM, query)
print(len(voxels), peak_resident_memory())
"""


@pytest.mark.slow
def test_full_benchmark_grid_with_the_largest_network_stays_below_4_gib() -> None:
    run = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True
    )
    count, peak = run.stdout.split()
    assert int(count) == 256 * 256 * 32
    assert float(peak) < LIMIT_MIB
