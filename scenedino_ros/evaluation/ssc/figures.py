# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Plots of a run on SSCBench-KITTI-360."""

from pathlib import Path

import numpy as np

from scenedino_ros.core.metrics import class_iou, geometry_scores
from scenedino_ros.evaluation.published import S4C_CLASSES
from scenedino_ros.evaluation.result import Figure
from scenedino_ros.evaluation.run_folder import Counts
from scenedino_ros.evaluation.ssc import rules as ssc
from scenedino_ros.evaluation.ssc.classes import EVAL16
from scenedino_ros.evaluation.ssc.scores import SLAB, SWEEP
from scenedino_ros.viewing.plots import bar_plot, confusion_plot, line_plot


def ssc_plots(
    folder: Path, total: Counts, columns: np.ndarray | None, *, published: bool
) -> list[Figure]:
    """Draw plots into the folder of a run.

    Args:
        folder: The folder.
        total: Summed counts, see `count_frame`.
        columns: The matching, or None where the network names no classes.
        published: Whether the published numbers are about the same frames.
    """
    figures = [_range_plot(folder, total), _sweep_plot(folder, total)]
    if columns is None:
        return figures
    direct, matched = total["semantic"][0, -1], total["semantic"][0, -1][:, columns]
    title = "Confusion at 51.2 m after Hungarian matching"
    confusion_plot(folder / "confusion.png", matched, EVAL16.names, title=title)
    return [
        _class_plot(folder, direct, matched, published=published),
        *figures,
        Figure("confusion.png", f"{title}, each row in percent"),
    ]


def _class_plot(
    folder: Path, direct: np.ndarray, matched: np.ndarray, *, published: bool
) -> Figure:
    series = {"direct": 100 * class_iou(direct)[1:], "Hungarian": 100 * class_iou(matched)[1:]}
    if published:
        series["S4C, published"] = np.array(S4C_CLASSES)[:, -1]
    bar_plot(folder / "classes.png", EVAL16.names[1:], series, unit="IoU at 51.2 m, %")
    return Figure("classes.png", "IoU of each class at 51.2 m")


def _range_plot(folder: Path, total: Counts) -> Figure:
    step = SLAB * ssc.GRID.voxel_size
    middles = (np.arange(len(total["slabs"])) + 0.5) * step
    slabs = [100 * geometry_scores(confusion).iou for confusion in total["slabs"]]
    boxes = [100 * geometry_scores(confusion).iou for confusion in total["semantic"][0]]
    line_plot(
        folder / "range.png",
        {
            f"slabs of {step:g} m, full width": (middles, slabs),
            "boxes of the benchmark": (ssc.RANGES, boxes),
        },
        x_label="distance ahead, m",
        y_label="IoU of geometry, %",
    )
    return Figure("range.png", "IoU of occupied against free over the distance ahead")


def _sweep_plot(folder: Path, total: Counts) -> Figure:
    scores = [geometry_scores(confusion) for confusion in total["sweep"]]
    names = ("iou", "precision", "recall")
    lines = {name: (SWEEP, [100 * getattr(score, name) for score in scores]) for name in names}
    lines["IoU"] = lines.pop("iou")
    line_plot(
        folder / "thresholds.png",
        lines,
        x_label="density from which a voxel is occupied, 1/m",
        y_label="geometry alone at 51.2 m, %",
        logarithmic=True,
    )
    return Figure("thresholds.png", "Geometry alone over the threshold of density")
