# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Runs of the training scripts, as `train.runs.run` leaves them, for the page of several runs.

Read are ``settings.yaml``, ``metrics.jsonl`` (a line per step), ``validation.jsonl`` (a line per
validation) and the newest of the ``pictures``. The folder is only read.
"""

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from scenedino_ros.core.errors import InputError
from scenedino_ros.core.file_limits import LONG_TEXT_BYTES
from scenedino_ros.core.parameter_tree import named_values
from scenedino_ros.core.reading import read_text, read_yaml, reading, reads, reason_of
from scenedino_ros.evaluation.result import Cell, Figure, RunResult, Table, check_inside
from scenedino_ros.evaluation.tiles import spread
from scenedino_ros.viewing.plots import line_plot

SETTINGS_FILE = "settings.yaml"
_METRICS, _VALIDATION = "metrics.jsonl", "validation.jsonl"
_PICTURE = re.compile(r"(.+)_(\d{7})\.png")
_SHOWN = 5  # validations in the table
_POINTS = 100  # of a loss curve: each the mean of as many steps
_CURVES = 6  # most curves in a plot

Lines = list[dict[str, float]]


@dataclass(frozen=True)
class TrainingResult(RunResult):
    """A training run; its items are steps.

    Attributes:
        steps: How many of them are done.
    """

    steps: int = 0

    @property
    def coverage(self) -> str:
        """How far it is."""
        if self.steps == self.items:
            return f"{self.steps} steps"
        return f"stopped or running: {self.steps} of {self.items} steps"

    @property
    def facts(self) -> dict[str, str]:
        """What stands above the tables."""
        return {"Trained": f"{self.coverage} on {self.dataset}", "Weights": self.checkpoint}


def is_training_run(folder: Path) -> bool:
    """Return whether a folder is that of a training run."""
    return (folder / SETTINGS_FILE).is_file() and (folder / _METRICS).is_file()


@reads("training run")
def training_result(folder: Path, plots: Path) -> TrainingResult:
    """Return what a training run recorded, its figures as whole paths.

    Args:
        folder: The run.
        plots: Folder that gets the curves.

    Raises:
        InputError: If a file of the run is damaged.
    """
    settings = dict(named_values(_read_settings(folder / SETTINGS_FILE)))
    metrics, validations = (_read_lines(folder / name) for name in (_METRICS, _VALIDATION))
    done = int(metrics[-1]["step"]) + 1 if metrics else 0
    tables, figures = [], []
    if metrics:
        tables.append(_loss_table(metrics))
        figures.append(_curves(plots / f"{folder.name}_losses.png", _means(metrics), "loss"))
    if validations:
        tables.append(_validation_table(validations))
        figures.append(
            _curves(plots / f"{folder.name}_validation.png", validations, "validation score")
        )
    stores = settings.get("data.stores") or "recordings that its settings do not name"
    weights = [path.name for path in sorted(folder.glob("*.safetensors"))]
    weights = [name for name in weights if not name.startswith(("state", "nonfinite"))]
    return TrainingResult(
        kind="training",
        title=f"Training run {folder.resolve().name}",
        dataset=" ".join(stores) if isinstance(stores, list) else str(stores),
        checkpoint=", ".join(weights) or "none saved yet",
        settings=settings,
        items=int(settings.get("run.steps", done)),
        unit="steps",
        missing={},
        tables=tables,
        figures=[*figures, *_pictures(folder)],
        steps=done,
    )


def _loss_table(metrics: Lines) -> Table:
    part = max(1, len(metrics) // 10)
    rows: list[list[Cell]] = [
        [name, _mean(metrics[:part], name), _mean(metrics[-part:], name)]
        for name in _names(metrics)
    ]
    columns = ["", f"first {part} steps", f"last {part} steps"]
    return Table("Losses, means over steps", columns, rows, digits=4)


def _validation_table(validations: Lines) -> Table:
    numbers = spread([str(number) for number in range(len(validations))], _SHOWN)
    shown = [validations[int(number)] for number in numbers]
    rows: list[list[Cell]] = [
        [name, *(line.get(name) for line in shown)] for name in _names(validations)
    ]
    columns = ["", *(f"step {int(line['step']) + 1}" for line in shown)]
    return Table("Validation", columns, rows, digits=4)


def _curves(path: Path, lines: Lines, what: str) -> Figure:
    """Draw the first few values over steps; the others are in the tables."""
    names = _names(lines)[:_CURVES]
    series = {
        name: (
            np.array([line["step"] + 1 for line in lines if name in line]),
            np.array([line[name] for line in lines if name in line]),
        )
        for name in names
    }
    line_plot(path, series, x_label="step", y_label=what)
    return Figure(str(path.resolve()), f"{what.capitalize()} over steps: {', '.join(names)}")


def _means(metrics: Lines) -> Lines:
    """Return about `_POINTS` means of successive steps."""
    size = -(-len(metrics) // _POINTS)
    parts = [metrics[start : start + size] for start in range(0, len(metrics), size)]
    return [
        {"step": part[-1]["step"], **{name: _mean(part, name) for name in _names(part)}}
        for part in parts
    ]


def _pictures(folder: Path) -> list[Figure]:
    """Return the newest picture of each kind."""
    newest: dict[str, tuple[int, Path]] = {}
    for path in sorted((folder / "pictures").glob("*.png")):
        found = _PICTURE.fullmatch(path.name)
        if found:
            check_inside(folder, path.resolve())
            newest[found[1]] = (int(found[2]), path)
    return [
        Figure(str(path.resolve()), f"{name} after step {step + 1}")
        for name, (step, path) in newest.items()
    ]


def _names(lines: Lines) -> list[str]:
    return list(dict.fromkeys(name for line in lines for name in line if name != "step"))


def _mean(lines: Lines, name: str) -> float:
    values = [line[name] for line in lines if name in line]
    return float(np.mean(values)) if values else float("nan")


def _read_lines(path: Path) -> Lines:
    """Read lines of JSON; the last one may be cut off in a run that is going on."""
    lines: Lines = []
    if not path.exists():
        return lines
    with reading(str(path)):
        text = read_text(path, LONG_TEXT_BYTES)
    for number, line in enumerate(text.splitlines(keepends=True), start=1):
        if not line.endswith("\n"):
            break
        try:
            values = json.loads(line)
            lines.append({str(name): float(value) for name, value in values.items()})
            lines[-1]["step"]
        except Exception as error:  # values of any type may stand anywhere
            raise InputError(
                f"{path} line {number} is not that of a step: {reason_of(error)}"
            ) from error
    return lines


def _read_settings(path: Path) -> dict[str, Any]:
    with reading(str(path)):
        values = read_yaml(path)
    if not isinstance(values, dict):
        raise InputError(f"{path} must hold settings by name, got {type(values).__name__}")
    return values
