# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Settings of training: defaults, a YAML file over them, and words on the command line."""

import os
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import yaml

from scenedino_ros.core.errors import InputError
from scenedino_ros.core.model_config import ModelConfig
from scenedino_ros.core.parameter_tree import Setting, walk_settings
from scenedino_ros.core.setting import setting
from train import (
    average,
    benchmark_field,
    benchmark_semantics,
    release,
    train_field,
    train_semantics,
)
from train.field.settings import FieldSettings
from train.runs.settings import (
    RunSettings,
    apply_settings,
    changed_settings,
    describe_settings,
    parse_command,
    read_overlay,
    read_settings,
    settings_tree,
    write_settings,
)
from train.semantics.settings import SemanticsSettings

ROOT = Path(__file__).resolve().parents[1]
CONFIGS = ROOT / "train" / "configs"
# Some hundred bytes that stand for a hundred million values.
BOMB = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]\n" for i in range(1, 8)
)
PAGE = (ROOT / "docs" / "training.md").read_text(encoding="utf-8")


@dataclass(frozen=True)
class Rays:
    count: int = setting(2048, "Rays of an item", unit="rays", low=1)
    kind: str = setting("aligned", "How they lie", choices=("aligned", "free"))
    offsets: tuple[int, ...] = setting((10, 40), "Where views lie")


@dataclass(frozen=True)
class Settings:
    rate: float = setting(1e-4, "Learning rate", low=0.0)
    flip: bool = setting(True, "Mirror the image")
    note: str = setting("", "Words on the run")
    rays: Rays = field(default_factory=Rays)
    model: ModelConfig = field(default_factory=ModelConfig)
    run: RunSettings = field(default_factory=RunSettings)


def parse(*words: str) -> Settings:
    return parse_command([*words, "--output", "run"], Settings(), "toy", "about").settings


def test_defaults_file_and_words_lie_over_each_other(tmp_path):
    config = tmp_path / "a.yaml"
    config.write_text("rate: 1e-3\nrays: {count: 64, offsets: [1, 2, 3]}\nrun: {seed: 5}\n")
    command = parse_command(
        ["--config", str(config), "--run.seed", "6", "--output", str(tmp_path), "--resume"],
        Settings(),
        "toy",
        "about",
    )
    settings = command.settings
    assert (command.output, command.resume) == (tmp_path, True)
    assert settings.rate == 1e-3  # which YAML 1.1 takes for text
    assert (settings.rays.count, settings.rays.offsets) == (64, (1, 2, 3))
    assert settings.run.seed == 6
    assert settings.run.steps == RunSettings().steps
    assert settings.rays.kind == "aligned"


def test_a_resumed_run_takes_its_settings_from_its_folder(tmp_path):
    stored = parse("--rate", "3e-5", "--rays.offsets", "4,5", "--run.steps", "70")
    write_settings(tmp_path / "settings.yaml", stored)

    def again(*words: str) -> Settings:
        return parse_command(
            [*words, "--output", str(tmp_path)], Settings(), "toy", "about"
        ).settings

    assert again("--resume") == stored
    longer = again("--resume", "--run.steps", "90")
    assert (longer.run.steps, longer.rate, longer.rays.offsets) == (90, 3e-5, (4, 5))
    assert again() == Settings()  # without --resume it is another run
    # Settings that there no longer are do not stand in the way here; the run's folder tells them.
    with (tmp_path / "settings.yaml").open("a") as file:
        file.write("forgotten: 1\n")
    assert again("--resume") == stored


def test_there_must_be_something_to_resume_or_to_begin(tmp_path):
    words = ["--resume", "--output", str(tmp_path / "new")]
    with pytest.raises(InputError, match="new holds no run to resume; --config or settings"):
        parse_command(words, Settings(), "toy", "about")
    assert parse_command([*words, "--rate", "1"], Settings(), "toy", "about").resume


def test_words_become_values_of_the_right_type():
    words = "--rate 1 --flip false --rays.offsets=[3,4] --model.image_size 96,320"
    settings = parse(*words.split(), "--note", "123")
    assert (settings.rate, type(settings.rate)) == (1.0, float)
    assert settings.flip is False
    assert settings.rays.offsets == (3, 4)
    assert settings.model.image_size == (96, 320)
    assert settings.note == "123"
    assert parse("--rays.offsets", "[]").rays.offsets == ()


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--run.sed", "1"], r"unknown setting 'run.sed'; did you mean 'run.seed'\?"),
        (["--rays", "1"], "unknown setting 'rays'"),
        (["--run.seed", "many"], "run.seed must be a whole number, got 'many'"),
        (["--run.seed", "1.5"], "run.seed must be a whole number, got 1.5"),
        (["--run.seed", "true"], "run.seed must be a whole number, got True"),
        (["--run.seed", "-1"], "run.seed must be in 0 to inf, got -1"),
        (["--rate", "fast"], "rate must be a number, got 'fast'"),
        (["--rate", "nan"], "rate must be in 0.0 to inf, got nan"),
        (["--flip", "1"], "flip must be true or false, got 1"),
        (["--rays.kind", "loose"], "rays.kind must be one of aligned, free, got 'loose'"),
        (["--rays.offsets", "1,b"], "rays.offsets must be a whole number, got 'b'"),
        (["--model.image_size", "1"], "model.image_size must have 2 entries, got 1"),
        (["--model.n_classes", "3"], "n_classes and n_clusters"),
        (["--run.seed"], "setting 'run.seed' must be followed by its value"),
        (["fast"], "expected --name value, got 'fast'"),
    ],
)
def test_wrong_words_are_refused(words, sentence):
    with pytest.raises(InputError, match=sentence):
        parse(*words)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("rays: {cuont: 1}", "unknown setting 'rays.cuont'; did you mean 'rays.count'"),
        ("rays: 3", "unknown setting 'rays'"),
        ("rate: {deep: 1}", "unknown setting 'rate.deep'"),
        ("run: {steps: '10'}", "run.steps must be a whole number, got '10'"),
        ("rays: {offsets: 3}", "rays.offsets must be a list, got 3"),
        ("- 1", "must hold 'name: value' lines"),
        ("a: [", "cannot be read"),
        ("a: " + "[" * 30_000, "cannot be read: it nests more than 50 lists"),
        ("&a {a: *a}", "contains itself"),
        (BOMB, "cannot be read: it stands for more than"),
        ("run: {steps: " + "1" * 100_000 + "}", "a number has more than 400 digits"),
        ("rate: " + "9" * 400, "rate must be a number, got 9999"),
        ("rate: 2001-13-45", "cannot be read: month must be"),
    ],
)
def test_wrong_files_are_refused(tmp_path, text, sentence):
    config = tmp_path / "a.yaml"
    config.write_text(text)
    with pytest.raises(InputError, match=sentence):
        parse("--config", str(config))


@pytest.mark.parametrize("word", ["[" * 30_000, "2001-13-45", "9" * 400])
def test_words_that_no_reader_takes_are_refused(word):
    with pytest.raises(InputError, match="rate must be a number"):
        parse("--rate", word)


def test_a_pipe_is_refused_at_once(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(InputError, match="cannot be read: it must be a file, got a pipe"):
        read_overlay(tmp_path / "pipe")


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(InputError, match="nowhere.yaml cannot be read"):
        read_overlay(tmp_path / "nowhere.yaml")


def test_settings_survive_being_written(tmp_path):
    settings = parse("--rate", "1e-5", "--rays.offsets", "1,2", "--run.steps", "7")
    write_settings(tmp_path / "settings.yaml", settings)
    stored = read_overlay(tmp_path / "settings.yaml")
    assert apply_settings(Settings(), stored) == settings
    assert changed_settings(stored, settings) == []
    tree = yaml.safe_load((tmp_path / "settings.yaml").read_text())
    assert tree == settings_tree(settings)
    assert tree["rays"]["offsets"] == [1, 2]


def test_only_live_settings_may_change():
    stored = {"rays.old": 1}
    for name, value in settings_tree(Settings())["run"].items():
        stored[f"run.{name}"] = value
    now = apply_settings(Settings(), {"run.steps": 5, "run.save_every": 3, "run.seed": 9})
    changed = changed_settings(stored, now)
    assert "run.seed (0 before, 9 now)" in changed
    assert "rays.old (1 before, not set now)" in changed
    assert "rate (not set before, 0.0001 now)" in changed
    assert not any(phrase.startswith(("run.steps", "run.save_every")) for phrase in changed)


def test_help_tells_every_setting(capsys):
    with pytest.raises(SystemExit):
        parse("--help")
    words = capsys.readouterr().out
    assert "--rays.count 2048  Rays of an item [rays]" in words
    assert "--rays.kind aligned  How they lie: aligned, free" in words
    assert "--model.image_size [192,640]" in words
    assert "--run.steps 100000" in words
    assert len(describe_settings(Settings()).splitlines()) > len(RunSettings.__annotations__)


def shown(value: object) -> str:
    """Return a value as the page writes it."""
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if isinstance(value, tuple):
        return f"`[{', '.join(map(str, value))}]`"
    return f"`{value}`" if value != "" else '`""`'


def table_of(items: Iterable[Setting]) -> str:
    """Return the rows of settings with their defaults and what they mean."""
    rows = []
    for item in items:
        meaning = item.metadata["doc"]
        if item.metadata["choices"]:
            meaning += f" ({', '.join(f'`{c}`' for c in item.metadata['choices'])})"
        meaning += f" [{item.metadata['unit']}]" if item.metadata["unit"] else ""
        meaning += "; live" if item.metadata["live"] else ""
        rows.append(f"| `{item.name}` | {shown(item.value)} | {meaning} |\n")
    return "".join(rows)


def test_the_page_has_every_setting_with_its_default_and_meaning() -> None:
    field = list(walk_settings(FieldSettings()))
    semantics = list(walk_settings(SemanticsSettings()))
    every_run = [item for item in field if item.name.startswith("run.")]
    values = {item.name: item.value for item in every_run}
    assert table_of(every_run) in PAGE
    assert table_of(i for i in field if not i.name.startswith(("run.", "model."))) in PAGE
    assert table_of(i for i in semantics if values.get(i.name) != i.value) in PAGE
    # The architecture has no words in the code: the page has its own.
    model = [(f"`{i.name}`", shown(i.value)) for i in field if i.name.startswith("model.")]
    assert re.findall(r"^\| (`model\.\w+`) \| (`.+?`) \| \w.* \|$", PAGE, re.MULTILINE) == model


@pytest.mark.parametrize("path", sorted(CONFIGS.glob("[fs]*_*.yaml")), ids=lambda path: path.stem)
def test_a_settings_file_holds_only_what_differs_from_the_defaults(path: Path) -> None:
    stage = FieldSettings() if path.name.startswith("field_") else SemanticsSettings()
    defaults = {item.name: item.value for item in walk_settings(stage)}
    settings = read_settings(stage, path, [])
    values = {item.name: item.value for item in walk_settings(settings)}
    named = read_overlay(path)
    assert named
    assert [name for name in named if values[name] == defaults[name]] == []


@pytest.mark.parametrize(
    "command",
    [average, benchmark_field, benchmark_semantics, release, train_field, train_semantics],
    ids=lambda module: module.__name__,
)
def test_help_shows_the_example_that_the_documentation_test_runs(command, capsys) -> None:
    with pytest.raises(SystemExit) as ended:
        command.main(["--help"])
    assert ended.value.code == 0
    words = capsys.readouterr().out
    assert f"    {command.NAME} " in command.__doc__
    assert command.__doc__.strip() in words
