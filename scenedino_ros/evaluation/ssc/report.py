# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Scores and tables of SSCBench-KITTI-360 from counts, our rows beside the published ones."""

from typing import Any

import numpy as np

from scenedino_ros.core.metrics import (
    by_predicted_class,
    class_iou,
    geometry_scores,
    hungarian_columns,
    mean_iou,
    weighted_mean_iou,
)
from scenedino_ros.evaluation.published import S4C_CLASSES, SSC_ROWS
from scenedino_ros.evaluation.result import Cell, Summary, Table
from scenedino_ros.evaluation.run_folder import Counts
from scenedino_ros.evaluation.runner import Finished
from scenedino_ros.evaluation.ssc.classes import CLASS_WEIGHTS, EVAL16
from scenedino_ros.evaluation.ssc.evaluation import SscEvaluation
from scenedino_ros.evaluation.ssc.figures import ssc_plots
from scenedino_ros.evaluation.ssc.ranges import (
    RANGE_KEYS,
    geometry_by_range,
    geometry_cells,
    geometry_columns,
    percent,
    range_columns,
)
from scenedino_ros.evaluation.ssc.scores import SWEEP

Row = list[Cell]
_FULL = len(RANGE_KEYS) - 1  # the range that the matching is fitted on
_OURS, _PUBLISHED = "by true class", "by predicted class (published order)"


def ssc_summary(evaluation: SscEvaluation, finished: Finished) -> Summary:
    """Return scores, tables and plots.

    The scores are ``scores["network"][THRESHOLD][RULE]`` and ``scores["baselines"][BASELINE]``.
    THRESHOLD is a density such as ``0.2``. RULE is ``geometry``, which depends on density alone,
    and, where the network names classes, ``direct`` and ``hungarian``, without and with the
    matching of classes, in which sky counts as empty. BASELINE is a key of
    `SscEvaluation.baselines`. Each has ``["iou" | "precision" | "recall"][RANGE]``; where there
    are classes also ``["miou"][RANGE]`` and ``["class_iou"][CLASS][RANGE]``. RANGE is ``12.8``,
    ``25.6`` or ``51.2``.
    """
    total, scope = finished.total, finished.scope
    scores = _scores(evaluation, total)
    columns = _matching(evaluation, total["semantic"][0]) if evaluation.has_semantics else None
    tables = [_main_table(evaluation, scores, scope)] if columns is not None else []
    tables.append(_geometry_table(evaluation, scores, scope))
    if columns is not None:
        tables += [
            _class_table(evaluation, total, columns),
            _weighted_table(total, columns, scope),
            _matching_table(total, columns),
        ]
    tables.append(_sweep_table(total, scope))
    return Summary(
        scores,
        tables,
        _notes(evaluation),
        ssc_plots(finished.folder.path, total, columns, published=evaluation.is_benchmark),
        {"keep_empty": evaluation.choices.keep_empty},
    )


def semantic_scores(confusions: np.ndarray, columns: np.ndarray | None = None) -> dict[str, Any]:
    """Return mIoU and geometry at each range, and the IoU of each class.

    Args:
        confusions: (3, 16, 16) counts of one prediction.
        columns: The matching, which does not change the geometry; None: classes as predicted.
    """
    matched = confusions if columns is None else confusions[..., columns]
    ious = np.stack([class_iou(confusion) for confusion in matched], axis=1)
    return {
        "miou": dict(zip(RANGE_KEYS, map(mean_iou, matched), strict=True)),
        **geometry_by_range(confusions),
        "class_iou": {
            name: dict(zip(RANGE_KEYS, values, strict=True))
            for name, values in zip(EVAL16.names[1:], ious[1:].tolist(), strict=True)
        },
    }


def _scores(evaluation: SscEvaluation, total: Counts) -> dict[str, Any]:
    network: dict[str, Any] = {}
    for number, threshold in enumerate(evaluation.thresholds):
        rules: dict[str, Any] = {"geometry": geometry_by_range(total["geometry"][number])}
        if evaluation.has_semantics:
            confusions = total["semantic"][number]
            rules["direct"] = semantic_scores(confusions)
            rules["hungarian"] = semantic_scores(confusions, _matching(evaluation, confusions))
        network[f"{threshold:g}"] = rules
    score = semantic_scores if evaluation.has_semantics else geometry_by_range
    names = evaluation.baselines()
    baselines = zip(names, total["baselines"], strict=True) if names else ()
    return {"network": network, "baselines": {key: score(c) for key, c in baselines}}


def _matching(evaluation: SscEvaluation, confusions: np.ndarray) -> np.ndarray:
    """Return the (16,) predicted class of each class, fitted on the full range."""
    return hungarian_columns(confusions[_FULL], keep_empty=evaluation.choices.keep_empty)


def _semantic_row(name: str, scores: dict[str, Any]) -> Row:
    return [name, *percent(scores["miou"]), *geometry_cells(scores)]


def _main_table(evaluation: SscEvaluation, scores: dict[str, Any], scope: str) -> Table:
    rows: list[Row] = []
    for threshold, rules in scores["network"].items():
        ours = f"this run, density >= {threshold}"
        rows.append(_semantic_row(f"{ours}, direct ({scope})", rules["direct"]))
        rows.append(_semantic_row(f"{ours}, Hungarian ({scope})", rules["hungarian"]))
    for key, name in evaluation.baselines().items():
        rows.append(_semantic_row(f"{name} ({scope})", scores["baselines"][key]))
    for p in SSC_ROWS:
        rows.append([f"published: {p.method}", *p.miou, *p.iou, *p.precision, *p.recall])
    notes = [
        "mIoU is the sum over 15 classes divided by 15, whether a class occurs or not. *Direct*: "
        "classes as the checkpoint names them. *Hungarian*: classes matched once more, on the "
        "confusion of the full range; geometry does not change.",
    ]
    if not evaluation.is_benchmark:
        notes.insert(
            0,
            f"**Published rows are about the 2566 frames of SSCBench-KITTI-360 test; this run is "
            f"about {evaluation.dataset}. They cannot be compared.**",
        )
    columns = ["", *range_columns(["mIoU"]), *geometry_columns()]
    return Table("Semantic scene completion, %", columns, rows, notes)


def _geometry_table(evaluation: SscEvaluation, scores: dict[str, Any], scope: str) -> Table:
    rows: list[Row] = []
    for threshold, rules in scores["network"].items():
        name = f"density >= {threshold} ({scope})"
        rows.append([f"geometry alone, {name}", *geometry_cells(rules["geometry"])])
        if evaluation.has_semantics:
            rows.append([f"sky is empty, {name}", *geometry_cells(rules["direct"])])
    if not evaluation.has_semantics:
        for key, name in evaluation.baselines().items():
            rows.append([f"{name} ({scope})", *geometry_cells(scores["baselines"][key])])
    note = (
        "*Geometry alone*: a voxel is occupied if it is dense enough. *Sky is empty*: the rule of "
        "the benchmark, by which a dense voxel that is called sky or rider counts as empty."
    )
    return Table("Geometry, and the effect of sky, %", ["", *geometry_columns()], rows, [note])


def _weighted_table(total: Counts, columns: np.ndarray, scope: str) -> Table:
    confusions = total["semantic"][0]
    orders = {
        "direct": confusions,
        f"Hungarian, {_OURS}": confusions[..., columns],
        f"Hungarian, {_PUBLISHED}": [by_predicted_class(c, columns) for c in confusions],
    }
    rows: list[Row] = [
        [
            f"{name} ({scope})",
            *(100 * mean_iou(confusion) for confusion in matched),
            *(100 * weighted_mean_iou(confusion, CLASS_WEIGHTS) for confusion in matched),
        ]
        for name, matched in orders.items()
    ]
    note = (
        "The published code orders what it has matched by predicted class: the weight of a class "
        "then meets the IoU of the class that is matched to this prediction. Its mIoU is the same "
        "unless empty is matched to something else."
    )
    heads = range_columns(["mIoU", "weighted mIoU"])
    return Table("Weighted mIoU, in both orders, %", ["", *heads], rows, [note])


def _class_table(evaluation: SscEvaluation, total: Counts, columns: np.ndarray) -> Table:
    confusions = total["semantic"][0]
    direct = [100 * class_iou(c) for c in confusions]
    matched = [100 * class_iou(c[:, columns]) for c in confusions]
    by_prediction = [100 * class_iou(by_predicted_class(c, columns)) for c in confusions]
    present = confusions[_FULL].sum(axis=1)
    seen = confusions[_FULL][:, 1:].sum(axis=1)
    rows: list[Row] = []
    for c, name in enumerate(EVAL16.names[1:], start=1):
        recall = 100 * float(seen[c]) / float(present[c]) if present[c] else None
        share = 100 * float(present[c]) / float(max(present[1:].sum(), 1))
        ours = [iou[c] for iou in (*direct, *matched, *by_prediction)]
        published = S4C_CLASSES[c - 1] if evaluation.is_benchmark else ()
        rows.append([name, *map(float, ours), *published, recall, share])
    heads = ["direct", f"Hungarian, {_OURS},", f"Hungarian, {_PUBLISHED},"]
    heads += ["S4C, published,"] if evaluation.is_benchmark else []
    note = (
        "*By true class*: the row of a class has its own IoU. *By predicted class*: the row of a "
        "class has the IoU of the class that is matched to this prediction, which is how the "
        "published code prints its rows. "
        "*Seen as anything*: share of a class's voxels that are predicted occupied, whatever they "
        "are called. *Share*: of the occupied voxels that are scored. A class that neither occurs "
        "nor is predicted counts as 0."
    )
    return Table(
        "IoU of classes, %",
        [
            "class",
            *range_columns(heads),
            "seen as anything 51.2 m",
            "share 51.2 m",
        ],
        rows,
        [note],
    )


def _matching_table(total: Counts, columns: np.ndarray) -> Table:
    confusion = total["semantic"][0, _FULL]
    rows = [
        [EVAL16.names[c], EVAL16.names[columns[c]], int(confusion[c, columns[c]])]
        for c in range(len(EVAL16))
    ]
    notes = []
    if columns[0] != 0:
        notes.append(
            f"**Empty is matched to {EVAL16.names[columns[0]]}: then the Hungarian mIoU means "
            "little. --keep-empty matches occupied classes among themselves, which deviates from "
            "the published evaluation.**"
        )
    return Table("Hungarian matching, 51.2 m", ["class", "predicted", "voxels"], rows, notes)


def _sweep_table(total: Counts, scope: str) -> Table:
    rows: list[Row] = []
    for threshold, confusion in zip(SWEEP, total["sweep"], strict=True):
        scores = geometry_scores(confusion)
        values = (100 * scores.iou, 100 * scores.precision, 100 * scores.recall)
        rows.append([f"{threshold:g}", *values])
    columns = ["density [1/m]", "IoU", "precision", "recall"]
    return Table(f"Geometry alone over thresholds, 51.2 m, % ({scope})", columns, rows)


def _notes(evaluation: SscEvaluation) -> list[str]:
    notes = [
        "Counts are summed over all frames before anything is divided. Scored are voxels that are "
        "labelled and whose centre the camera sees; empty ones below the street are not.",
    ]
    if not evaluation.has_semantics:
        notes.append("The checkpoint has no semantic head: geometry alone is scored.")
    if "untrained" in evaluation.network.describe():
        notes.append("The weights are untrained: these numbers only show that the command works.")
    return [*evaluation.data.check(), *notes]
