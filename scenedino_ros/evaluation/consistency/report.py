# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Scores, tables and the plot of an evaluation of consistency, from its counts."""

from pathlib import Path

import numpy as np
from matplotlib.figure import Figure as Plot

from scenedino_ros.evaluation.consistency.evaluation import (
    MEAN_FRAMES,
    VERSIONS,
    ConsistencyEvaluation,
)
from scenedino_ros.evaluation.consistency.scores import CONSISTENCY_MEASURES
from scenedino_ros.evaluation.published import CONSISTENCY
from scenedino_ros.evaluation.result import Cell, Figure, Summary, Table
from scenedino_ros.evaluation.run_folder import Counts
from scenedino_ros.evaluation.runner import Finished
from scenedino_ros.viewing.plots import write_figure

_MEANS = {"pixels": "", "pairs": ", mean of pairs"}
# By version, features, what the mean is over, and measure.
_Scores = dict[str, dict[str, dict[str, dict[str, float]]]]


def consistency_summary(evaluation: ConsistencyEvaluation, finished: Finished) -> Summary:
    """Return means over pixels and over pairs, and a plot.

    The scores are ``scores[VERSION][FEATURES][MEAN][MEASURE]``: VERSION one of `VERSIONS`,
    FEATURES ``field`` or one of `ConsistencySettings.features`, MEAN ``pixels`` or ``pairs``,
    MEASURE one of `CONSISTENCY_MEASURES`.
    """
    total = finished.total
    scores = _scores(evaluation, total)
    names = evaluation.features()
    rows = [
        (f"{names[key]}{VERSIONS[version]}", means)
        for version, features in scores.items()
        for key, means in features.items()
    ]
    measures = [f"{m}{over}" for over in _MEANS.values() for m in CONSISTENCY_MEASURES.values()]
    cells: list[list[Cell]] = [
        [f"{name} ({finished.scope})", *(v for key in _MEANS for v in means[key].values())]
        for name, means in rows
    ]
    tables = [
        Table("L1 and L2 (lower is better), cosine (higher is better)", ["", *measures], cells),
        *(
            Table(
                f"Published, {name} (RAFT large, test split)",
                ["", *CONSISTENCY_MEASURES.values()],
                published,
            )
            for name, published in CONSISTENCY.items()
            if evaluation.data.published == name
        ),
    ]
    cosines = {name: means["pixels"]["cosine"] for name, means in rows}
    return Summary(
        scores, tables, _notes(evaluation, total), [_plot(finished.folder.path, cosines)]
    )


def _scores(evaluation: ConsistencyEvaluation, total: Counts) -> _Scores:
    valid, _, pairs = total["pixels"].tolist()
    divisors = {"pixels": valid or np.nan, "pairs": pairs or np.nan}
    return {
        version: {
            key: {
                over: dict(zip(CONSISTENCY_MEASURES, (row / divisors[over]).tolist(), strict=True))
                for over, row in zip(_MEANS, rows, strict=True)
            }
            for key, rows in zip(evaluation.features(), sums, strict=True)
        }
        for version, sums in zip(VERSIONS, total["sums"], strict=True)
    }


def _notes(evaluation: ConsistencyEvaluation, total: Counts) -> list[str]:
    valid, pixels, pairs = total["pixels"].tolist()
    return [
        f"Flow: {evaluation.flow.words}.",
        "Per pixel, features have length 1; L1 is the sum of |difference| over channels, L2 "
        "the root of the sum of squares. A pixel is compared where the flow stays inside the "
        "image and forward and backward flow agree (Sundaram et al., 2010).",
        "A constant feature is perfectly consistent. With the common mean removed (the mean "
        f"over at most {MEAN_FRAMES} frames) and lengths made 1 again, only what differs "
        "between places counts.",
        f"{valid} of {pixels} pixels ({100 * valid / pixels:.1f} %) of {pairs} pairs "
        "could be compared.",
    ]


def _plot(path: Path, cosines: dict[str, float]) -> Figure:
    names = list(cosines)[::-1]
    plot = Plot(figsize=(8, 0.7 + 0.35 * len(names)), layout="constrained")
    axes = plot.subplots()
    axes.barh(names, [cosines[name] for name in names], color="#4c72b0")
    axes.set(xlabel="cosine after alignment", xlim=(min(0, axes.get_xlim()[0]), 1))
    axes.grid(axis="x", alpha=0.3)
    write_figure(plot, path / "cosine.png")
    return Figure("cosine.png", "Mean cosine of aligned features")
