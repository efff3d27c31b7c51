# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""SSCBench-KITTI-360 against golden vectors: geometry, labels, aggregation, counts and scores."""

import re
from collections.abc import Callable

import numpy as np
import pytest
import torch
from conditioning import undecided_pixels
from golden_arrays import close as golden_close

from scenedino_ros.cameras.camera import PinholeCamera
from scenedino_ros.core.labels import CITYSCAPES19, IGNORE
from scenedino_ros.core.metrics import (
    by_predicted_class,
    class_iou,
    geometry_scores,
    hungarian_columns,
    mean_iou,
    weighted_mean_iou,
)
from scenedino_ros.core.voxels import VoxelGrid
from scenedino_ros.evaluation.ssc import rules as ssc
from scenedino_ros.evaluation.ssc.classes import CLASS_WEIGHTS, ssc20_labels
from scenedino_ros.evaluation.ssc.prediction import SscPrediction, sample_offsets
from scenedino_ros.evaluation.ssc.scores import count_frame
from scenedino_ros.inference.grid_view import camera_points

pytestmark = pytest.mark.parity

Golden = dict[str, np.ndarray]
Load = Callable[[str], Golden]
RANGES = [f"{metres:g}" for metres in ssc.RANGES]


def close(ours: np.ndarray, expected: np.ndarray, atol: float = 1e-6) -> None:
    golden_close(torch.as_tensor(np.asarray(ours)), np.asarray(expected), rtol=0, atol=atol)


def unpacked(packed: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    return np.unpackbits(packed)[: int(np.prod(shape))].astype(bool).reshape(shape)


def cases(names: Golden, pattern: str) -> list[str]:
    """Return what the group of a pattern is in the names of arrays, each once."""
    return sorted({match[1] for name in names if (match := re.fullmatch(pattern, name))})


def test_grid_and_camera(golden_scores: Load) -> None:
    g = golden_scores("grid_geometry")
    np.testing.assert_array_equal(ssc.CAMERA.K, g["K"])
    close(np.linalg.inv(ssc.T_VELO_CAM), g["T_velo_to_cam"], atol=1e-9)
    centers = ssc.GRID.centers()[tuple(g["index"].T)]
    close(centers, g["velo_xyz"], atol=1e-5)
    cam = (centers - ssc.T_VELO_CAM[:3, 3]) @ np.linalg.inv(ssc.T_VELO_CAM)[:3, :3].T
    close(cam, g["cam_xyz"], atol=1e-5)


def test_view_mask(golden_scores: Load) -> None:
    g = golden_scores("grid_geometry")
    mask = unpacked(g["fov_mask_packed"], ssc.GRID.shape)
    assert mask.sum() == int(g["fov_count"])
    np.testing.assert_array_equal(mask[tuple(g["index"].T)], g["in_fov"])
    same_where_decided(ssc.view_mask(), mask, ssc.GRID, ssc.T_VELO_CAM, ssc.CAMERA)


def same_where_decided(
    ours: np.ndarray,
    golden: np.ndarray,
    grid: VoxelGrid,
    T_grid_cam: np.ndarray,
    camera: PinholeCamera,
) -> None:
    """Compare masks at the voxels that no rounding moves over the border of the image."""
    points = camera_points(grid, T_grid_cam).astype(np.float64)
    decided = ~undecided_pixels(points, camera).reshape(grid.shape)
    assert decided.mean() > 0.999
    np.testing.assert_array_equal(ours[decided], golden[decided])


def test_view_mask_of_another_camera(golden_scores: Load) -> None:
    g = golden_scores("grid_geometry")
    origin, shape = tuple(g["alt_origin"].tolist()), tuple(g["alt_shape"].tolist())
    width, height = g["alt_wh"].tolist()
    grid = VoxelGrid(origin, shape, float(g["alt_voxel"]))
    T_grid_cam, camera = np.linalg.inv(g["alt_T"]), PinholeCamera(g["alt_K"], width, height)
    golden = unpacked(g["alt_fov_packed"], shape)
    assert golden.sum() == int(g["alt_fov_count"])
    ours = ssc.view_mask(grid, T_grid_cam, camera)
    same_where_decided(ours, golden, grid, T_grid_cam, camera)


def test_samples_within_voxels(golden_scores: Load) -> None:
    g = golden_scores("grid_geometry")
    voxel, sample = np.divmod(g["sub_index"], 2)
    offsets = sample_offsets(2)[np.ravel_multi_index(tuple(sample.T), (2, 2, 2))]
    points = ssc.GRID.centers()[tuple(voxel.T)] + offsets
    T_cam_velo = np.linalg.inv(ssc.T_VELO_CAM)
    close(points @ T_cam_velo[:3, :3].T + T_cam_velo[:3, 3], g["sub_cam_xyz"], atol=1e-5)


def test_label_maps(golden_scores: Load) -> None:
    g = golden_scores("label_maps")
    np.testing.assert_array_equal(CITYSCAPES19.ssc_lookup[:19], g["cityscapes19_to_eval"])
    np.testing.assert_array_equal(CLASS_WEIGHTS, g["eval_weights"])
    raw = np.arange(len(g["raw_to_ssc20"]), dtype=np.uint16)
    np.testing.assert_array_equal(ssc20_labels(raw, np.zeros_like(raw)), g["raw_to_ssc20"])
    np.testing.assert_array_equal(ssc20_labels(g["ex_raw"], g["ex_invalid"]), g["ex_ssc20"])
    target = ssc.evaluated_target(g["ex_ssc20"])
    # The example is before the voxels below the street are left out.
    changed = target != g["ex_eval"]
    assert (target[changed] == IGNORE).all()
    assert (g["ex_eval"][changed] == 0).all()


def test_samples_are_combined(golden_scores: Load) -> None:
    g = golden_scores("aggregation")
    for case in cases(g, r"(x\d+)_seg19"):
        r = int(case[1:])
        shape = np.array(g[f"{case}_seg19"].shape) // r

        def per_voxel(samples: np.ndarray, r: int = r, shape: np.ndarray = shape) -> np.ndarray:
            x, y, z = shape
            blocks = samples.reshape(x, r, y, r, z, r).transpose(0, 2, 4, 1, 3, 5)
            return blocks.reshape(-1, r**3)

        sigma = g[f"{case}_sigma_table"][g[f"{case}_sigma_idx"]]
        label, density = ssc.combine_samples(
            per_voxel(g[f"{case}_seg19"]), per_voxel(sigma), ssc.GRID.voxel_size / r
        )
        # The golden block has one voxel more on each side, of the empty grid around it.
        label, density = (np.pad(grid.reshape(shape), 1) for grid in (label, density))
        np.testing.assert_array_equal(label, g[f"{case}_seg19_pooled"])
        np.testing.assert_array_equal(density, g[f"{case}_sigma_pooled"])
        np.testing.assert_array_equal(ssc.grow_densities(density), g[f"{case}_sigma_grown"])


@pytest.fixture(scope="module")
def frames(golden_scores: Load) -> tuple[Golden, dict[str, dict[str, np.ndarray]]]:
    """Return the golden frames and what this package counts in them."""
    g = golden_scores("ssc_frames")
    view = ssc.view_mask()
    counts = {}
    for frame in cases(g, r"(f\d+)_gt20"):
        density = ssc.grow_densities(g["sigma_table"][g[f"{frame}_sigma_idx"]])
        prediction = SscPrediction(g[f"{frame}_seg19"], density)
        target = ssc.evaluated_target(g[f"{frame}_gt20"])
        counts[frame] = count_frame(
            target, prediction, view, CITYSCAPES19, [ssc.DENSITY_THRESHOLD]
        )
    return g, counts


def quadruple(confusion: np.ndarray) -> list[int]:
    """Return true and false positives, true and false negatives of occupied against empty."""
    positive, false_positive = confusion[1:, 1:].sum(), confusion[0, 1:].sum()
    return [positive, false_positive, confusion[0, 0], confusion[1:, 0].sum()]


def test_targets_of_frames(golden_scores: Load) -> None:
    g = golden_scores("ssc_frames")
    for frame in cases(g, r"(f\d+)_gt20"):
        raw = g[f"{frame}_gt20"]
        target = ssc.evaluated_target(raw)
        np.testing.assert_array_equal(
            np.bincount(target.ravel(), minlength=256), g[f"{frame}_target_hist"]
        )
        newly = (target == IGNORE) & (raw != IGNORE)
        assert newly.sum() == int(g[f"{frame}_extra_invalid_count"])
        ignored = (target == IGNORE).sum(axis=(0, 1))
        np.testing.assert_array_equal(ignored, g[f"{frame}_target_z_sum"])
        np.testing.assert_array_equal(ssc.evaluated_target(with_ignored(raw, newly)), target)


def with_ignored(raw: np.ndarray, ignored: np.ndarray) -> np.ndarray:
    """Return labels that leave out already what is below the street."""
    return np.where(ignored, IGNORE, raw)


def test_counts_of_frames(frames: tuple) -> None:
    g, counts = frames
    for frame, ours in counts.items():
        for number, metres in enumerate(RANGES):
            confusion = ours["semantic"][0, number]
            assert confusion.dtype == np.int64
            np.testing.assert_array_equal(confusion, g[f"{frame}_{metres}_confusion_gt_by_pred"])
            expected = g[f"{frame}_{metres}_counts_tp_fp_tn_fn"].tolist()
            assert quadruple(confusion) == expected


def test_predictions_of_frames(golden_scores: Load) -> None:
    g = golden_scores("ssc_frames")
    for frame in cases(g, r"(f\d+)_gt20"):
        density = ssc.grow_densities(g["sigma_table"][g[f"{frame}_sigma_idx"]])
        grid = ssc.evaluated_prediction(g[f"{frame}_seg19"], density, CITYSCAPES19)
        expected = g[f"{frame}_pred_hist"]
        np.testing.assert_array_equal(np.bincount(grid.ravel(), minlength=16), expected)


def test_sums_and_scores_of_frames(frames: tuple) -> None:
    g, counts = frames
    total = sum(ours["semantic"][0] for ours in counts.values())
    matched = total[..., hungarian_columns(total[-1])]
    assert hungarian_columns(total[-1]).tolist() == g["hungarian_cols"].tolist()
    for number, metres in enumerate(RANGES):
        confusion = total[number]
        np.testing.assert_array_equal(confusion, g[f"sum_{metres}_confusion_gt_by_pred"])
        seen, present = confusion[1:, 1:].sum(axis=1), confusion[1:].sum(axis=1)
        expected = g[f"sum_{metres}_class_occupancy_recall_num_den"]
        np.testing.assert_array_equal([seen, present], expected)
        check_table(g["direct_table_19x3"][:, number], confusion)
        published = by_predicted_class(confusion, hungarian_columns(total[-1]))
        check_table(g["hungarian_table_19x3"][:, number], published, confusion)
        close(class_iou(matched[number]), g[f"gtorder_{metres}_per_class_iou_16"])
        close(mean_iou(matched[number]), g[f"gtorder_{metres}_miou_1to15"])
    direct = weighted_mean_iou(total[-1], CLASS_WEIGHTS)
    close(direct, g["direct_weighted_miou_51.2"])
    close(weighted_mean_iou(published, CLASS_WEIGHTS), g["hungarian_weighted_miou_51.2"])


def check_table(
    table: np.ndarray, confusion: np.ndarray, geometry: np.ndarray | None = None
) -> None:
    """Hold IoU, precision, recall, mIoU and class IoUs to a golden column of 19 numbers."""
    scores = geometry_scores(confusion if geometry is None else geometry)
    close([scores.iou, scores.precision, scores.recall], table[:3])
    ious = class_iou(confusion)
    close(ious[1:], np.nan_to_num(table[4:]))
    close(ious[1:].sum() / 15, table[3])


def test_matchings(golden_scores: Load) -> None:
    g = golden_scores("hungarian")
    for case in cases(g, r"(sq\d+)_rows"):
        counts, columns = g[f"{case}_C"], hungarian_columns(g[f"{case}_C"])
        assert counts[np.arange(len(counts)), columns].sum() == int(g[f"{case}_objective"])
    for case in cases(g, r"(fin_\w+)_cols"):
        confusions = [g[f"{case}_{metres}_C"] for metres in RANGES]
        columns = hungarian_columns(confusions[-1])
        assert columns.tolist() == g[f"{case}_cols"].tolist()
        direct = np.array([[mean_iou(c), *class_iou(c)[1:]] for c in confusions]).T
        close(direct, np.nan_to_num(g[f"{case}_direct_miou_and_per_class_16x3"]))
        wmiou = weighted_mean_iou(confusions[-1], CLASS_WEIGHTS)
        close(wmiou, g[f"{case}_direct_wmiou_51.2"])
        expected = g[f"{case}_hungarian_miou_and_per_class_16x3"]
        for number, confusion in enumerate(confusions):
            published = by_predicted_class(confusion, columns)
            close(class_iou(published)[1:], np.nan_to_num(expected[1:, number]))
            close(mean_iou(published), expected[0, number])
        weighted = weighted_mean_iou(published, CLASS_WEIGHTS)
        close(weighted, g[f"{case}_hungarian_wmiou_51.2"])


def test_empty_stays_empty_on_request(golden_scores: Load) -> None:
    g = golden_scores("hungarian")
    moved = g["fin_empty_moved_51.2_C"]
    assert hungarian_columns(moved)[0] != 0
    columns = hungarian_columns(moved, keep_empty=True)
    assert columns[0] == 0
    assert sorted(columns.tolist()) == list(range(16))
