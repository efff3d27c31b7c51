"""Occupied against free, counted per range."""

import numpy as np

from scenedino_ros.core.metrics import confusion_matrix, geometry_scores
from scenedino_ros.evaluation.ssc import rules as ssc

Row = list[str | float | int | None]


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


def geometry_columns() -> list[str]:
    """Return the heads of `geometry_row`: IoU, precision and recall, each for all ranges."""
    names = ("IoU", "precision", "recall")
    return [f"{name} {metres:g} m" for name in names for metres in ssc.RANGES]


def geometry_row(name: str, confusions: np.ndarray) -> Row:
    """Return a row of IoU, precision and recall in percent.

    Args:
        name: What was scored.
        confusions: (3, L, L) counts of one prediction, class 0 is free.
    """
    scores = [geometry_scores(confusion) for confusion in confusions]
    return [
        name,
        *(100 * score.iou for score in scores),
        *(100 * score.precision for score in scores),
        *(100 * score.recall for score in scores),
    ]
