# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Grids, benchmark rules and scores, against answers worked out by hand."""

import numpy as np
import pytest

from scenedino_ros.core.errors import InputError
from scenedino_ros.core.labels import CITYSCAPES19
from scenedino_ros.core.metrics import (
    class_iou,
    confusion_matrix,
    geometry_scores,
    hungarian_columns,
    mean_iou,
)
from scenedino_ros.core.voxels import SemanticVoxels, VoxelGrid
from scenedino_ros.evaluation.ssc import rules as ssc


def small_voxels() -> SemanticVoxels:
    """Return three occupied voxels of a 2 x 3 x 4 grid."""
    grid = VoxelGrid((1.0, -1.0, 0.0), (2, 3, 4), 0.5)
    index = np.array([0, 5, 23])
    return SemanticVoxels(
        grid,
        index,
        np.array([0, 13, 8], np.uint8),
        np.array([0.5, 0.6, 0.7], np.float32),
        np.array([1.0, 2.0, 3.0], np.float32),
    )


def test_centres_lie_half_a_voxel_inside() -> None:
    voxels = small_voxels()
    expected = [[1.25, -0.75, 0.25], [1.25, -0.25, 0.75], [1.75, 0.25, 1.75]]
    np.testing.assert_allclose(voxels.centers(), expected)
    np.testing.assert_allclose(
        voxels.grid.centers().reshape(-1, 3)[voxels.index], voxels.centers()
    )


def test_centres_far_from_the_origin_are_as_exact() -> None:
    far = np.array([500_000.0, 5_400_000.0, 0.0])  # as in UTM
    near, voxels = (
        SemanticVoxels(
            VoxelGrid(tuple(origin), (4, 4, 4), 0.2),
            np.arange(64),
            np.zeros(64, np.uint8),
            np.ones(64, np.float32),
            np.ones(64, np.float32),
        )
        for origin in (0 * far, far)
    )
    np.testing.assert_allclose(voxels.centers() - far, near.centers(), atol=1e-8)


def test_dense_and_sparse_forms_agree() -> None:
    voxels = small_voxels()
    assert np.flatnonzero(voxels.occupied()).tolist() == [0, 5, 23]
    labels = voxels.label_grid(empty=255)
    assert labels[0, 1, 1] == 13
    assert (labels == 255).sum() == 21
    chosen = voxels.select(voxels.density > 1.5)
    assert chosen.label.tolist() == [13, 8]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (((0.0, 0.0), (1, 1, 1), 0.2), "origin must be 3 finite metres"),
        (((0.0, 0.0, np.inf), (1, 1, 1), 0.2), "origin must be 3 finite metres"),
        (((0.0, 0.0, 1e30), (1, 1, 1), 0.2), r"within \+-1e\+09, got"),
        (((0.0, 0.0, 0.0), (1, 0, 1), 0.2), "three counts >= 1"),
        (((0.0, 0.0, 0.0), (4096, 4096, 4096), 0.2), "at most 268435456 voxels, got"),
        (((0.0, 0.0, 0.0), (1, 1, 1), 0.0), "voxel_size must be > 0 m, got 0.0"),
    ],
)
def test_grids_without_volume_are_refused(arguments: tuple, message: str) -> None:
    with pytest.raises(InputError, match=message):
        VoxelGrid(*arguments)


def test_benchmark_prediction_rules() -> None:
    label = np.array([13, 13, 10, 12, 0], np.uint8).reshape(1, 1, 5)
    density = np.array([0.2, 0.1999, 9.0, 9.0, 9.0], np.float32).reshape(1, 1, 5)
    result = ssc.evaluated_prediction(label, density, CITYSCAPES19)
    # car at the threshold stays, below it goes; sky and rider are empty at any density.
    assert result.ravel().tolist() == [1, 0, 0, 0, 7]


def test_benchmark_labels_ignore_what_lies_below_the_street() -> None:
    labels = np.zeros((1, 2, 12), np.uint8)
    labels[0, 0, 3] = 8
    labels[0, 0, 1] = 255
    target = ssc.evaluated_target(labels)
    assert target[0, 0].tolist() == [255, 255, 255, 8, 0, 0, 0, 0, 0, 0, 0, 0]
    assert target[0, 1].tolist() == [255] * 7 + [0] * 5
    with pytest.raises(InputError, match=r"must be 0..19 or 255, got \[77\]"):
        ssc.evaluated_target(np.full((1, 1, 1), 77))


def test_benchmark_ranges_are_nested_boxes() -> None:
    sizes = [np.zeros(ssc.GRID.shape)[ssc.range_crop(r)].shape for r in ssc.RANGES]
    assert sizes == [(64, 64, 32), (128, 128, 32), (256, 256, 32)]
    with pytest.raises(InputError, match="range must be one of"):
        ssc.range_crop(30.0)


def test_scores_of_a_hand_made_confusion() -> None:
    target = np.array([0, 0, 0, 1, 1, 2])
    prediction = np.array([0, 1, 2, 1, 0, 2])
    confusion = confusion_matrix(target, prediction, 4)
    assert confusion.tolist() == [[1, 1, 1, 0], [1, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 0]]
    scores = geometry_scores(confusion)
    assert (scores.iou, scores.precision, scores.recall) == (2 / 5, 2 / 4, 2 / 3)
    np.testing.assert_allclose(class_iou(confusion), [1 / 4, 1 / 3, 1 / 2, 0])
    assert mean_iou(confusion) == pytest.approx((1 / 3 + 1 / 2 + 0) / 3)
    assert np.isnan(geometry_scores(np.diag([5, 0])).iou)


def test_published_mean_over_fifteen_classes() -> None:
    # Per-class IoU of S4C at 12.8 m (Hayler et al., 2023); their mean is the published 16.94.
    rows = [22.58, 0, 0, 7.51, 0, 0, 69.38, 45.03, 26.34, 9.70, 35.78, 35.03, 1.23, 1.57, 0]
    assert np.mean(rows) == pytest.approx(16.94, abs=0.01)


def test_counts_of_parts_add_up() -> None:
    rng = np.random.default_rng(0)
    target, prediction = rng.integers(0, 16, (2, 5000))
    whole = confusion_matrix(target, prediction, 16)
    parts = sum(
        confusion_matrix(t, p, 16)
        for t, p in zip(np.split(target, 5), np.split(prediction, 5), strict=True)
    )
    np.testing.assert_array_equal(whole, parts)


def test_matching_undoes_a_permutation() -> None:
    rng = np.random.default_rng(1)
    target = rng.integers(0, 16, 5000)
    permutation = rng.permutation(16)
    columns = hungarian_columns(confusion_matrix(target, permutation[target], 16))
    np.testing.assert_array_equal(columns, permutation)


def test_impossible_classes_are_refused() -> None:
    with pytest.raises(InputError, match=r"prediction classes must be 0..3, got 0..4"):
        confusion_matrix(np.zeros(2, int), np.array([0, 4]), 4)
    with pytest.raises(InputError, match="must agree"):
        confusion_matrix(np.zeros(2, int), np.zeros(3, int), 4)
