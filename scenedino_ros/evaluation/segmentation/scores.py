"""Accuracy and IoU of maps of classes, from counts of pixels."""

from typing import NamedTuple

import numpy as np

from scenedino_ros.core.errors import InputError
from scenedino_ros.core.metrics import class_iou

# Of the 19 classes of Cityscapes, where a mean is weighted; they are divided by their mean.
CLASS_WEIGHTS = np.array([4, 2, 2, 1, 1, 1, 1, 1, 2, 2, 1, 1, 1, 2, 1, 1, 1, 1, 1])


class SegmentationScores(NamedTuple):
    """Scores in [0, 1]; not a number where nothing was counted."""

    accuracy: float
    miou: float
    weighted_miou: float


def pixel_confusion(
    target: np.ndarray, prediction: np.ndarray, shape: tuple[int, int]
) -> np.ndarray:
    """Count pixels by class and pseudo class.

    Args:
        target: Integer classes of any shape; negative ones are not scored.
        prediction: Pseudo classes of the same shape.
        shape: Number of classes and of pseudo classes (L, n).

    Returns:
        (L, n) int64, row = class.

    Raises:
        InputError: If the shapes differ, or a class or pseudo class is out of range.
    """
    if target.shape != prediction.shape:
        raise InputError(f"classes {target.shape} and prediction {prediction.shape} must agree")
    scored = target >= 0
    rows, columns = target[scored].astype(np.int64), prediction[scored].astype(np.int64)
    for name, values, count in zip(
        ("classes", "predictions"), (rows, columns), shape, strict=True
    ):
        if values.size and not 0 <= values.min() <= values.max() < count:
            raise InputError(f"{name} must be 0..{count - 1}, got {values.min()}..{values.max()}")
    counts = np.bincount(rows * shape[1] + columns, minlength=shape[0] * shape[1])
    return counts.reshape(shape)


def segmentation_scores(confusion: np.ndarray) -> SegmentationScores:
    """Score (19, 19) counts; classes that never occur count with an IoU of 0."""
    total = int(confusion.sum())
    if not total:
        return SegmentationScores(*[float("nan")] * 3)
    iou = class_iou(confusion)
    weights = CLASS_WEIGHTS / CLASS_WEIGHTS.mean()
    return SegmentationScores(
        float(np.trace(confusion) / total), float(iou.mean()), float((weights * iou).mean())
    )
