# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""A training loop in real processes: killed at any moment, stopped, spread over two processes.

The loop is the example in the docstring of `train.runs.run`, word for word.
"""

import io
import json
import multiprocessing
import os
import random
import runpy
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from dataclasses import dataclass
from multiprocessing.process import BaseProcess
from pathlib import Path

import numpy as np
import pytest
import torch
from lightning_fabric import Fabric
from rich.console import Console
from rich.text import Text
from safetensors.torch import load_file
from torch import nn

import train.runs.run
from scenedino_ros.core.errors import InputError
from scenedino_ros.terminal import progress
from train.runs.launch import Stopped, exit_code, launch, local_items, reduce_losses, stop_signals
from train.runs.run import RunFolder
from train.runs.settings import RunSettings

ROOT = Path(__file__).resolve().parents[1]
STEPS = 300
WORDS = "--run.device cpu --run.batch_size 16 --run.save_every 7 --run.log_every 50".split()
# A server imports torch once; every process of a test is its fork.
FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload(["train.runs.run"])


def run_script(script: Path, words: list[str], log: Path) -> None:
    """Be a fresh process that runs a script, with its output in a file."""
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    torch.set_num_threads(1)
    sys.argv = [str(script), *words]
    runpy.run_path(str(script), run_name="__main__")


class Toy:
    """The example loop as a script that can be started in any folder."""

    def __init__(self, folder: Path) -> None:
        _, example = train.runs.run.__doc__.split("::\n", 1)
        self.script = folder / "toy.py"
        self.script.write_text(textwrap.dedent(example), encoding="utf-8")
        self.log = folder / "log.txt"

    def start(self, output: Path, *words: str) -> BaseProcess:
        words = ("--output", str(output), *WORDS, *words)
        process = FORKS.Process(target=run_script, args=(self.script, [*words], self.log))
        process.start()
        return process

    def finish(self, output: Path, *words: str) -> int | None:
        process = self.start(output, *words)
        process.join(1800)
        return process.exitcode


@pytest.fixture(scope="module")
def toy(tmp_path_factory: pytest.TempPathFactory) -> Toy:
    return Toy(tmp_path_factory.mktemp("toy"))


@pytest.fixture(scope="module")
def whole(toy: Toy, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a run that nothing interrupted."""
    output = tmp_path_factory.mktemp("whole") / "run"
    assert toy.finish(output, "--run.steps", str(STEPS)) == 0, toy.log.read_text()
    return output


def losses(output: Path) -> list[float]:
    lines = (output / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    entries = [json.loads(line) for line in lines]
    assert [entry["step"] for entry in entries] == list(range(len(entries)))
    return [entry["loss"] for entry in entries]


def wait_for_step(process: BaseProcess, output: Path, step: int) -> None:
    """Wait until a step is logged, or the process has ended."""
    metrics = output / "metrics.jsonl"
    while process.is_alive():
        lines = metrics.read_bytes().splitlines() if metrics.exists() else []
        if len(lines) > step:
            return
        time.sleep(0.002)


def assert_same_run(output: Path, expected: Path) -> None:
    assert (output / "metrics.jsonl").read_bytes() == (expected / "metrics.jsonl").read_bytes()
    tensors = load_file(output / "state.safetensors")
    for name, tensor in load_file(expected / "state.safetensors").items():
        assert torch.equal(tensors[name], tensor), name


def test_the_example_learns_and_leaves_what_it_says(toy, whole):
    values = losses(whole)
    assert len(values) == STEPS
    assert np.mean(values[-50:]) < 0.25 * np.mean(values[:10])
    starts = json.loads((whole / "origin.json").read_text())["starts"]
    assert [(start["first_step"], start["seed"]) for start in starts] == [(0, 0)]
    assert starts[0]["packages"]["torch"] == torch.__version__.split("+")[0]
    assert "seed: 0" in (whole / "settings.yaml").read_text()
    assert list((whole / "tensorboard").iterdir()) != []
    assert f"step {STEPS}/{STEPS}, 0 s left, loss" in toy.log.read_text()


def test_a_run_killed_again_and_again_ends_as_if_nothing_happened(toy, whole, tmp_path):
    output = tmp_path / "run"
    moments = random.Random(4)
    for start in range(0, 240, 60):
        process = toy.start(output, "--run.steps", str(STEPS), "--resume")
        wait_for_step(process, output, start + moments.randrange(60))
        time.sleep(moments.random() * 0.01)
        process.kill()
        process.join()
        assert process.exitcode in (-signal.SIGKILL, 0), toy.log.read_text()
    assert toy.finish(output, "--run.steps", str(STEPS), "--resume") == 0, toy.log.read_text()
    assert_same_run(output, whole)
    assert [path.name for path in output.glob(".*.partial")] == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_run_that_is_asked_to_stop_finishes_its_step_and_saves(toy, whole, tmp_path, number):
    output = tmp_path / "run"
    process = toy.start(output, "--run.steps", str(STEPS))
    wait_for_step(process, output, 20)
    os.kill(process.pid, number)
    process.join()
    assert process.exitcode == 130, toy.log.read_text()
    done = len(losses(output))
    sentence = f"toy: stopped after step {done} of {STEPS}, saved in {output}; --resume continues"
    assert sentence in toy.log.read_text()
    assert "Traceback" not in toy.log.read_text()
    assert toy.finish(output, "--resume") == 0  # the folder alone says the rest
    starts = json.loads((output / "origin.json").read_text())["starts"]
    assert [start["first_step"] for start in starts] == [0, done]
    assert_same_run(output, whole)


def test_a_run_whose_loss_explodes_stops_with_the_batch_saved(toy, tmp_path):
    output = tmp_path / "run"
    assert toy.finish(output, "--learning_rate", "1e30") == 2
    step = len(losses(output))
    (path,) = output.glob("nonfinite_*")
    assert f"at step {step}; the batch is saved in {path}" in toy.log.read_text()
    assert set(load_file(path)) == {"batch.x", "batch.y"}
    assert load_file(path)["batch.x"].shape == (16, 3)


def test_bfloat16_learns_too(toy, whole, tmp_path):
    output = tmp_path / "run"
    words = ("--run.steps", "20", "--run.precision", "bf16-mixed")
    assert toy.finish(output, *words) == 0, toy.log.read_text()
    assert losses(output) == pytest.approx(losses(whole)[:20], rel=0.2)
    assert losses(output) != losses(whole)[:20]


@pytest.mark.slow
def test_two_processes_learn_what_one_does(toy, whole, tmp_path):
    output = tmp_path / "run"
    torchrun = (sys.executable, "-m", "torch.distributed.run", "--standalone")
    result = subprocess.run(
        [*torchrun, "--nproc_per_node=2", toy.script, "--output", output, *WORDS]
        + ["--run.steps", "30"],
        env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=1800,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    assert result.stderr.count("step 30/30") == 1  # only one process tells
    assert losses(output) == pytest.approx(losses(whole)[:30], rel=1e-4)
    # One process goes on with what two have begun.
    assert toy.finish(output, "--run.steps", "60", "--resume") == 0, toy.log.read_text()
    assert losses(output) == pytest.approx(losses(whole)[:60], rel=1e-3)
    starts = json.loads((output / "origin.json").read_text())["starts"]
    assert [start["processes"] for start in starts] == [2, 1]


@dataclass(frozen=True)
class Stage:
    run: RunSettings


def settings_of(**run: int) -> Stage:
    return Stage(RunSettings(**run))


@pytest.fixture
def fabric() -> Iterator[Fabric]:
    with torch.random.fork_rng(devices=[]):
        yield launch(RunSettings(device="cpu"))


def test_a_folder_is_begun_once_and_resumed_with_the_same_settings(tmp_path, fabric):
    with RunFolder(tmp_path / "run", settings_of(), fabric, resume=True) as run:
        assert run.restore({}, {}) == (0, {})
        run.save(3, {}, {}, {"best": 1.5})
        with pytest.raises(InputError, match="run is in use by another process"):
            RunFolder(tmp_path / "run", settings_of(), fabric, resume=True)
    with pytest.raises(InputError, match="holds a run already; add --resume to resume it"):
        RunFolder(tmp_path / "run", settings_of(), fabric, resume=False)
    with pytest.raises(InputError, match=r"cannot be resumed with run.seed \(0 before, 1 now\)"):
        RunFolder(tmp_path / "run", settings_of(seed=1), fabric, resume=True)
    with RunFolder(tmp_path / "run", settings_of(steps=9), fabric, resume=True) as run:
        assert run.restore({}, {}) == (3, {"best": 1.5})
        assert list(run.steps(3)) == [3, 4, 5, 6, 7, 8]
        assert [run.is_due(step, 4) for step in range(9)] == [False, False, False, True] * 2 + [
            True
        ]
    assert "steps: 9" in (tmp_path / "run/settings.yaml").read_text()


def test_a_run_that_did_no_step_leaves_its_folder_free(tmp_path, fabric):
    path = tmp_path / "run"
    with RunFolder(path, settings_of(seed=1), fabric, resume=False) as run:
        run.restore({}, {})  # and then it fails, in whatever way
        assert not run.has_state
    (path / "cache").mkdir()
    with RunFolder(path, settings_of(seed=2), fabric, resume=False) as run:
        assert run.restore({}, {}) == (0, {})
        run.log(0, {"loss": 1.0})
    assert "seed: 2" in (path / "settings.yaml").read_text()
    assert (path / "cache").is_dir()  # what was computed is not lost
    with pytest.raises(InputError, match="holds a run already"):
        RunFolder(path, settings_of(seed=3), fabric, resume=False)
    with pytest.raises(InputError, match="cannot be resumed with run.seed"):
        RunFolder(path, settings_of(seed=3), fabric, resume=True)


def test_a_folder_with_something_else_is_refused(tmp_path, fabric):
    (tmp_path / "thesis.tex").touch()
    with pytest.raises(InputError, match="must be new, empty or the folder of a run"):
        RunFolder(tmp_path, settings_of(), fabric, resume=True)


def test_items_must_be_shared_evenly(fabric):
    assert local_items(fabric, 3) == range(3)

    class Second:
        world_size, global_rank = 2, 1

    assert list(local_items(Second(), 6)) == [1, 3, 5]
    with pytest.raises(InputError, match="run.batch_size must be a multiple of the 2 .*, got 3"):
        local_items(Second(), 3)


def test_losses_of_one_process_are_themselves(fabric):
    a, b = torch.tensor(0.1, requires_grad=True), torch.tensor(2.5, dtype=torch.bfloat16)
    reduced = reduce_losses(fabric, {"a": a, "b": b}, stop=False)
    assert reduced.values == {"a": pytest.approx(0.1), "b": 2.5}
    assert not reduced.stop
    assert reduce_losses(fabric, {"a": a}, stop=True).stop


def test_a_missing_gpu_is_told(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(InputError, match="no usable GPU"):
        launch(RunSettings(device="cuda"))


def test_signals_are_taken_only_inside_the_block():
    before = signal.getsignal(signal.SIGINT)
    with stop_signals() as stop:
        assert not stop.requested
        os.kill(os.getpid(), signal.SIGINT)
        assert stop.requested
    assert signal.getsignal(signal.SIGINT) is before


@pytest.mark.parametrize(
    ("error", "code", "words"),
    [
        (InputError("rate must be 1"), 2, "toy: rate must be 1\n"),
        (Stopped("stopped after step 3"), 130, "toy: stopped after step 3\n"),
        (KeyboardInterrupt(), 130, "toy: stopped\n"),
        (MemoryError("no room"), 2, "toy: out of memory, smaller batches help: no room\n"),
        (OSError(28, "No space left on device", "a.b"), 2, "toy: No space left on device: a.b\n"),
    ],
)
def test_endings_are_told_in_one_sentence(capsys, error, code, words):
    def body() -> None:
        raise error

    assert exit_code("toy", body) == code
    assert capsys.readouterr().err == words
    assert exit_code("toy", lambda: None) == 0


def test_bugs_keep_their_traceback():
    with pytest.raises(ZeroDivisionError):
        exit_code("toy", lambda: [][1 // 0])


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> io.StringIO:
    text = io.StringIO()
    console = Console(file=text, force_terminal=True, width=120)
    monkeypatch.setattr(progress, "Console", lambda stderr: console)
    return text


def test_a_terminal_shows_a_bar_with_the_time_left(terminal):
    with progress.counting_steps(2, 10, every=1) as show:
        for step in range(2, 10):
            show(step, {"loss": 0.25})
    last = Text.from_ansi(terminal.getvalue()).plain.splitlines()[-1]
    assert "100% 10/10" in last
    assert "left 0:00:00 loss 0.25" in last


def test_without_a_terminal_lines_come_now_and_then(capsys):
    with progress.counting_steps(0, 5, every=2) as show:
        for step in range(5):
            show(step, {"loss": 1 / 3})
    lines = capsys.readouterr().err.splitlines()
    assert [line.split(",")[0] for line in lines] == ["step 2/5", "step 4/5", "step 5/5"]
    assert lines[-1] == "step 5/5, 0 s left, loss 0.3333"


def test_wrapped_and_bare_modules_have_one_state(tmp_path, fabric):
    network = nn.Linear(3, 2)
    optimizer = torch.optim.Adam(network.parameters())
    model, adam = fabric.setup(network, optimizer)
    for name, parts in (("bare", (network, optimizer)), ("wrapped", (model, adam))):
        train.runs.run.save_state(tmp_path / name, 0, {"n": parts[0]}, {"a": parts[1]})
    assert set(load_file(tmp_path / "wrapped")) == set(load_file(tmp_path / "bare"))
