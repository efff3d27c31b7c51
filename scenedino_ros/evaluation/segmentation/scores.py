# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Accuracy and IoU of maps of classes, from counts of pixels, and their tables."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from scenedino_ros.core.errors import InputError
from scenedino_ros.core.labels import CITYSCAPES19
from scenedino_ros.core.metrics import class_iou
from scenedino_ros.evaluation.result import Cell, Table

# Of the 19 classes of Cityscapes, where a mean is weighted; they are divided by their mean.
CLASS_WEIGHTS = np.array([4, 2, 2, 1, 1, 1, 1, 1, 2, 2, 1, 1, 1, 2, 1, 1, 1, 1, 1])


class SegmentationScores(NamedTuple):
    """Scores in [0, 1]; not a number where nothing was counted.

    Attributes:
        accuracy: Fraction of right pixels.
        miou: Mean IoU of the 19 classes.
        weighted_miou: The same with `CLASS_WEIGHTS`.
        iou: IoU of each class, by its name.
    """

    accuracy: float
    miou: float
    weighted_miou: float
    iou: dict[str, float]


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
    iou = class_iou(confusion)
    by_class = dict(zip(CITYSCAPES19.names, iou.tolist(), strict=True))
    if not total:
        nan = float("nan")
        return SegmentationScores(nan, nan, nan, by_class)
    weights = CLASS_WEIGHTS / CLASS_WEIGHTS.mean()
    return SegmentationScores(
        float(np.trace(confusion) / total),
        float(iou.mean()),
        float((weights * iou).mean()),
        by_class,
    )


def segmentation_tables(
    scores: Mapping[str, SegmentationScores], scope: str, published: Sequence[Sequence[Cell]] = ()
) -> list[Table]:
    """Return a table of accuracies and mean IoUs, and one of the IoU of each class.

    Args:
        scores: Scores by the name of what was scored.
        scope: How much was evaluated, such as ``500 images``; stands in every row of ours.
        published: Rows below ours in the first table.
    """
    rows: list[Sequence[Cell]] = [
        [f"{name} ({scope})", 100 * s.accuracy, 100 * s.miou, 100 * s.weighted_miou]
        for name, s in scores.items()
    ]
    classes: list[list[Cell]] = [
        [name, *(100 * s.iou[name] for s in scores.values())] for name in CITYSCAPES19.names
    ]
    return [
        Table(
            "Accuracy and mean IoU, %", ["", "Acc", "mIoU", "weighted mIoU"], [*rows, *published]
        ),
        Table(f"IoU of each class, % ({scope})", ["", *scores], classes),
    ]
