"""Tables of SSCBench-KITTI-360 from counts, our rows beside the published ones."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

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
from scenedino_ros.evaluation.result import RunResult, Table, coverage
from scenedino_ros.evaluation.run_folder import Counts, RunFolder
from scenedino_ros.evaluation.ssc import rules as ssc
from scenedino_ros.evaluation.ssc.classes import CLASS_WEIGHTS, EVAL16
from scenedino_ros.evaluation.ssc.figures import ssc_figures
from scenedino_ros.evaluation.ssc.ranges import Row, geometry_columns, geometry_row
from scenedino_ros.evaluation.ssc.scores import SWEEP

if TYPE_CHECKING:
    from scenedino_ros.evaluation.ssc.counting import SscEvaluation

_METRES = [f"{metres:g} m" for metres in ssc.RANGES]
_FULL = len(ssc.RANGES) - 1  # the range that the matching is fitted on
_OURS, _PUBLISHED = "by true class", "by predicted class (published order)"


def ssc_result(
    evaluation: "SscEvaluation", folder: RunFolder, tell: Callable[[str], None]
) -> RunResult:
    """Return tables, plots and panels of what a run has counted."""
    items, missing = evaluation.items(), folder.missing(evaluation.items())
    done = len(items) - len(missing)
    unknown = evaluation.data.unknown_frames() if evaluation.every == 1 else {}
    missing = {**missing, **unknown}
    total = folder.total(items)
    tables: list[Table] = []
    columns = None
    if total:
        columns = matching(evaluation, total)
        scope = coverage(done, len(items) + len(unknown), "frames")
        tables = ssc_tables(evaluation, total, columns, scope)
        tell("plots and panels")
    figures = ssc_figures(evaluation, folder, total, columns) if total else []
    return RunResult(
        kind=evaluation.kind,
        title="Semantic scene completion",
        dataset=evaluation.dataset,
        checkpoint=evaluation.network.describe(),
        settings={**evaluation.settings(), "keep_empty": evaluation.keep_empty},
        items=len(items) + len(unknown),
        unit="frames",
        missing=missing,
        tables=tables,
        notes=_notes(evaluation, columns),
        figures=figures,
        counts=total,
    )


def matching(evaluation: "SscEvaluation", total: Counts) -> np.ndarray | None:
    """Return the (16,) predicted class of each class, fitted on the full range; None: no classes.

    It is fitted on the main threshold.
    """
    if not evaluation.has_semantics:
        return None
    return hungarian_columns(total["semantic"][0, _FULL], keep_empty=evaluation.keep_empty)


def ssc_tables(
    evaluation: "SscEvaluation", total: Counts, columns: np.ndarray | None, scope: str
) -> list[Table]:
    """Return all tables.

    Args:
        evaluation: What was evaluated.
        total: Summed counts, see `count_frame`.
        columns: The matching, or None where the network names no classes.
        scope: How much was evaluated, such as ``2566 frames``; stands in every row of ours.
    """
    tables = [_main_table(evaluation, total, scope)] if columns is not None else []
    tables.append(_geometry_table(evaluation, total, scope))
    if columns is not None:
        tables += [
            _class_table(evaluation, total, columns),
            _weighted_table(total, columns, scope),
            _matching_table(total, columns),
        ]
    return [*tables, _sweep_table(total, scope)]


def semantic_row(name: str, confusions: np.ndarray, columns: np.ndarray | None = None) -> Row:
    """Return a row of the main table in percent: mIoU, then geometry.

    Args:
        name: What was scored.
        confusions: (3, 16, 16) counts of one prediction.
        columns: The matching, which geometry knows nothing of; None: classes as predicted.
    """
    matched = confusions if columns is None else confusions[..., columns]
    return [
        name,
        *(100 * mean_iou(confusion) for confusion in matched),
        *geometry_row(name, confusions)[1:],
    ]


def _main_table(evaluation: "SscEvaluation", total: Counts, scope: str) -> Table:
    rows: list[Row] = []
    for threshold, confusions in zip(evaluation.thresholds, total["semantic"], strict=True):
        ours = f"this run, density >= {threshold:g}"
        fitted = hungarian_columns(confusions[_FULL], keep_empty=evaluation.keep_empty)
        rows.append(semantic_row(f"{ours}, direct ({scope})", confusions))
        rows.append(semantic_row(f"{ours}, Hungarian ({scope})", confusions, fitted))
    for name, confusions in zip(evaluation.rows(), total.get("baselines", ()), strict=True):
        rows.append(semantic_row(f"{name} ({scope})", confusions))
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
    columns = ["", *(f"mIoU {metres}" for metres in _METRES), *geometry_columns()]
    return Table("Semantic scene completion, %", columns, rows, notes)


def _geometry_table(evaluation: "SscEvaluation", total: Counts, scope: str) -> Table:
    rows: list[Row] = []
    for number, threshold in enumerate(evaluation.thresholds):
        name = f"density >= {threshold:g} ({scope})"
        rows.append(geometry_row(f"geometry alone, {name}", total["geometry"][number]))
        if evaluation.has_semantics:
            rows.append(geometry_row(f"sky is empty, {name}", total["semantic"][number]))
    if not evaluation.has_semantics:
        for name, confusions in zip(evaluation.rows(), total.get("baselines", ()), strict=True):
            rows.append(geometry_row(f"{name} ({scope})", confusions))
    note = (
        "*Geometry alone*: occupied is what is dense enough. *Sky is empty*: the rule, "
        "of the benchmark, by which a dense voxel that is called sky or rider counts as empty."
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
    heads = [f"{kind} {metres}" for kind in ("mIoU", "weighted mIoU") for metres in _METRES]
    return Table("Weighted mIoU, in both orders, %", ["", *heads], rows, [note])


def _class_table(evaluation: "SscEvaluation", total: Counts, columns: np.ndarray) -> Table:
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
            *(f"{head} {metres}" for head in heads for metres in _METRES),
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


def _notes(evaluation: "SscEvaluation", columns: np.ndarray | None) -> Sequence[str]:
    notes = [
        "Counts are summed over all frames before anything is divided. Scored are voxels that are "
        "labelled and whose centre the camera sees; empty ones below the street are not.",
    ]
    if columns is None:
        notes.append("The checkpoint has no semantic head: geometry alone is scored.")
    if "untrained" in evaluation.network.describe():
        notes.append("The weights are untrained: these numbers show that the command works.")
    return [*evaluation.data.check(), *notes]
