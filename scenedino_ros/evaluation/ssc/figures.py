"""Plots and panels of a run on SSCBench-KITTI-360."""

from typing import TYPE_CHECKING

import numpy as np

from scenedino_ros.core.errors import InputError
from scenedino_ros.core.metrics import class_iou, geometry_scores
from scenedino_ros.evaluation.published import S4C_CLASSES
from scenedino_ros.evaluation.result import Figure
from scenedino_ros.evaluation.run_folder import Counts, RunFolder
from scenedino_ros.evaluation.speed import Stopwatch
from scenedino_ros.evaluation.ssc import rules as ssc
from scenedino_ros.evaluation.ssc.classes import EVAL16
from scenedino_ros.evaluation.ssc.scores import SLAB, SWEEP
from scenedino_ros.evaluation.tiles import spread
from scenedino_ros.evaluation.voxel_panel import class_voxels, occupied_voxels, voxel_panel
from scenedino_ros.viewing.pictures import write_png
from scenedino_ros.viewing.plots import bar_plot, confusion_plot, line_plot

if TYPE_CHECKING:
    from scenedino_ros.evaluation.ssc.counting import SscEvaluation


def ssc_figures(
    evaluation: "SscEvaluation", folder: RunFolder, total: Counts, columns: np.ndarray | None
) -> list[Figure]:
    """Draw plots and panels into the folder of a run.

    Args:
        evaluation: What was evaluated.
        folder: The run.
        total: Summed counts, see `count_frame`.
        columns: The matching, or None where the network names no classes.
    """
    figures = [_range_plot(folder, total), _sweep_plot(folder, total)]
    if columns is not None:
        matched = total["semantic"][0, -1][:, columns]
        figures = [_class_plot(evaluation, folder, total["semantic"][0, -1], matched), *figures]
        title = "Confusion at 51.2 m after Hungarian matching"
        confusion_plot(folder.path / "confusion.png", matched, EVAL16.names, title=title)
        figures.append(Figure("confusion.png", f"{title}, each row in percent"))
    return [*figures, *_panels(evaluation, folder)]


def _class_plot(
    evaluation: "SscEvaluation", folder: RunFolder, direct: np.ndarray, matched: np.ndarray
) -> Figure:
    series = {"direct": 100 * class_iou(direct)[1:], "Hungarian": 100 * class_iou(matched)[1:]}
    if evaluation.is_benchmark:
        series["S4C, published"] = np.array(S4C_CLASSES)[:, -1]
    bar_plot(folder.path / "classes.png", EVAL16.names[1:], series, unit="IoU at 51.2 m, %")
    return Figure("classes.png", "IoU of each class at 51.2 m")


def _range_plot(folder: RunFolder, total: Counts) -> Figure:
    step = SLAB * ssc.GRID.voxel_size
    middles = (np.arange(len(total["slabs"])) + 0.5) * step
    slabs = [100 * geometry_scores(confusion).iou for confusion in total["slabs"]]
    boxes = [100 * geometry_scores(confusion).iou for confusion in total["semantic"][0]]
    line_plot(
        folder.path / "range.png",
        {
            f"slabs of {step:g} m, full width": (middles, slabs),
            "boxes of the benchmark": (ssc.RANGES, boxes),
        },
        x_label="distance ahead, m",
        y_label="IoU of geometry, %",
    )
    return Figure("range.png", "IoU of occupied against free over the distance ahead")


def _sweep_plot(folder: RunFolder, total: Counts) -> Figure:
    scores = [geometry_scores(confusion) for confusion in total["sweep"]]
    names = ("iou", "precision", "recall")
    lines = {name: (SWEEP, [100 * getattr(score, name) for score in scores]) for name in names}
    lines["IoU"] = lines.pop("iou")
    line_plot(
        folder.path / "thresholds.png",
        lines,
        x_label="density from which a voxel is occupied, 1/m",
        y_label="geometry alone at 51.2 m, %",
        logarithmic=True,
    )
    return Figure("thresholds.png", "Geometry alone over the threshold of density")


def _panels(evaluation: "SscEvaluation", folder: RunFolder) -> list[Figure]:
    predict, figures = evaluation.predictor(Stopwatch()), []
    for frame, _ in folder.counts(spread(evaluation.items(), evaluation.panels)):
        try:
            prediction, rgb = predict(frame), evaluation.data.image(frame)
            target = evaluation.data.target(frame)
        except InputError:
            continue  # a file went missing after it was counted: there is no picture of it
        density, threshold = prediction.density, evaluation.thresholds[0]
        if evaluation.has_semantics:
            classes = evaluation.network.classes
            grid = ssc.evaluated_prediction(prediction.label, density, classes, threshold)
            found = class_voxels(grid, predict.view)
        else:
            found = occupied_voxels(predict.view & (density >= threshold))
        drawing = voxel_panel(
            rgb,
            found,
            class_voxels(target, predict.view),
            title=frame,
            weights=evaluation.network.describe(),
        )
        file = f"panel_{frame.replace('/', '_')}.png"
        write_png(folder.path / file, drawing)
        figures.append(Figure(file, f"Input, prediction and ground truth of {frame}"))
    return figures
