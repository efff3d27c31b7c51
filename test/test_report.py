# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Several runs on one page: evaluations, training runs, and what lies among them."""

import json
from pathlib import Path

import numpy as np
import pytest
import small_fields
from installed import scenedino

from scenedino_ros.cli.main import main
from scenedino_ros.core.errors import InputError
from scenedino_ros.evaluation.result import RunResult, Table, write_result
from scenedino_ros.evaluation.training_run import is_training_run, training_result
from train.runs.records import Records
from train.runs.settings import write_settings


def write_training_run(path: Path, steps: int) -> None:
    """Write a run of four steps that got so far, as `train.runs.run` does."""
    path.mkdir()
    write_settings(path / "settings.yaml", small_fields.NEARBY)
    with Records(path, 0, 1) as records:
        for step in range(steps):
            records.step(step, {"loss": 4.0 - step, "photometric": 0.25})
            if step % 2:
                records.validation(step, {"total": 1.0 / (step + 1)})
                records.picture(step, "depth", np.full((4, 6, 3), step, np.uint8))
    (path / "field.safetensors").touch()
    (path / "state.safetensors").touch()


def evaluation() -> RunResult:
    table = Table("Scores, %", ["", "IoU"], [["ours", 12.5]])
    return RunResult("ssc", "Completion", "blocks", "tiny", {}, 1, "frames", {}, [table])


def test_everything_in_a_folder_of_runs_makes_one_page(tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    runs.mkdir()
    write_training_run(runs / "field", 4)
    write_training_run(runs / "stopped", 3)
    (runs / "ssc").mkdir()
    write_result(runs / "ssc", evaluation())
    (runs / "begun").mkdir()
    (runs / "begun" / "run.json").write_text("{}")
    (runs / "notes.txt").touch()
    before = sorted(runs.rglob("*"))
    page = tmp_path / "report.html"
    told = scenedino("report", *sorted(runs.iterdir()), "-o", page)
    assert told.returncode == 0, told.stderr
    assert f"{page}: 3 of 5 runs" in told.stdout
    for name in ("begun", "notes.txt"):
        why = "is neither a finished evaluation nor a training run"
        assert f"left out: {runs / name} {why}" in told.stdout
    text = page.read_text()
    assert text.count("<h2") == 3
    assert "Training run field" in text
    assert "4 steps on" in text
    assert "stopped or running: 3 of 4 steps" in text
    assert "Weights: field.safetensors" in text
    # Two curves and a picture of each training run; the evaluation has none.
    assert text.count('src="data:image/png;base64,') == 6
    assert sorted(runs.rglob("*")) == before


def test_damaged_runs_are_named_and_the_others_shown(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("good", "bad"):
        write_training_run(tmp_path / name, 2)
    with (tmp_path / "bad" / "metrics.jsonl").open("a") as file:
        file.write("no json\n")
    page = tmp_path / "report.html"
    runs = [str(tmp_path / name) for name in ("good", "bad", "no")]
    assert main(["report", *runs, "-o", str(page)]) == 1
    told = capsys.readouterr().err
    assert "metrics.jsonl line 3 is not that of a step" in told
    assert f"{tmp_path / 'no'} has no result.json" in told
    assert page.read_text().count("<h2") == 1
    assert main(["report", runs[1], "-o", str(tmp_path / "other.html")]) == 2
    told = capsys.readouterr().err
    assert "none of these is a finished evaluation or a training run" in told


def test_tables_of_a_training_run(tmp_path: Path) -> None:
    write_training_run(tmp_path / "run", 4)
    with (tmp_path / "run" / "metrics.jsonl").open("a") as file:
        file.write(json.dumps({"step": 4})[:-2])  # a line that is being written
    assert is_training_run(tmp_path / "run")
    result = training_result(tmp_path / "run", tmp_path)
    losses, validation = result.tables
    assert losses.rows == [["loss", 4.0, 1.0], ["photometric", 0.25, 0.25]]
    assert list(validation.columns) == ["", "step 2", "step 4"]
    assert validation.rows == [["total", 0.5, 0.25]]
    assert result.settings["run.steps"] == 4
    assert (result.steps, result.items) == (4, 4)
    assert result.figures[-1].caption == "depth after step 4"
    (tmp_path / "run" / "settings.yaml").write_text("- a list")
    with pytest.raises(InputError, match="must hold settings by name, got list"):
        training_result(tmp_path / "run", tmp_path)
