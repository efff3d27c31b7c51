# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Occupied against free, counted per range."""

from collections.abc import Iterable, Mapping

import numpy as np

from scenedino_ros.core.metrics import confusion_matrix, geometry_scores
from scenedino_ros.evaluation.result import Cell
from scenedino_ros.evaluation.ssc import rules as ssc

# Scores by name and range, such as scores["iou"]["12.8"]; fractions.
ByRange = dict[str, dict[str, float]]
RANGE_KEYS = [f"{metres:g}" for metres in ssc.RANGES]
_HEADS = {"iou": "IoU", "precision": "precision", "recall": "recall"}


def range_confusions(
    target: np.ndarray, prediction: np.ndarray, scored: np.ndarray, n_classes: int
) -> np.ndarray:
    """Count pairs of target and prediction in the nested boxes of the benchmark.

    Args:
        target: (256, 256, 32) classes in [0, n_classes); anything where not scored.
        prediction: (256, 256, 32) classes in the same range.
        scored: (256, 256, 32) bool, True where a voxel counts.
        n_classes: Number of classes L, 2 for geometry.

    Returns:
        (3, L, L) int64, one matrix for each of `ssc.RANGES`, row = target.
    """
    confusions = []
    for metres in ssc.RANGES:
        box = ssc.range_crop(metres)
        chosen = scored[box]
        confusions.append(
            confusion_matrix(target[box][chosen], prediction[box][chosen], n_classes)
        )
    return np.stack(confusions)


def geometry_by_range(confusions: np.ndarray) -> ByRange:
    """Return IoU, precision and recall at each range.

    Args:
        confusions: (3, L, L) counts of one prediction, class 0 is free.
    """
    scores = [geometry_scores(confusion) for confusion in confusions]
    return {
        key: dict(zip(RANGE_KEYS, (getattr(score, key) for score in scores), strict=True))
        for key in _HEADS
    }


def range_columns(names: Iterable[str]) -> list[str]:
    """Return the heads of columns, such as ``IoU 12.8 m``: each name at all ranges."""
    return [f"{name} {key} m" for name in names for key in RANGE_KEYS]


def geometry_columns() -> list[str]:
    """Return the heads of `geometry_cells`."""
    return range_columns(_HEADS.values())


def percent(scores: Mapping[str, float]) -> list[Cell]:
    """Return cells in percent, one for each range."""
    return [100 * value for value in scores.values()]


def geometry_cells(scores: ByRange) -> list[Cell]:
    """Return cells in percent: IoU, precision and recall, each at all ranges."""
    return [cell for key in _HEADS for cell in percent(scores[key])]
