# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Scores, tables and the plot of an evaluation of the map, from its counts."""

from typing import Any

import numpy as np

from scenedino_ros.evaluation.geometry.evaluation import ABOVE_ROAD
from scenedino_ros.evaluation.map.evaluation import GHOST_SECONDS, REGIONS, MapEvaluation
from scenedino_ros.evaluation.map.fusion import READINGS, noises
from scenedino_ros.evaluation.map.scores import CORRIDOR_HEIGHT, CORRIDOR_WIDTH, STATES
from scenedino_ros.evaluation.result import Cell, Figure, Summary, Table
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

ALL = "all"  # the scores of all drives together
_TITLES = {
    "view": "Known voxels in view of the scored image, %",
    "surface": "Only those that are free or touch a free voxel, without the inside of solids, %",
    "above": f"Only those more than {ABOVE_ROAD} m above the road, %",
    "grid": "All known voxels of the grid, also out of view, %",
}
_NOTES = (
    "Counts are summed over the frames before anything is divided. Voxels that are unknown in the "
    "ground truth are not scored. The map has all images up to the scored one.",
    "Image and map are asked at the centres of the ground truth's voxels. The field of one image "
    "answers right there; the map has the answer of its own voxel that holds the centre, up to "
    "0.17 m away for voxels of 0.2 m, or is interpolated linearly between its voxels. One image "
    "in the map's voxels is asked at the centres of the same voxels as the map: what the map "
    "gains over it, it gains from the other images.",
    "The best density of one image, and the best log-odds of the map, are those with the highest "
    "IoU on these very frames, for each range another. What the image does not see counts as free "
    "for it, and what the map does not know counts as free for the map.",
    f"The driven corridor has the free voxels that a body {CORRIDOR_WIDTH:g} m wide and "
    f"{CORRIDOR_HEIGHT:g} m high sweeps along the camera's later path; ghosts are free voxels "
    "that a moving car filled so many seconds before. For both, one image takes the density that "
    "is best at 51.2 m. A dash: there is no such voxel.",
    "Errors of the pose are drawn for each fused image by itself, also for the last one. The "
    "ground truth is placed by the pose without errors.",
)


def map_summary(evaluation: MapEvaluation, finished: Finished) -> Summary:
    """Return scores and tables of all drives together, and of each.

    The scores are, for a drive by its name or for all of them (``all``),

    - ``scores[DRIVE]["occupancy"][REGION]["single"][DENSITY][SCORE][RANGE]``, with regions as in
      `map.evaluation`, the density such as ``0.2``, the score ``iou``, ``precision`` or
      ``recall``, and the range ``12.8``, ``25.6`` or ``51.2``; ``["best_single"][SCORE][RANGE]``,
      where the score may also be ``threshold``, the best density; ``["single_in_map"]`` and
      ``["best_single_in_map"]``, the same asked at the centres of the map's voxels;
      ``["map"][ROW][THRESHOLD][SCORE][RANGE]``, with rows as in `MapEvaluation.rows` and the
      threshold such as ``0.5``, log-odds; and ``["best_map"][ROW][SCORE][RANGE]``;
    - ``scores[DRIVE]["corridor"]["single"][DENSITY][STATE]`` and
      ``["map"][ROW][THRESHOLD][STATE]``: the fractions that are ``free``, ``occupied`` and
      ``unknown``, and ``voxels``, the number of voxels;
    - ``scores[DRIVE]["ghosts"][SECONDS]``, the same for ghosts after ``1``, ``2`` or ``5`` s.
    """
    totals = {ALL: finished.total}
    for item, counts in finished.folder.counts(finished.items):
        drive = item.split("/")[0]
        before = totals.get(drive)
        totals[drive] = {k: v + before[k] for k, v in counts.items()} if before else counts
    scores = {name: _scores(evaluation, total) for name, total in totals.items()}
    rows = _occupancy_rows(evaluation, scores[ALL]["occupancy"]["view"])
    tables = [
        Table(_TITLES["view"], ["", *geometry_columns()], rows),
        _motion_table(evaluation, scores[ALL]),
        *(
            Table(
                _TITLES[region],
                ["", *geometry_columns()],
                _occupancy_rows(evaluation, scores[ALL]["occupancy"][region]),
            )
            for region in REGIONS[1:]
        ),
        _threshold_table(scores[ALL]["occupancy"]["view"]),
    ]
    if len(totals) > 2:
        tables.append(_drive_table(evaluation, scores))
    shown = [row for row in rows if "map minus" not in str(row[0])]
    bars = {str(row[0]): [float(cell or 0) for cell in row[1:4]] for row in shown}
    bar_plot(
        finished.folder.path / "iou.png",
        [f"{key} m" for key in RANGE_KEYS],
        bars,
        unit="IoU of known voxels in view, %",
    )
    figure = Figure("iou.png", "IoU at the three ranges, of one image and of the map")
    return Summary(scores, tables, _NOTES, [figure])


def _scores(evaluation: MapEvaluation, total: Counts) -> dict[str, Any]:
    densities = [f"{value:g}" for value in evaluation.densities]
    thresholds = [f"{value:g}" for value in evaluation.thresholds]

    def each(single: np.ndarray, maps: np.ndarray, score: Any) -> dict[str, Any]:
        return {
            "single": dict(zip(densities, map(score, single), strict=True)),
            "map": {
                key: dict(zip(thresholds, map(score, row), strict=True))
                for key, row in zip(evaluation.rows(), maps, strict=True)
            },
        }

    occupancy = {}
    parts = (total["single"], total["single_in_map"], total["map"])
    for region, single, coarse, maps in zip(REGIONS, *parts, strict=True):
        found = each(single, maps, geometry_by_range)
        in_map = dict(zip(densities, map(geometry_by_range, coarse), strict=True))
        best_map = {key: _best(by_threshold) for key, by_threshold in found["map"].items()}
        occupancy[region] = {
            **found,
            "best_single": _best(found["single"]),
            "single_in_map": in_map,
            "best_single_in_map": _best(in_map),
            "best_map": best_map,
        }
    ghosts = {
        f"{seconds:g}": each(single, maps, _fractions)
        for seconds, single, maps in zip(
            GHOST_SECONDS, total["single_ghosts"], total["map_ghosts"], strict=True
        )
    }
    corridor = each(total["single_corridor"], total["map_corridor"], _fractions)
    return {"occupancy": occupancy, "corridor": corridor, "ghosts": ghosts}


def _best(scores: dict[str, ByRange]) -> ByRange:
    """Return the scores at the threshold with the highest IoU, for each range another."""
    names = next(iter(scores.values()))
    best: ByRange = {name: {} for name in (*names, "threshold")}
    for metres in RANGE_KEYS:
        key = max(scores, key=lambda t: np.nan_to_num(scores[t]["iou"][metres], nan=-1))
        best["threshold"][metres] = float(key)
        for name in names:
            best[name][metres] = scores[key][name][metres]
    return best


def _fractions(counts: np.ndarray) -> dict[str, float]:
    """Return the fractions of (3,) counts of `STATES`; not a number if there are none."""
    voxels = int(counts.sum())
    values = counts / voxels if voxels else np.full(len(STATES), np.nan)
    return {**dict(zip(STATES, values.tolist(), strict=True)), "voxels": voxels}


def _occupancy_rows(evaluation: MapEvaluation, scores: dict[str, Any]) -> list[list[Cell]]:
    main = f"{evaluation.choices.thresholds[0]:g}"
    own = f"{evaluation.network.density_threshold:g}"
    best, coarse = scores["best_single"], scores["best_single_in_map"]
    rows: dict[str, ByRange] = {
        f"one image, density >= {own}, the checkpoint's": scores["single"][own],
        f"one image, best density: {_listed(best)}": best,
        f"one image in the map's voxels, best density: {_listed(coarse)}": coarse,
    }
    for key, words in _words(evaluation).items():
        rows[f"map{words}, log-odds > {main}"] = scores["map"][key][main]
        if key in READINGS:
            found = scores["best_map"][key]
            rows[f"map{words}, best log-odds: {_listed(found)}"] = found
    cells: list[list[Cell]] = [[name, *geometry_cells(each)] for name, each in rows.items()]
    opponents = {"best image": ("nearest", best), "best image, interpolated map": ("linear", best)}
    opponents["best image in the map's voxels"] = ("nearest", coarse)
    for words, (reading, opponent) in opponents.items():
        fused = scores["map"][reading][main]
        gains = {s: {m: fused[s][m] - opponent[s][m] for m in RANGE_KEYS} for s in fused}
        cells.append([f"map minus {words}, points", *geometry_cells(gains)])
    return cells


def _motion_table(evaluation: MapEvaluation, scores: dict[str, Any]) -> Table:
    main = f"{evaluation.choices.thresholds[0]:g}"
    own = f"{evaluation.network.density_threshold:g}"
    best = f"{scores['occupancy']['view']['best_single']['threshold'][RANGE_KEYS[-1]]:g}"
    parts = [scores["corridor"], *scores["ghosts"].values()]
    rows = {
        f"one image, density >= {own}, the checkpoint's": [part["single"][own] for part in parts],
        f"one image, density >= {best}, the best": [part["single"][best] for part in parts],
    }
    for key, words in _words(evaluation).items():
        rows[f"map{words}, log-odds > {main}"] = [part["map"][key][main] for part in parts]
    columns = [f"corridor {state}" for state in STATES]
    columns += [f"ghosts after {seconds:g} s" for seconds in GHOST_SECONDS]
    cells: list[list[Cell]] = []
    for name, (corridor, *ghosts) in rows.items():
        values = [corridor[state] for state in STATES] + [ghost["occupied"] for ghost in ghosts]
        cells.append([name, *(100 * value for value in values)])
    sizes = [next(iter(part["single"].values()))["voxels"] for part in parts]
    note = (
        f"{sizes[0]} voxels of the corridor; of ghosts "
        + ", ".join(f"{n} after {s:g} s" for n, s in zip(sizes[1:], GHOST_SECONDS, strict=True))
        + "; of these, the fraction that is occupied."
    )
    return Table(
        "The driven corridor, and ghosts of moving cars, %", ["", *columns], cells, [note]
    )


def _threshold_table(scores: dict[str, Any]) -> Table:
    rows = {f"one image, density >= {key}": each for key, each in scores["single"].items()}
    for reading in READINGS:
        fused = scores["map"][reading]
        rows |= {f"map, {reading}, log-odds > {key}": each for key, each in fused.items()}
    title = "Every threshold, known voxels in view, %"
    cells = [[name, *geometry_cells(each)] for name, each in rows.items()]
    return Table(title, ["", *geometry_columns()], cells)


def _drive_table(evaluation: MapEvaluation, scores: dict[str, Any]) -> Table:
    main = f"{evaluation.choices.thresholds[0]:g}"
    rows: list[list[Cell]] = []
    for drive in list(scores)[1:]:
        found = scores[drive]["occupancy"]["view"]
        best = found["best_single"]
        name = f"{drive}, one image, best density: {_listed(best)}"
        rows.append([name, *geometry_cells(best)])
        for reading in READINGS:
            fused = found["map"][reading][main]
            name = f"{drive}, map, {reading}, log-odds > {main}"
            rows.append([name, *geometry_cells(fused)])
    return Table("Each drive, known voxels in view, %", ["", *geometry_columns()], rows)


def _listed(best: ByRange) -> str:
    return ", ".join(f"{value:g}" for value in best["threshold"].values())


def _words(evaluation: MapEvaluation) -> dict[str, str]:
    """Return what distinguishes each of the rows of a map, in words."""
    words = {"nearest": "", "linear": ", interpolated"}
    for noise in noises(evaluation.choices)[1:]:
        position = f", position ± {100 * noise.position:g} cm"
        rotation = f", rotation ± {noise.rotation_deg:g}°"
        words[noise.key] = position if noise.position else rotation
    return words
