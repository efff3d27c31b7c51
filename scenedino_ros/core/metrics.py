# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Scores from counts. Counts are summed over frames; scores are computed once, at the end."""

from dataclasses import dataclass

import numpy as np
from scipy.optimize import linear_sum_assignment

from scenedino_ros.core.errors import InputError


def confusion_matrix(target: np.ndarray, prediction: np.ndarray, n_classes: int) -> np.ndarray:
    """Count pairs of target and prediction.

    Args:
        target: Integer classes in [0, n_classes), any shape.
        prediction: Classes in the same range and shape.
        n_classes: Number of classes L.

    Returns:
        (L, L) int64, row = target, column = prediction.

    Raises:
        InputError: If shapes differ or a class is out of range.
    """
    if target.shape != prediction.shape:
        raise InputError(f"target {target.shape} and prediction {prediction.shape} must agree")
    target, prediction = target.reshape(-1), prediction.reshape(-1)
    for name, values in (("target", target), ("prediction", prediction)):
        if values.size and not 0 <= int(values.min()) <= int(values.max()) < n_classes:
            raise InputError(
                f"{name} classes must be 0..{n_classes - 1}, got {values.min()}..{values.max()}"
            )
    pairs = target.astype(np.int64) * n_classes + prediction
    return np.bincount(pairs, minlength=n_classes**2).reshape(n_classes, n_classes)


@dataclass(frozen=True)
class BinaryScores:
    """Geometry scores in [0, 1]; NaN where nothing was counted."""

    iou: float
    precision: float
    recall: float


def geometry_scores(confusion: np.ndarray) -> BinaryScores:
    """Score occupied (class > 0) against empty (class 0) from a confusion matrix."""
    true_positive = confusion[1:, 1:].sum()
    false_positive = confusion[0, 1:].sum()
    false_negative = confusion[1:, 0].sum()

    def ratio(total: int) -> float:
        return float(true_positive / total) if total else float("nan")

    return BinaryScores(
        ratio(true_positive + false_positive + false_negative),
        ratio(true_positive + false_positive),
        ratio(true_positive + false_negative),
    )


def class_iou(confusion: np.ndarray) -> np.ndarray:
    """Return (L,) intersection over union per class; 0 for classes that never occur."""
    hit = np.diag(confusion).astype(np.float64)
    union = confusion.sum(axis=0) + confusion.sum(axis=1) - np.diag(confusion)
    return np.divide(hit, union, out=np.zeros_like(hit), where=union > 0)


def mean_iou(confusion: np.ndarray) -> float:
    """Return the mean IoU over classes 1 .. L-1, absent classes counting as 0."""
    return float(class_iou(confusion)[1:].mean())


def weighted_mean_iou(confusion: np.ndarray, weights: np.ndarray) -> float:
    """Return the mean IoU over classes 1 .. L-1 with (L-1,) weights; absent classes count as 0."""
    return float((class_iou(confusion)[1:] * weights).sum() / weights.sum())


def hungarian_columns(confusion: np.ndarray, *, keep_empty: bool = False) -> np.ndarray:
    """Return the predicted class that is matched to each target class.

    Args:
        confusion: (L, L) counts, row = target.
        keep_empty: Whether class 0 stays class 0, and the others are matched among themselves.

    Returns:
        (L,) column per row that maximises the matched count. ``confusion[:, columns]`` is then in
        the order of the target classes.
    """
    if keep_empty:
        rest = linear_sum_assignment(confusion[1:, 1:], maximize=True)[1]
        return np.concatenate([[0], rest + 1])
    return linear_sum_assignment(confusion, maximize=True)[1]


def by_predicted_class(confusion: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """Return matched counts in the order of the published code: by predicted class.

    It moves the rows and not the columns, so the line of class c has the scores of the class that
    is matched to prediction c. Where empty is matched to something else, its mean over classes
    1 .. L-1 leaves out that class and not empty.

    Args:
        confusion: (L, L) counts, row = target.
        columns: (L,) predicted class of each target class, see `hungarian_columns`.

    Returns:
        (L, L) counts; the matched ones are on the diagonal.
    """
    return confusion[np.argsort(columns)]


def assign_clusters(confusion: np.ndarray) -> np.ndarray:
    """Assign a class to every cluster so that the matched count is largest.

    Every class gets at least one cluster. With as many clusters as classes this is the Hungarian
    matching; with more, the additional clusters take the class they overlap most.

    Args:
        confusion: (L, n) counts, row = target class, column = cluster, n >= L.

    Returns:
        (n,) class of each cluster.

    Raises:
        InputError: If there are fewer clusters than classes.
    """
    n_classes, n_clusters = confusion.shape
    if n_clusters < n_classes:
        raise InputError(f"{n_classes} classes need as many clusters, got {n_clusters}")
    # One square problem: a row per class, and rows in which a cluster takes its best class.
    best = confusion.argmax(axis=0)
    free = np.repeat(confusion.max(axis=0)[None], n_clusters - n_classes, axis=0)
    rows, columns = linear_sum_assignment(np.concatenate([confusion, free]), maximize=True)
    assignment = np.empty(n_clusters, dtype=np.int64)
    assignment[columns] = np.where(rows < n_classes, rows, best[columns])
    return assignment


def merge_clusters(confusion: np.ndarray, assignment: np.ndarray) -> np.ndarray:
    """Return the (L, L) confusion of (L, n) counts, clusters replaced by their classes."""
    merged = np.zeros((len(confusion),) * 2, dtype=confusion.dtype)
    np.add.at(merged.T, assignment, confusion.T)
    return merged
