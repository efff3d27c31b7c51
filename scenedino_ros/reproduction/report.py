# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""The reproduced table, beside the published numbers."""

from pathlib import Path
from statistics import fmean

from scenedino_ros.core.errors import InputError
from scenedino_ros.core.reading import read_json
from scenedino_ros.evaluation.result import Table
from scenedino_ros.reproduction.recipe import Recipe, Row
from scenedino_ros.reproduction.runner import StepRunner

RANGES = ("12.8", "25.6", "51.2")


def row_scores(folder: Path, row: Row) -> list[dict[str, tuple[float, ...]]]:
    """Return IoU and mIoU in percent at the three ranges, one dict for each seed of a row.

    Raises:
        InputError: If a result has no such scores.
    """
    found = []
    for name in row.steps:
        path = folder / "scores" / name.removeprefix("score_") / "result.json"
        scores = read_json(path)["scores"]["network"]
        first = next(iter(scores.values()))
        rule = first.get("direct")
        if rule is None:
            raise InputError(f"{path} has no scores of classes as the checkpoint names them")
        found.append(
            {key: tuple(100 * rule[key][part] for part in RANGES) for key in ("iou", "miou")}
        )
    return found


def seconds_of(recipe: Recipe, row: Row, runner: StepRunner) -> float:
    """Return the time of all steps that a row needs, seconds; shared steps count in each row."""
    done = (runner.done(step) for step in recipe.order((row,)))
    return sum(each.seconds for each in done if each is not None)


def reproduced(recipe: Recipe, rows: tuple[Row, ...], runner: StepRunner) -> Table:
    """Return the table of rows that are done.

    Args:
        recipe: The table.
        rows: Those of its rows that are shown.
        runner: Ran their steps.
    """
    cells = []
    for row in rows:
        scores = row_scores(runner.folder, row)
        published = row.published.miou if row.published else (None, None, None)
        cells.append(
            [
                row.method,
                *(_spread([each["iou"][i] for each in scores]) for i in range(len(RANGES))),
                *(_spread([each["miou"][i] for each in scores]) for i in range(len(RANGES))),
                *published,
                seconds_of(recipe, row, runner) / 3600,
            ]
        )
    columns = ["method", *(f"IoU {r} m" for r in RANGES), *(f"mIoU {r} m" for r in RANGES)]
    columns += [*(f"published mIoU {r} m" for r in RANGES), "hours"]
    notes = (
        "Percent; with several seeds the mean, and in brackets half of the range.",
        "The published numbers are those of KITTI-360: on other data only the order of the rows "
        "can be compared.",
    )
    return Table(recipe.title, columns, cells, notes)


def _spread(values: list[float]) -> str:
    mean = f"{fmean(values):.2f}"
    return mean if len(values) == 1 else f"{mean} ({(max(values) - min(values)) / 2:.2f})"
