# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Counts of one frame of SSCBench-KITTI-360."""

from collections.abc import Sequence

import numpy as np

from scenedino_ros.core.labels import IGNORE, ClassTable
from scenedino_ros.core.metrics import confusion_matrix
from scenedino_ros.evaluation.run_folder import Counts
from scenedino_ros.evaluation.ssc import rules as ssc
from scenedino_ros.evaluation.ssc.classes import EVAL16
from scenedino_ros.evaluation.ssc.prediction import SscPrediction
from scenedino_ros.evaluation.ssc.ranges import range_confusions

# Densities at which geometry alone is counted, as in the published evaluation, 1/m.
SWEEP = (1.0, 0.5, 0.25, 0.1, 0.05, 0.025, 0.01, 0.005, 0.0025, 0.001)
SLAB = 16  # voxels ahead that are counted together, for the curve over distance


def count_frame(
    target: np.ndarray,
    prediction: SscPrediction,
    view: np.ndarray,
    classes: ClassTable,
    thresholds: Sequence[float],
) -> Counts:
    """Count one frame.

    Args:
        target: (256, 256, 32) scored classes 0..15, or 255.
        prediction: The prediction of the network.
        view: (256, 256, 32) bool, True where the camera sees a voxel's centre.
        classes: Class table of the prediction.
        thresholds: T densities from which a voxel is occupied, 1/m; the first is the main one.

    Returns:
        int64 arrays: ``semantic`` (T, 3, 16, 16), by the benchmark's rule, in which sky is empty;
        ``geometry`` (T, 3, 2, 2), by density alone; ``sweep`` (10, 2, 2), the same over the whole
        grid at the densities of `SWEEP`; ``slabs`` (16, 2, 2), the benchmark's rule by distance
        ahead.
    """
    scored = view & (target != IGNORE)
    occupied = (target != 0).astype(np.uint8)
    grids = [
        ssc.evaluated_prediction(prediction.label, prediction.density, classes, threshold)
        for threshold in thresholds
    ]
    alone = [(prediction.density >= threshold).astype(np.uint8) for threshold in thresholds]
    return {
        "semantic": semantic_counts(target, grids, view),
        "geometry": np.stack([range_confusions(occupied, grid, scored, 2) for grid in alone]),
        "sweep": _sweep(occupied[scored], prediction.density[scored]),
        "slabs": _slabs(occupied, (grids[0] > 0).astype(np.uint8), scored),
    }


def semantic_counts(
    target: np.ndarray, grids: Sequence[np.ndarray], view: np.ndarray
) -> np.ndarray:
    """Return the (N, 3, 16, 16) confusions of N grids of scored classes, at the three ranges."""
    scored = view & (target != IGNORE)
    return np.stack([range_confusions(target, grid, scored, len(EVAL16)) for grid in grids])


def _sweep(occupied: np.ndarray, density: np.ndarray) -> np.ndarray:
    """Return the (10, 2, 2) confusions of (N,) voxels at the densities of `SWEEP`."""
    thresholds = np.array(SWEEP[::-1], np.float32)
    levels = np.searchsorted(thresholds, density, side="right")  # how many densities it reaches
    counts = np.stack([np.bincount(levels[occupied == o], minlength=11) for o in (0, 1)])
    reached = counts[:, ::-1].cumsum(axis=1)[:, :-1]  # from the highest density on
    total = counts.sum(axis=1, keepdims=True)
    return np.stack([total - reached, reached], axis=-1).transpose(1, 0, 2)


def _slabs(occupied: np.ndarray, grid: np.ndarray, scored: np.ndarray) -> np.ndarray:
    counts = []
    for start in range(0, ssc.GRID.shape[0], SLAB):
        part = slice(start, start + SLAB)
        chosen = scored[part]
        counts.append(confusion_matrix(occupied[part][chosen], grid[part][chosen], 2))
    return np.stack(counts)
