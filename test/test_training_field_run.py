# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Whole runs of stage 1 in real processes: killed, spread over two, broken by a number; benchmark.

The published settings on a small network: a trained encoder, flips, shifted targets, artefacts.
"""

import json
import multiprocessing
import os
import re
import shutil
import socket
import time
from collections.abc import Iterator
from dataclasses import replace
from multiprocessing.process import BaseProcess
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from small_fields import NEARBY, with_store, write_drives
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from scenedino_ros.checkpoints.checkpoint import load_checkpoint
from scenedino_ros.core import backbones, disk_space
from scenedino_ros.core.backbones import BackboneSpec
from scenedino_ros.inference.predictor import Predictor
from scenedino_ros.network.encoder import Encoder
from scenedino_ros.recordings.frame_store.store import FrameStore
from train import benchmark_field, train_field
from train.field import benchmark as field_benchmark
from train.field.data import FieldData, ItemTensors
from train.field.settings import FieldSettings
from train.runs.settings import read_settings, write_settings

CONFIGS = Path(__file__).resolve().parents[1] / "train" / "configs"
STEPS = 5
# Smaller than any published one, so that states are written quickly.
TINY_BACKBONE = {"vit_tiny": BackboneSpec("vit_tiny_patch16_224", 192, 3, 16, 16)}
SMALL = """--encoder.weights random --model.backbone vit_tiny
    --model.image_size 64,160 --model.decoder_width 48
    --model.hidden_dim 32 --model.feature_dim 8 --model.expansion_dim 16 --run.device cpu
    --rays.samples 8 --run.workers 1""".split()
# A server imports torch once; every process of a test is its fork.
FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload(["train.train_field"])


@pytest.fixture(scope="module", autouse=True)
def _backbone() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(backbones, "BACKBONES", {**backbones.BACKBONES, **TINY_BACKBONE})
        yield


@pytest.fixture(scope="module")
def drives(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return write_drives(tmp_path_factory.mktemp("drives"))


@pytest.fixture(scope="module")
def published(drives: dict[str, Path]) -> list[str]:
    """Return the words of a run with the published settings, but for its size."""
    config = CONFIGS / "field_dinov2_vitb14.yaml"
    return [
        *f"--config {config} --run.precision float32".split(),
        *f"--data.stores {drives['long']} --data.validation {drives['long']}".split(),
        *"--data.validation_items 2 --validate_every 2 --run.batch_size 2".split(),
        *f"--rays.patches 4 --run.steps {STEPS} --run.save_every 2 --keep 2".split(),
        *SMALL,
    ]


def run_main(words: list[str], log: Path, environment: dict[str, str]) -> None:
    """Be a process of a run, with its output in a file."""
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    os.environ.update(environment)
    torch.set_num_threads(1)
    backbones.BACKBONES.update(TINY_BACKBONE)
    raise SystemExit(train_field.main(words))


def start(words: list[str], output: Path, **environment: str) -> BaseProcess:
    log = output.with_suffix(".txt")
    process = FORKS.Process(
        target=run_main, args=([*words, "--output", str(output)], log, environment)
    )
    process.start()
    return process


def finish(words: list[str], output: Path) -> None:
    process = start(words, output)
    process.join()
    assert process.exitcode == 0, output.with_suffix(".txt").read_text()


@pytest.fixture(scope="module")
def whole(published: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a run that nothing interrupted."""
    output = tmp_path_factory.mktemp("whole") / "run"
    finish(published, output)
    return output


def losses(output: Path, name: str = "metrics.jsonl") -> list[dict[str, float]]:
    return [json.loads(line) for line in (output / name).read_text().splitlines()]


def test_a_run_leaves_what_it_says(whole: Path) -> None:
    entries = losses(whole)
    assert [entry["step"] for entry in entries] == list(range(STEPS))
    assert {"total", "photometric", "feature", "gradient_norm"} <= set(entries[0])
    scores = losses(whole, "validation.jsonl")
    assert [entry["step"] for entry in scores] == [1, 3, 4]
    best = load_checkpoint(whole / "field_best.safetensors")
    chosen = min(scores, key=lambda entry: entry["feature"])["step"] + 1
    told = f"geometry and features after {chosen} training steps"
    assert best.provenance["weights"] == told
    last = load_checkpoint(whole / "field.safetensors")
    snapshots = sorted((whole / "snapshots").iterdir())
    assert [path.name for path in snapshots] == ["0000004.safetensors", "0000005.safetensors"]
    before, kept = (load_checkpoint(path).state for path in snapshots)
    assert all(torch.equal(kept[name], tensor) for name, tensor in last.state.items())
    assert not all(torch.equal(before[name], tensor) for name, tensor in last.state.items())
    state = load_file(whole / "state.safetensors")
    assert "model/artifact" in state
    for name, tensor in last.state.items():
        assert torch.equal(tensor, state[f"model/network.{name}"]), name
    assert {"learning_rate", "learning_rate_encoder"} <= set(entries[0])
    for name in ("image", "depth", "features", "colors"):
        assert (whole / "pictures" / f"{name}_{STEPS - 1:07d}.png").is_file()


def test_a_start_that_failed_leaves_its_folder_to_the_corrected_command(
    published: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [*published, "--output", str(tmp_path / "run"), "--run.steps", "1"]
    for wrong, sentence in (
        ("--data.stores=nowhere", "no frame store is at 'nowhere'"),
        ("--encoder.weights=nowhere.pth", "weights nowhere.pth cannot be read"),
        ("--start=nowhere.safetensors", "'nowhere.safetensors' is neither a file nor a name"),
        ("--data.encoder_cameras=nose", "must have a camera of --data.encoder_cameras, nose"),
    ):
        assert train_field.main([*words, wrong]) == 2
        assert sentence in capsys.readouterr().err
    assert train_field.main(words) == 0
    assert train_field.main(words) == 2
    assert "holds a run already; add --resume to resume it" in capsys.readouterr().err


def test_tensorboard_has_rates_depth_errors_and_pictures(
    published: list[str], drives: dict[str, Path], tmp_path: Path
) -> None:
    shutil.copytree(drives["long"], tmp_path / "known")
    known = FrameStore(tmp_path / "known")
    depth = np.full((len(known), *known.image_size), 7, np.float16)
    np.save(tmp_path / "known" / "depth_camera_00.npy", depth)
    words = [*published, "--run.steps", "2", "--run.log_every", "1"]
    words += ["--data.validation", str(tmp_path / "known"), "--data.validation_items", "4"]
    output = tmp_path / "run"
    assert train_field.main([*words, "--output", str(output)]) == 0
    board = EventAccumulator(str(output / "tensorboard"))
    board.Reload()
    scalars = board.Tags()["scalars"]
    for name in ("train/learning_rate", "train/learning_rate_encoder", "train/total"):
        assert name in scalars
    (error,) = board.Scalars("validation/depth_abs_rel")
    assert error.value == pytest.approx(losses(output, "validation.jsonl")[0]["depth_abs_rel"])
    assert 0.01 < error.value < 10
    assert {"image", "depth", "features", "colors"} <= set(board.Tags()["images"])


def test_a_killed_run_ends_as_if_nothing_happened(
    published: list[str], whole: Path, tmp_path: Path
) -> None:
    output = tmp_path / "run"
    metrics = output / "metrics.jsonl"
    for wanted in (1, 4):  # before anything is saved, and between two saved states
        process = start([*published, "--resume"], output)
        while process.is_alive():
            if metrics.exists() and metrics.read_bytes().count(b"\n") >= wanted:
                break
            time.sleep(0.002)
        process.kill()
        process.join()
    finish(["--resume"], output)  # the folder alone says the rest
    for name in ("metrics.jsonl", "validation.jsonl"):
        assert (output / name).read_bytes() == (whole / name).read_bytes()
    tensors = load_file(output / "state.safetensors")
    for name, tensor in load_file(whole / "state.safetensors").items():
        assert torch.equal(tensors[name], tensor), name


def test_two_processes_learn_what_one_does(
    published: list[str], whole: Path, tmp_path: Path
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    # What torchrun tells its processes.
    common = {
        "TORCHELASTIC_RUN_ID": "test",
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
        "WORLD_SIZE": "2",
        "LOCAL_WORLD_SIZE": "2",
        "GROUP_RANK": "0",
    }
    output = tmp_path / "run"
    processes = [
        start(published, output, **common, RANK=str(rank), LOCAL_RANK=str(rank))
        for rank in range(2)
    ]
    for process in processes:
        process.join()
        assert process.exitcode == 0, output.with_suffix(".txt").read_text()
    for name in ("metrics.jsonl", "validation.jsonl"):
        for ours, expected in zip(losses(output, name), losses(whole, name), strict=True):
            assert ours == pytest.approx(expected, rel=2e-3), name
    first, expected = losses(output)[0], losses(whole)[0]
    assert first == pytest.approx(expected, rel=1e-5)  # before anything is learned
    starts = json.loads((output / "origin.json").read_text())["starts"]
    assert [entry["processes"] for entry in starts] == [2]


def test_a_number_that_is_none_stops_the_run_with_the_batch_saved(
    published: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    item_of = FieldData.item

    def broken(self: FieldData, step: int, place: int, **options: bool) -> ItemTensors:
        item = item_of(self, step, place, **options)
        if (step, place) == (1, 1):
            item.image[0, 5, 7] = torch.nan
        return item

    monkeypatch.setattr(FieldData, "item", broken)
    output = tmp_path / "run"
    assert train_field.main([*published, "--output", str(output)]) == 2
    (path,) = output.glob("nonfinite_*")
    assert f"at step 1; the batch is saved in {path}" in capsys.readouterr().err
    (name,) = [
        name for name, t in load_file(path).items() if t.is_floating_point() and t.isnan().any()
    ]
    assert name.endswith(".image")
    assert len(losses(output)) == 1
    assert not (output / "state.safetensors").exists()


def test_a_frozen_encoder_is_cached_and_the_run_gives_a_checkpoint(
    drives: dict[str, Path], tmp_path: Path
) -> None:
    output, weights = tmp_path / "run", tmp_path / "encoder.safetensors"
    save_file(Encoder("vit_tiny", (64, 160)).vit.state_dict(), weights)
    words = [
        *f"--config {CONFIGS / 'field_default.yaml'} --data.stores {drives['short']}".split(),
        *"--data.shares 1 --data.every 1 --rays.patches 8 --run.save_every 2".split(),
        *f"--run.steps 3 --encoder.cache {tmp_path / 'cache'} --optimiser.warmup 2".split(),
        *SMALL,
        *f"--encoder.weights {weights}".split(),
    ]
    finish(words, output)
    assert len(list((tmp_path / "cache").glob("*/camera_0?.npy"))) == 4
    weights.unlink()  # all weights are in the run's state
    finish(["--resume", "--run.steps", "5"], output)
    assert len(losses(output)) == 5
    assert len(list((tmp_path / "cache").glob("[!.]*"))) == 1  # features of one encoder alone
    rates = [entry["learning_rate"] for entry in losses(output)]
    assert rates[:3] == pytest.approx([0.5e-3, 1e-3, 0.3e-3])
    predictor = Predictor(load_checkpoint(output / "field.safetensors"), device="cpu")
    assert predictor.weights.startswith("geometry and features after 5")


def test_caches_that_the_disk_has_no_room_for_are_refused(
    drives: dict[str, Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    usage = shutil.disk_usage(tmp_path)._replace(free=400_000)
    monkeypatch.setattr(disk_space.shutil, "disk_usage", lambda _: usage)
    words = [
        *f"--config {CONFIGS / 'field_default.yaml'} --data.stores {drives['short']}".split(),
        *"--data.shares 1 --data.every 1 --run.steps 2".split(),
        *SMALL,
    ]
    assert train_field.main([*words, "--output", str(tmp_path / "run")]) == 2
    # Four cameras of 8 frames, two of them mirrored too; four taps of 192 channels of 4 x 10.
    needed = f"{48 * 4 * 192 * 4 * 10 * 2 / 1e6:.1f} MB"
    told = capsys.readouterr().err
    line = rf"encoder features of 48 images, once: {needed}, about \d+ \w+; 400\.0 kB free in "
    assert re.search(line, told)
    assert f"will take about {needed}, but only 400.0 kB are free in " in told
    assert "choose another folder (--encoder.cache), fewer frames (--data.every) or" in told
    assert not list((tmp_path / "run").rglob("*.npy"))
    words += ["--losses.hint", "1", "--output", str(tmp_path / "hints")]
    assert train_field.main(words) == 2
    # Those fit: 16 images of 64 x 160.
    assert "depth hints of 16 images, once: 327.7 kB; 400.0 kB free" in capsys.readouterr().err


def test_a_run_matches_its_images_for_hints_once(drives: dict[str, Path], tmp_path: Path) -> None:
    output, hints = tmp_path / "run", tmp_path / "hints"
    words = [
        *f"--config {CONFIGS / 'field_default.yaml'} --data.stores {drives['short']}".split(),
        *f"--data.shares 1 --data.every 1 --rays.patches 8 --data.hints {hints}".split(),
        *"--run.steps 2 --losses.hint 1.0 --losses.behind 0.2 --data.ahead 24".split(),
        *SMALL,
    ]
    finish(words, output)
    assert {"hint", "behind"} <= losses(output)[0].keys()
    # The pair ahead is matched; what the side cameras see is not.
    made = sorted(path.name for path in hints.glob("*/camera_0?.npy"))
    assert made == ["camera_00.npy", "camera_01.npy"]
    assert "matched 16 of 16 images" in output.with_suffix(".txt").read_text()
    finish(words, tmp_path / "again")
    assert "matched" not in (tmp_path / "again.txt").read_text()


@pytest.mark.parametrize("name", sorted(path.name for path in CONFIGS.glob("field_*.yaml")))
def test_settings_files_are_valid(name: str) -> None:
    settings = read_settings(FieldSettings(), CONFIGS / name, [])
    assert settings != FieldSettings()


def test_benchmark_compares_both_steps(
    drives: dict[str, Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    words = [
        *f"--config {CONFIGS / 'field_default.yaml'} --data.stores {drives['short']}".split(),
        *"--data.shares 1 --data.every 2 --rays.patches 8 --repeats 1".split(),
        *f"-o {tmp_path / 'figures.json'}".split(),
        *SMALL,
        *"--data.resident true --model.decoder_width 32".split(),
    ]
    # Processes of their own import torch anew; the one here is asked below.
    memory = {"peak memory [MiB]": 3.0, "memory of the step [MiB]": 1.0}
    monkeypatch.setattr(field_benchmark, "_memory", lambda *_: memory)
    assert benchmark_field.main(words) == 0
    assert "a step of stage 1: vit_tiny, 160 x 64 px, 1 items" in capsys.readouterr().out
    figures = json.loads((tmp_path / "figures.json").read_text())
    results = figures["results"]
    names = ("reference float32", "training float32", "training bfloat16", "resident images")
    assert tuple(results) == names
    for values in results.values():
        assert 0 < values["p50 [ms]"] <= values["p95 [ms]"]
    # The training step does less than the reference step, in either precision the same.
    operations = {name: values["operations [GFLOP]"] for name, values in results.items()}
    assert 0 < operations["training float32"] < operations["reference float32"]
    # Targets are cached in half precision.
    assert max(results["training float32"]["differences"].values()) < 1e-3
    assert 0 < max(results["training bfloat16"]["differences"].values()) < 0.1
    assert figures["loading"]["p50 [ms]"] > 0


def test_memory_is_that_of_one_step(
    drives: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = with_store(NEARBY, drives["short"])
    random = replace(settings.encoder, weights="random")
    settings = field_benchmark.resolve(replace(settings, encoder=random), tmp_path)
    write_settings(tmp_path / "settings.yaml", settings)
    field_benchmark._measure_own_memory(tmp_path / "settings.yaml", "training float32")
    peak, before = (float(word) for word in capsys.readouterr().out.split())
    assert 0 < before <= peak
