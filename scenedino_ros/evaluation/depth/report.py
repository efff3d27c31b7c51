# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Scores, tables and the plot of an evaluation of depth, from its counts."""

from pathlib import Path

import numpy as np
from matplotlib.figure import Figure as Plot

from scenedino_ros.evaluation.depth.evaluation import (
    BINS,
    MEAN_FRAMES,
    NAMES,
    QUANTITIES,
    REGIONS,
    DepthEvaluation,
)
from scenedino_ros.evaluation.depth.scores import DEPTH_KEYS, DEPTH_MEASURES
from scenedino_ros.evaluation.result import Cell, Figure, Scores, Summary, Table, coverage
from scenedino_ros.evaluation.run_folder import Counts
from scenedino_ros.evaluation.runner import Finished
from scenedino_ros.viewing.plots import write_figure

_TITLES = {"axis": "Depth along the optical axis", "ray": "Distance along the ray"}
_WORDS = {"all": "", "above": ", above the road"}
_FRAMES = {"all": "", "train": " (frames of the training)", "other": " (other frames)"}


def depth_summary(evaluation: DepthEvaluation, finished: Finished) -> Summary:
    """Return the means over frames, and a plot over distance.

    The scores are ``scores[FRAMES][QUANTITY][REGION][PREDICTOR][SCALING][MEASURE]``: FRAMES is
    ``all``, or ``train`` and ``other`` where training frames are named; the others are
    `QUANTITIES`, `REGIONS`, `NAMES`, `SCALINGS` and `DEPTH_KEYS`.
    """
    folder, scores, tables = finished.folder, {}, []
    total: Counts = {}
    for key, items in _groups(evaluation).items():
        done = [item for item in items if item in set(finished.items)]
        if not done:
            continue
        total = folder.total(done)
        scores[key] = depth_means(evaluation, total)
        scope = coverage(len(done), len(items), "frames")
        tables += _tables(scores[key], _FRAMES[key], scope)
    title = f"Error over distance{_FRAMES[list(scores)[-1]]}"
    plot = _plot(
        folder.path, title, dict(zip(evaluation.predictors(), total["bins"], strict=True))
    )
    return Summary(scores, tables, _notes(evaluation), [plot])


def depth_means(evaluation: DepthEvaluation, total: Counts) -> Scores:
    """Return the means over frames, ``[QUANTITY][REGION][PREDICTOR][SCALING][MEASURE]``.

    Args:
        evaluation: What was evaluated.
        total: Summed counts, see `DepthWork.count`.
    """
    means: dict[str, dict[str, dict[str, dict[str, dict[str, float]]]]] = {}
    for quantity, regions in zip(QUANTITIES, total["scores"], strict=True):
        for region, rows in zip(REGIONS, regions, strict=True):
            for (predictor, scaling), sums in zip(evaluation.rows(), rows, strict=True):
                count = sums[-1] or np.nan
                by_scaling = (
                    means.setdefault(quantity, {}).setdefault(region, {}).setdefault(predictor, {})
                )
                by_scaling[scaling] = dict(
                    zip(DEPTH_KEYS, (sums[:-1] / count).tolist(), strict=True)
                )
    return means


def _groups(evaluation: DepthEvaluation) -> dict[str, list[str]]:
    """Return the frames that are scored together, by a key of `_FRAMES`."""
    items = evaluation.items()
    if not evaluation.choices.train_frames:
        return {"all": items}
    return {
        "train": [item for item in items if evaluation.is_training(item)],
        "other": [item for item in items if not evaluation.is_training(item)],
    }


def _tables(means: Scores, frames: str, scope: str) -> list[Table]:
    tables = []
    for quantity, regions in means.items():
        rows: list[list[Cell]] = []
        for region, predictors in regions.items():
            for predictor, scalings in predictors.items():
                for scaling, scores in scalings.items():
                    scaled = "" if scaling == "none" else f", scaled by {scaling}"
                    name = f"{NAMES[predictor]}{scaled}{_WORDS[region]} ({scope})"
                    rows.append([name, *scores.values()])
        title = f"{_TITLES[quantity]}{frames}"
        tables.append(Table(title, ["", *DEPTH_MEASURES], rows, digits=3))
    return tables


def _notes(evaluation: DepthEvaluation) -> list[str]:
    road = evaluation.choices.road
    notes = [
        "Every number is the mean over frames of the score of each frame; predictions are "
        "clamped to z-depths of 0.001..80 m. SceneDINO publishes no depth scores to compare with.",
        f"Above the road means more than {evaluation.choices.above:g} m above the plane with "
        f"normal ({', '.join(f'{value:.3f}' for value in road.normal)}) at {road.height:g} m "
        "under the camera. The flat road predicts that plane, and 80 m above the horizon.",
        "Rows with 'median' or 'least squares' scale each frame by its ground truth, which a "
        "robot does not have.",
    ]
    if evaluation.choices.train_frames:
        notes.append(
            "The mean depth image averages the ground truth of the training frames (at most "
            f"{MEAN_FRAMES}) pixel by pixel and looks at no image; on those frames it is in "
            "sample."
        )
    return notes


def _plot(path: Path, title: str, bins: dict[str, np.ndarray]) -> Figure:
    plot = Plot(figsize=(7, 3.6), layout="constrained")
    axes = plot.subplots()
    middles = np.sqrt(np.array(BINS[:-1]) * np.array(BINS[1:]))
    has_errors = any((sums > 0).any() for sums, _ in bins.values())
    for predictor, (sums, counts) in bins.items():
        seen = counts > 0
        axes.plot(middles[seen], sums[seen] / counts[seen], "o-", label=NAMES[predictor])
    # A logarithmic axis without a positive value has no range.
    axes.set(xscale="log", yscale="log" if has_errors else "linear", title=title)
    axes.set(xlabel="true depth [m]", ylabel="mean relative error")
    axes.set_xticks(BINS, [f"{edge:g}" for edge in BINS])
    axes.minorticks_off()
    axes.grid(alpha=0.3)
    axes.legend()
    write_figure(plot, path / "error_over_distance.png")
    return Figure("error_over_distance.png", title)
