# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Tables of the paper as chains of commands: `scenedino reproduce`."""

import json
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from scenedino_ros.cli.main import build_parser, main
from scenedino_ros.core.errors import InputError, SceneDinoError
from scenedino_ros.reproduction.kitti360_recipe import kitti360_recipe
from scenedino_ros.reproduction.measures import TABLES
from scenedino_ros.reproduction.recipe import Recipe, Step
from scenedino_ros.reproduction.report import reproduced
from scenedino_ros.reproduction.runner import StepRunner
from scenedino_ros.reproduction.street_recipe import SCALES, street_recipe
from train.field.settings import FieldSettings
from train.runs.settings import parse_command
from train.semantics.settings import SemanticsSettings

SEEDS = (0, 1)
RECIPES = {
    **{
        (table, name): street_recipe(table, scale, SEEDS, "default")
        for table in TABLES
        for name, scale in SCALES.items()
    },
    **{
        (table, "kitti360"): kitti360_recipe(table, Path("/data/KITTI-360"), SEEDS)
        for table in TABLES
    },
}
SETTINGS = {"train.train_field": FieldSettings, "train.train_semantics": SemanticsSettings}


@pytest.mark.parametrize("key", RECIPES, ids="-".join)
def test_every_command_of_a_recipe_is_one(key: tuple[str, str], tmp_path: Path) -> None:
    recipe, runner = RECIPES[key], StepRunner(tmp_path)
    for step in recipe.steps.values():
        program, arguments = step.words[0], runner.command(step)[3:]
        if program == "scenedino":
            build_parser(arguments).parse_args(arguments)
        else:
            parse_command(arguments, SETTINGS[program](), program, "")


@pytest.mark.parametrize("key", RECIPES, ids="-".join)
def test_steps_come_after_what_they_need(key: tuple[str, str]) -> None:
    recipe = RECIPES[key]
    ordered = [step.name for step in recipe.order(recipe.rows)]
    assert sorted(ordered) == sorted(recipe.steps)
    for step in recipe.steps.values():
        assert all(ordered.index(other) < ordered.index(step.name) for other in step.needs)
        # What a step reads of a run, another step has written.
        read = [word.split("/")[1] for word in step.words if word.startswith("runs/")]
        assert set(read) <= {step.name, *step.needs, *recipe.steps}
    assert all(len(row.steps) == 2 for row in recipe.rows)


@pytest.mark.parametrize("scale", ["tiny", "kitti360"])
def test_tables_share_their_steps(scale: str) -> None:
    shared: dict[str, Step] = {}
    for table in TABLES:
        for step in RECIPES[table, scale].steps.values():
            assert shared.setdefault(step.name, step).words == step.words
    assert len(shared) < sum(len(RECIPES[table, scale].steps) for table in TABLES)


def test_rows_are_chosen_by_words_of_their_names() -> None:
    recipe = RECIPES["ssc", "tiny"]
    names = [row.method for row in recipe.chosen(("stego", "linear"))]
    assert names == ["S4C + STEGO", "SceneDINO, linear probe"]
    needed = {step.name for step in recipe.order(recipe.chosen(("labels of the streets",)))}
    assert "scenedino_field_0" not in needed
    assert {"drives_train", "index_train", "s4c_labels_0", "score_s4c_labels_0"} <= needed
    with pytest.raises(InputError, match="no row has 'monoscene' in its name; rows: SceneDINO, "):
        recipe.chosen(("monoscene",))


def test_a_step_is_run_once_and_its_failure_named(tmp_path: Path) -> None:
    runner = StepRunner(tmp_path)
    step = Step("help", ("scenedino", "info", "--help"))
    assert runner.done(step) is None
    runner.run([step])
    assert "usage: scenedino info" in (tmp_path / "logs/help.log").read_text()
    done = runner.done(step)
    assert done is not None
    assert done.seconds > 0
    with pytest.raises(InputError, match="was made by another command, 'scenedino info --help'"):
        runner.done(Step("help", ("scenedino", "info")))
    wrong = Step("wrong", ("scenedino", "info", "nothing.safetensors"))
    with pytest.raises(SceneDinoError, match="(?s)step wrong ended with 2; its log .*nothing"):
        runner.run([wrong])
    assert runner.done(wrong) is None


def python_step(name: str, code: str, *needs: str) -> Step:
    """Return a step that runs some lines of Python in the folder of the reproduction."""
    return Step(name, ("runpy", "-c", code), needs)


@pytest.fixture
def lines_as_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    def command(self: StepRunner, step: Step) -> list[str]:
        return [sys.executable, *step.words[1:]]

    monkeypatch.setattr(StepRunner, "command", command)


MEET = """
import pathlib, time
pathlib.Path({mine!r}).touch()
while not pathlib.Path({other!r}).exists():
    time.sleep(0.01)
"""


@pytest.mark.usefixtures("lines_as_steps")
def test_steps_run_beside_each_other_where_they_may(tmp_path: Path) -> None:
    meet = [MEET.format(mine=mine, other=other) for mine, other in (("a", "b"), ("b", "a"))]
    steps = [
        python_step("first", "print('first')"),
        python_step("left", meet[0], "first"),
        python_step("last", "import pathlib; pathlib.Path('a').rename('c')", "left", "right"),
        python_step("right", meet[1], "first"),  # would wait for ever if it ran after the left one
    ]
    begun: list[str] = []
    StepRunner(tmp_path).run(steps, jobs=2, begun=lambda step: begun.append(step.name))
    assert begun == ["first", "left", "right", "last"]
    assert (tmp_path / "c").exists()


@pytest.mark.usefixtures("lines_as_steps")
def test_no_more_steps_run_at_a_time_than_asked_for(tmp_path: Path) -> None:
    alone = "import os, time; os.mkdir('busy'); time.sleep(0.3); os.rmdir('busy')"
    StepRunner(tmp_path).run([python_step(name, alone) for name in "abc"], jobs=1)
    assert len(list((tmp_path / "steps").iterdir())) == 3


@pytest.mark.usefixtures("lines_as_steps")
@pytest.mark.parametrize("code", [130, 0])  # stopped, or done just before
def test_a_step_that_fails_stops_those_beside_it(tmp_path: Path, code: int) -> None:
    wait = (
        "import pathlib, sys, time\n"
        "pathlib.Path('begun').touch()\n"
        "try: time.sleep(600)\n"
        "except KeyboardInterrupt: pathlib.Path('saved').touch(); "
        f"sys.exit({code})"
    )
    fail = (
        "import pathlib, time\nwhile not pathlib.Path('begun').exists(): time.sleep(0.01)\n1 / 0"
    )
    steps = [
        python_step("long", wait),
        python_step("wrong", fail),
        python_step("next", "0", "wrong"),
    ]
    runner = StepRunner(tmp_path)
    with pytest.raises(SceneDinoError, match=r"(?s)step wrong ended with 1; .*ZeroDivisionError"):
        runner.run(steps, jobs=2)
    assert (tmp_path / "saved").exists()
    records = [
        json.loads((tmp_path / f"steps/{name}.json").read_text()) for name in ("long", "wrong")
    ]
    assert [record["finished"] for record in records] == [code == 0, False]
    assert all(record["seconds"] > 0 for record in records)
    assert not (tmp_path / "logs/next.log").exists()


def test_training_is_started_by_torchrun_where_asked(tmp_path: Path) -> None:
    step = Step("field", ("train.train_field", "--config", "CONFIGS/field_smoke.yaml"))
    words = StepRunner(tmp_path, processes=8).command(step)
    assert words[1:7] == [
        *("-m", "torch.distributed.run", "--nproc_per_node", "8", "-m"),
        "train.train_field",
    ]
    assert Path(words[-1]).is_file()


def test_the_table_has_means_and_spread_beside_the_published(tmp_path: Path) -> None:
    rows = RECIPES["ssc", "smoke"].rows
    row = next(row for row in rows if row.method == "S4C + STEGO")
    steps = {name: Step(name, ("scenedino",)) for name in row.steps}
    recipe = Recipe("streets", TABLES["ssc"], steps, (row,))
    runner = StepRunner(tmp_path)
    for number, name in enumerate(row.steps):
        at = {"12.8": 0.5, "25.6": 0.4, "51.2": 0.3 + 0.1 * number}
        folder = tmp_path / "scores" / name.removeprefix("score_")
        folder.mkdir(parents=True)
        scores = {"network": {"0.5": {"direct": {"iou": at, "miou": at}}, "0.2": {}}}
        (folder / "result.json").write_text(json.dumps({"scores": scores}))
        record = {"words": ["scenedino"], "seconds": 1800, "finished": True}
        (tmp_path / "steps" / f"{name}.json").write_text(json.dumps(record))
    table = reproduced(recipe, (row,), runner)
    assert list(table.rows[0]) == [
        *("S4C + STEGO", "50.00 (0.00)", "40.00 (0.00)", "35.00 (5.00)"),
        *("50.00 (0.00)", "40.00 (0.00)", "35.00 (5.00)", 10.53, 9.26, 6.60, 1.0),
    ]


def test_a_chain_of_real_commands_makes_its_table_once(tmp_path: Path) -> None:
    """The smallest chain: streets, frame stores, S4C with their labels, scores."""
    scale = replace(SCALES["smoke"], frames=4, field_steps=2)
    recipe = street_recipe("ssc", scale, (0,), "random")
    rows, runner = recipe.chosen(("labels of the streets",)), StepRunner(tmp_path)
    steps = recipe.order(rows)
    runner.run(steps, jobs=2)
    table = reproduced(recipe, rows, runner)
    (cells,) = table.rows
    values = [float(cell) for cell in cells[1:7]]
    assert len(table.columns) == len(cells) == 11
    assert all(0 <= value <= 100 for value in values)
    result = json.loads((tmp_path / "scores/s4c_labels_0/result.json").read_text())
    assert result["items"] > 0
    assert all(runner.done(step) is not None for step in steps)


def test_the_plan_says_what_is_to_do(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["reproduce", "ssc", "-o", str(tmp_path), "--rows", "labels of the streets", "--plan"]
    assert main(words) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("drives_train (to do): scenedino synthesize drives/train --seeds ")
    assert lines[-1].startswith("score_s4c_labels_0 (to do): scenedino evaluate ssc test/kitti360")
    assert main([*words, "--data", "KITTI-360"]) == 2
    assert "--data is for --scale kitti360" in capsys.readouterr().err
    assert main([*words, "--scale", "kitti360"]) == 2
    assert "--scale kitti360 needs --data, a folder, got none" in capsys.readouterr().err
