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


def row_scores(folder: Path, recipe: Recipe, row: Row) -> list[tuple[float, ...]]:
    """Return what a row's evaluations measured, one tuple for each seed.

    Raises:
        InputError: If a result does not have it.
    """
    found = []
    for name in row.steps:
        path = folder / "scores" / name.removeprefix("score_") / "result.json"
        try:
            found.append(recipe.measures.read(read_json(path)["scores"], row.part))
        except (InputError, LookupError) as error:
            raise InputError(f"{path} does not have the scores of a row: {error}") from error
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
    measures = recipe.measures
    none = (None,) * len(measures.published)
    cells = []
    for row in rows:
        scores = row_scores(runner.folder, recipe, row)
        means = (_spread(values) for values in zip(*scores, strict=True))
        hours = seconds_of(recipe, row, runner) / 3600
        cells.append([row.method, *means, *(row.published or none), hours])
    columns = ["method", *measures.columns, *(f"published {name}" for name in measures.published)]
    notes = (
        f"{measures.note} With several seeds the mean, and in brackets half of the range.",
        "The published numbers are those of KITTI-360: on other data only the order of the rows "
        "can be compared.",
        *([recipe.left_out] if recipe.left_out else []),
    )
    return Table(f"{measures.title}, {recipe.data}", [*columns, "hours"], cells, notes)


def _spread(values: tuple[float, ...]) -> str:
    mean = f"{fmean(values):.2f}"
    return mean if len(values) == 1 else f"{mean} ({(max(values) - min(values)) / 2:.2f})"
