# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""The result of a run: ``result.json`` for programs, ``report.md`` for people, and figures."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from scenedino_ros.core.errors import InputError
from scenedino_ros.core.files import write_atomically
from scenedino_ros.core.printable import printable
from scenedino_ros.core.reading import read_json, reading
from scenedino_ros.evaluation.run_folder import FORMAT, check_format
from scenedino_ros.evaluation.speed import Speed

RESULT_FILE = "result.json"
REPORT_FILE = "report.md"
_LONGEST = 100_000  # characters of a line
_MOST_DIGITS = 12
_LISTED = 20  # missing items named in the report; all of them are in the JSON

Cell = str | float | int | None
# Numbers in nested dicts, such as scores["matched"]["miou"]. Keys are identifiers, not words of a
# report. A number is not finite, or None once it is read from a file, where nothing was scored.
Scores = Mapping[str, Any]


@dataclass(frozen=True)
class Table:
    """A table with a title; cells that are None or not a number show a dash.

    Attributes:
        title: What it shows, with the unit.
        columns: Heads of the columns.
        rows: As many cells as there are columns; the first one names the row.
        notes: Sentences below it.
        digits: Decimals of its floats.
    """

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    notes: Sequence[str] = ()
    digits: int = 2

    def __post_init__(self) -> None:
        """Refuse rows of another length than the head, and more digits than numbers have."""
        if not 0 <= self.digits <= _MOST_DIGITS:
            raise InputError(f"digits must be in 0 to {_MOST_DIGITS}, got {self.digits}")
        for row in self.rows:
            if len(row) != len(self.columns):
                raise InputError(
                    f"table '{self.title}' must have {len(self.columns)} cells in each row, "
                    f"got {len(row)}"
                )

    def text(self, cell: Cell) -> str:
        """Return the text of a cell."""
        if cell is None or (isinstance(cell, float) and not math.isfinite(cell)):
            return "–"
        return f"{cell:.{self.digits}f}" if isinstance(cell, float) else str(cell)


@dataclass(frozen=True)
class Figure:
    """A picture beside the report: its file name and what it shows."""

    file: str
    caption: str


@dataclass(frozen=True)
class Summary:
    """What an evaluation makes of the sums of its items.

    Attributes:
        scores: The numbers, for programs.
        tables: The numbers, for people.
        notes: What the numbers mean and do not mean.
        figures: Pictures in the folder of the run.
        settings: Choices that the scores depend on and the counts do not.
    """

    scores: Scores = field(default_factory=dict)
    tables: Sequence[Table] = ()
    notes: Sequence[str] = ()
    figures: Sequence[Figure] = ()
    settings: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class RunResult:
    """The result of a run.

    Attributes:
        kind: Which evaluation.
        title: Heading of the report.
        dataset: What was evaluated on, in words.
        checkpoint: One sentence on the weights.
        settings: Everything that the result depends on.
        items: How many frames, images or pairs there are to evaluate.
        unit: What they are called, plural.
        missing: Those that could not be evaluated, with the reason.
        tables: The numbers, for people.
        notes: What the numbers mean and do not mean.
        figures: Pictures in the folder.
        scores: The numbers, for programs; see the summary in the ``report`` of each evaluation.
        counts: The sums that the numbers come from.
        speed: Its rates, None if nothing was counted.
    """

    kind: str
    title: str
    dataset: str
    checkpoint: str
    settings: Mapping[str, Any]
    items: int
    unit: str
    missing: Mapping[str, str]
    tables: Sequence[Table]
    notes: Sequence[str] = ()
    figures: Sequence[Figure] = ()
    scores: Scores = field(default_factory=dict)
    counts: Mapping[str, np.ndarray] = field(default_factory=dict)
    speed: Speed | None = None

    @property
    def complete(self) -> bool:
        """Whether every item was evaluated."""
        return not self.missing

    @property
    def coverage(self) -> str:
        """How much was evaluated, such as ``2566 frames`` or ``PARTIAL: 12 of 2566 frames``."""
        return coverage(self.items - len(self.missing), self.items, self.unit)

    @property
    def facts(self) -> dict[str, str]:
        """The lines above the tables: data, weights and speed."""
        facts = {
            "Evaluated": f"{self.coverage} of {self.dataset}",
            "Weights": self.checkpoint,
        }
        return {**facts, "Speed": self.speed.line(self.unit)} if self.speed else facts


def coverage(done: int, items: int, unit: str) -> str:
    """Return how much of a set was evaluated, such as ``PARTIAL: 12 of 2566 frames``."""
    return f"{items} {unit}" if done == items else f"PARTIAL: {done} of {items} {unit}"


def write_result(folder: Path, result: RunResult) -> None:
    """Write ``result.json`` and ``report.md`` into a folder, replacing older ones."""
    values = {"format": FORMAT, **asdict(result)}
    values["complete"] = result.complete
    values["coverage"] = result.coverage
    values["counts"] = {name: value.tolist() for name, value in result.counts.items()}
    text = json.dumps(_without_nan(values), indent=1, ensure_ascii=False)
    write_atomically(folder / RESULT_FILE, (text + "\n").encode())
    write_atomically(folder / REPORT_FILE, markdown(result).encode())


def is_evaluation(folder: Path) -> bool:
    """Return whether a folder is that of an evaluation with a result."""
    return (Path(folder) / RESULT_FILE).is_file()


def read_result(folder: Path) -> RunResult:
    """Read what `write_result` wrote.

    Raises:
        InputError: If there is no finished run in the folder, or its file is damaged.
    """
    path = Path(folder) / RESULT_FILE
    if not path.exists():
        raise InputError(f"{folder} has no {RESULT_FILE}: it is not a finished run")
    with reading(str(path), failure="is not the result of a run"):
        values = read_json(path)
        check_format(path, values.pop("format", None))
        del values["complete"], values["coverage"]
        tables = [Table(**table) for table in values.pop("tables")]
        figures = [Figure(**figure) for figure in values.pop("figures")]
        for figure in figures:
            check_inside(folder, figure.file)
        counts = {name: np.array(value) for name, value in values.pop("counts").items()}
        speed = values.pop("speed")
        if speed:
            speed = Speed(**{**speed, "processes": tuple(speed["processes"])})
        return RunResult(**values, tables=tables, figures=figures, counts=counts, speed=speed)


def check_inside(folder: Path, file: str | Path) -> None:
    """Refuse a figure that lies, or whose link leads, outside the folder of its run.

    A page that is handed on must not contain what somebody else's run names.

    Raises:
        InputError: If it does, or is no PNG.
    """
    path = Path(folder, file)
    if path.suffix != ".png" or not path.resolve().is_relative_to(Path(folder).resolve()):
        raise InputError(f"figure {file} must be a PNG file inside {folder}")


def markdown(result: RunResult) -> str:
    """Return the report of a run as Markdown."""
    lines = [f"# {result.title}", ""]
    if not result.complete:
        lines += [f"**{partial_warning(result)}**", ""]
    lines += [*(f"* {name}: {text}" for name, text in result.facts.items()), ""]
    for table in result.tables:
        lines += [f"## {table.title}", "", *table_lines(table), ""]
        lines += [line for note in table.notes for line in (note, "")]
    if result.notes:
        lines += ["## What these numbers mean", "", *(f"* {note}" for note in result.notes), ""]
    for figure in result.figures:
        lines += [f"![{figure.caption}]({figure.file})", "", f"*{figure.caption}*", ""]
    if result.missing:
        lines += ["## Missing", "", *(f"* {line}" for line in missing_sentences(result)), ""]
    lines += ["## Settings", "", "```", *settings_lines(result), "```"]
    return "".join(f"{printable(line, _LONGEST)}\n" for line in lines)


def partial_warning(result: RunResult) -> str:
    """Return the sentence that stands above the numbers of a run with missing items."""
    return f"{result.coverage}. No number here is that of the whole set; the rest is listed below."


def missing_sentences(result: RunResult) -> list[str]:
    """Return the missing items with their reasons, cut to a readable length."""
    lines = [printable(f"`{item}`: {why}") for item, why in list(result.missing.items())[:_LISTED]]
    more = len(result.missing) - len(lines)
    return [*lines, f"and {more} more, in {RESULT_FILE}"] if more else lines


def settings_lines(result: RunResult) -> list[str]:
    """Return the settings of a run, one to a line."""
    return [
        printable(f"{name} = {json.dumps(value)}", _LONGEST)
        for name, value in result.settings.items()
    ]


def table_lines(table: Table) -> list[str]:
    """Return a table as lines of Markdown, numbers aligned to the right."""
    rows = [list(table.columns), *([table.text(cell) for cell in row] for row in table.rows)]
    rule = ["---"] + ["---:"] * (len(table.columns) - 1)
    rows.insert(1, rule)
    return ["| " + " | ".join(cell.replace("|", r"\|") for cell in row) + " |" for row in rows]


def _without_nan(value: Any) -> Any:
    """Return plain values in which what is not a number is None: JSON has no word for it."""
    if isinstance(value, Mapping):
        return {key: _without_nan(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_without_nan(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
