# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Scores, tables and the plot of an evaluation of geometry, from its counts."""

from scenedino_ros.evaluation.geometry.evaluation import (
    ABOVE_ROAD,
    BASELINES,
    REGIONS,
    GeometryEvaluation,
)
from scenedino_ros.evaluation.result import Figure, Summary, Table
from scenedino_ros.evaluation.run_folder import Counts
from scenedino_ros.evaluation.runner import Finished
from scenedino_ros.evaluation.ssc.ranges import (
    RANGE_KEYS,
    ByRange,
    geometry_by_range,
    geometry_cells,
    geometry_columns,
)
from scenedino_ros.viewing.plots import bar_plot

_TITLES = {
    "all": "Known voxels in view, %",
    "above": f"Only those more than {ABOVE_ROAD} m above the road, %",
}
_NAMES = {
    "full": "everything occupied",
    "road": "road plane, 0.2 m around it",
    "majority": "majority of the other frames",
    "frequency": "smoothed frequency of the other frames",
}
_NOTES = (
    "Counts are summed over the frames before anything is divided. Voxels that are unknown, or "
    "whose centre the camera does not see, are not scored.",
    "The rows below the network look at no image. Majority and smoothed frequency are made of the "
    "grids of the other frames of the same drive, so they know its street: a network that does "
    "not beat them has shown little about seeing.",
    "What lies on the road plane is most of what is known; the second table leaves it out.",
)


def geometry_summary(evaluation: GeometryEvaluation, finished: Finished) -> Summary:
    """Return scores and tables of all known voxels in view, and of those well above the road.

    The scores are ``scores[REGION]["network"][THRESHOLD][SCORE][RANGE]`` and
    ``scores[REGION]["baselines"][BASELINE][SCORE][RANGE]``: regions and baselines as in
    `geometry.counting`, the threshold such as ``0.2``, the score ``iou``, ``precision`` or
    ``recall``, the range ``12.8``, ``25.6`` or ``51.2``.
    """
    scores = _scores(evaluation, finished.total)
    grown = ", grown" if evaluation.choices.grow else ""
    rows = {
        region: {
            **{f"network, density >= {t}{grown}": s for t, s in grids["network"].items()},
            **{_NAMES[name]: s for name, s in grids["baselines"].items()},
        }
        for region, grids in scores.items()
    }
    tables = [
        Table(
            title,
            ["", *geometry_columns()],
            [[name, *geometry_cells(by_range)] for name, by_range in rows[region].items()],
        )
        for region, title in _TITLES.items()
    ]
    bars = {
        name: [100 * iou for iou in by_range["iou"].values()]
        for name, by_range in rows["all"].items()
    }
    names = [f"{key} m" for key in RANGE_KEYS]
    path = finished.folder.path / "iou.png"
    bar_plot(path, names, bars, unit="IoU of known voxels in view, %")
    figure = Figure("iou.png", "IoU at the three ranges, with and without an image")
    return Summary(scores, tables, _NOTES, [figure])


def _scores(
    evaluation: GeometryEvaluation, total: Counts
) -> dict[str, dict[str, dict[str, ByRange]]]:
    keys = [f"{threshold:g}" for threshold in evaluation.thresholds]
    return {
        region: {
            "network": {
                key: geometry_by_range(c) for key, c in zip(keys, grids[: len(keys)], strict=True)
            },
            "baselines": {
                name: geometry_by_range(c)
                for name, c in zip(BASELINES, grids[len(keys) :], strict=True)
            },
        }
        for region, grids in zip(REGIONS, total["voxels"], strict=True)
    }
