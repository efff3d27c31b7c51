# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Scores, tables and plots of an evaluation of segmentation, from its counts."""

import numpy as np

from scenedino_ros.core.labels import CITYSCAPES19
from scenedino_ros.core.metrics import assign_clusters, merge_clusters
from scenedino_ros.evaluation.published import SEGMENTATION
from scenedino_ros.evaluation.result import Cell, Figure, Summary, Table
from scenedino_ros.evaluation.run_folder import Counts
from scenedino_ros.evaluation.runner import Finished
from scenedino_ros.evaluation.segmentation.cluster_maps import stored_assignment
from scenedino_ros.evaluation.segmentation.evaluation import SegmentationEvaluation
from scenedino_ros.evaluation.segmentation.scores import (
    segmentation_scores,
    segmentation_tables,
)
from scenedino_ros.viewing.plots import class_figures

_NAMES = {
    "matched": "clusters matched to classes",
    "stored": "classes as stored",
    "probe": "classes of the probe",
    "matched_crf": "matched, after CRF",
    "stored_crf": "classes as stored, after CRF",
    "probe_crf": "after CRF",
}


def segmentation_summary(evaluation: SegmentationEvaluation, finished: Finished) -> Summary:
    """Return scores, tables and plots.

    The scores are ``scores[WAY]["accuracy" | "miou" | "weighted_miou"]`` and
    ``scores[WAY]["iou"][CLASS]``, where WAY is one of `_NAMES`.
    """
    total = finished.total
    confusions = _confusions(evaluation, total)
    scores = {way: segmentation_scores(confusion) for way, confusion in confusions.items()}
    named = {_NAMES[way]: s for way, s in scores.items()}
    published: list[list[Cell]] = [
        [f"published, after CRF: {row.method}", row.accuracy, row.miou, None]
        for row in SEGMENTATION.get(evaluation.data.published or "", ())
    ]
    tables = segmentation_tables(named, finished.scope, published)
    if evaluation.has_clusters:
        tables.append(_assignment_table(evaluation, total["plain"]))
    by_name = {_NAMES[way]: confusion for way, confusion in confusions.items()}
    plots = [Figure(*plot) for plot in class_figures(finished.folder.path, by_name)]
    return Summary(
        {way: s._asdict() for way, s in scores.items()},
        tables,
        _notes(evaluation, total),
        plots,
    )


def _confusions(evaluation: SegmentationEvaluation, total: Counts) -> dict[str, np.ndarray]:
    """Return the (19, 19) counts of each way to score, by a key of `_NAMES`."""
    plain = total["plain"]
    if evaluation.has_clusters:
        stored = merge_clusters(plain, stored_assignment(evaluation.network))
        confusions = {"matched": _matched(plain), "stored": stored}
        if evaluation.choices.crf:
            confusions["matched_crf"] = _matched(total["crf"])
            confusions["stored_crf"] = total["crf"]
        return confusions
    return {"probe": plain, **({"probe_crf": total["crf"]} if evaluation.choices.crf else {})}


def _matched(confusion: np.ndarray) -> np.ndarray:
    return merge_clusters(confusion, assign_clusters(confusion))


def _assignment_table(evaluation: SegmentationEvaluation, plain: np.ndarray) -> Table:
    fitted, stored = assign_clusters(plain), stored_assignment(evaluation.network)
    names = CITYSCAPES19.names
    rows = [
        [f"cluster {i}", names[fitted[i]], names[stored[i]], int(plain[:, i].sum())]
        for i in range(len(fitted))
    ]
    return Table("Class of each cluster", ["", "matched here", "as stored", "pixels"], rows)


def _notes(evaluation: SegmentationEvaluation, total: Counts) -> list[str]:
    notes = [
        "Pixels are summed over all images before anything is divided; the mean IoU is over "
        "19 classes, of which absent ones count as 0.",
    ]
    if evaluation.has_clusters:
        notes.append(
            "*Matched*: each cluster takes the class that makes the number of right pixels "
            "largest, every class having at least one cluster; fitted on these images "
            "themselves, as the published numbers are. After the CRF it is fitted again. "
            "*As stored*: the classes in the checkpoint, fitted elsewhere."
        )
    if total["unknown"]:
        notes.append(
            f"{int(total['unknown'])} pixels of label files had an id that is in no table; "
            "they were not scored."
        )
    return notes
