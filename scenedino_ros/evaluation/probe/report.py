# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Scores, tables and plots of an evaluation of probes, from its counts."""

from scenedino_ros.evaluation.probe.evaluation import CHECKPOINT, NAMES, ProbeEvaluation
from scenedino_ros.evaluation.probe.fit import PROBES
from scenedino_ros.evaluation.result import Figure, Summary
from scenedino_ros.evaluation.runner import Finished
from scenedino_ros.evaluation.segmentation.scores import segmentation_scores, segmentation_tables
from scenedino_ros.viewing.plots import class_figures


def probe_summary(evaluation: ProbeEvaluation, finished: Finished) -> Summary:
    """Return scores, tables and plots.

    The scores are ``scores[PROBE]["accuracy" | "miou" | "weighted_miou"]`` and
    ``scores[PROBE]["iou"][CLASS]``, where PROBE is one of `PROBES`.
    """
    total = finished.total
    scores = {probe: segmentation_scores(total[probe]) for probe in PROBES}
    named = {NAMES[probe]: total[probe] for probe in PROBES}
    notes = [
        f"Fitted on {evaluation.training.name} by cross-entropy on rendered features; the "
        "network itself is frozen. Classes are learned from labels, so nothing is matched.",
        f"{CHECKPOINT} holds the network with these probes: 'scenedino evaluate ssc --mode "
        "stego_linear' (or direct_linear) scores them in 3D.",
    ]
    return Summary(
        {probe: s._asdict() for probe, s in scores.items()},
        segmentation_tables({NAMES[probe]: s for probe, s in scores.items()}, finished.scope),
        notes,
        [Figure(*plot) for plot in class_figures(finished.folder.path, named)],
    )
