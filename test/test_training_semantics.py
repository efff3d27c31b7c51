# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Stage 2 as a whole on a tiny network and drive: it learns, survives being killed, and fits."""

import json
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from multiprocessing.process import BaseProcess
from pathlib import Path

import numpy as np
import pytest
import torch
from models import TINY, lively_checkpoint, street_camera
from safetensors.torch import load_file

from scenedino_ros.checkpoints.checkpoint import build_model, load_checkpoint, save_checkpoint
from scenedino_ros.cli.main import main
from scenedino_ros.core.labels import CITYSCAPES19
from scenedino_ros.core.voxels import VoxelGrid
from scenedino_ros.evaluation.segmentation.crf import refine_labels
from scenedino_ros.inference.predictor import Predictor
from scenedino_ros.inference.query import VoxelQuery
from scenedino_ros.inference.token_classes import TokenClasses
from scenedino_ros.recordings.frame_store.class_maps import ClassMapFolder
from scenedino_ros.recordings.frame_store.store import FrameStore, StoredCamera
from scenedino_ros.recordings.frame_store.writer import FrameStoreWriter
from train import train_semantics
from train.runs.launch import launch
from train.runs.settings import read_settings
from train.semantics.data import SemanticsData, labelled_views
from train.semantics.frozen_field import FrozenField
from train.semantics.frozen_tokens import FrozenTokens
from train.semantics.model import (
    SemanticTraining,
    head_config,
    learning_groups,
    learning_rates,
    without_head,
)
from train.semantics.settings import SemanticsSettings
from train.semantics.step_features import ProcessWeights, render_features

ROOT = Path(__file__).resolve().parents[1]
FRAMES = 6
STEPS = "16"
# A server imports torch once; every process of a test is its fork.
FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload(["train.train_semantics"])


def write_store(path: Path, *, labelled: bool) -> None:
    """Write a drive whose images have a bright sky, a dark road and a coloured box."""
    height, width = TINY.image_size
    K_norm = street_camera(width, height).pinhole.K_norm
    cameras = {name: StoredCamera(name, K_norm, np.eye(4)) for name in ("camera_00", "camera_02")}
    labels = ("camera_00",) if labelled else ()
    rng = np.random.default_rng(len(str(path.name)))
    with FrameStoreWriter(path, TINY.image_size, cameras, FRAMES, {}, labels=labels) as writer:
        for frame in range(FRAMES):
            label = np.full((height, width), 10, np.uint8)
            label[height // 2 :] = 0
            column = int(rng.integers(10, width - 50))
            label[20:50, column : column + 40] = 13
            image = CITYSCAPES19.palette[label] // 2 + rng.integers(0, 60, (height, width, 3))
            writer.frame(frame, frame * 10**8, np.eye(4))
            for name in cameras:
                writer.put("image", name, frame, image.astype(np.uint8))
            if labelled:
                writer.put("label", "camera_00", frame, label)
            writer.stored(frame)


@pytest.fixture(scope="module")
def words(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Return the settings of a run that takes a second."""
    folder = tmp_path_factory.mktemp("drives")
    for name, labelled in (("first", True), ("second", False), ("validation", True)):
        write_store(folder / name, labelled=labelled)
    save_checkpoint(folder / "field.safetensors", lively_checkpoint())
    settings = {
        "checkpoint": folder / "field.safetensors",
        "data.stores": f"{folder}/first,{folder}/second",
        "data.validation": folder / "validation",
        "crops.points": 8,
        "crops.memory": 16,
        "crops.samples": 8,
        "head.code_dim": 12,
        "head.pixels": 64,
        "naming.images": 3,
        "naming.every": 8,
        "run.batch_size": 2,
        "run.save_every": 3,
        "run.picture_every": 16,
        "run.device": "cpu",
        "run.workers": 1,
    }
    return [word for name, value in settings.items() for word in (f"--{name}", str(value))]


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    """Sums depend in their last digit on the number of threads; so all runs use one."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def train(output: Path, words: list[str], *more: str) -> None:
    assert train_semantics.main([*words, "--output", str(output), *more]) == 0


@pytest.fixture(scope="module")
def whole(words: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a run that nothing interrupted."""
    output = tmp_path_factory.mktemp("whole") / "run"
    train(output, words, "--run.steps", STEPS)
    return output


def lines(path: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_all_labels_of_the_validation_drives_are_used(words):
    settings = read_settings(SemanticsSettings(), None, [*words, "--data.every", "4"])
    assert len(labelled_views(settings, TINY.image_size)) == FRAMES


def test_every_part_learns(whole):
    steps = lines(whole / "metrics.jsonl")
    assert len(steps) == 16
    # Side cameras have no labels: the probes learn in the other steps only.
    labelled = [step for step in steps if "code_probe" in step]
    assert 3 < len(labelled) < 13
    for name, values in (
        ("direct_probe", [step["direct_probe"] for step in labelled]),
        ("direct_clusters", [step["direct_clusters"] for step in steps]),
        ("code_clusters", [step["code_clusters"] for step in steps]),
    ):
        assert np.mean(values[-3:]) < np.mean(values[:3]), name


def test_all_losses_fall_on_the_same_images(words):
    settings = read_settings(SemanticsSettings(), None, [*words, "--data.side_share", "0"])
    fabric = launch(settings.run)
    network = build_model(without_head(lively_checkpoint()))
    config = head_config(network.config, settings)
    data, training = SemanticsData(settings, config), SemanticTraining(settings, config)
    field = FrozenField(network, 0)
    seen = render_features(
        field, network.expansion, [data.item(0, 0), data.item(0, 1)], settings, fabric
    )
    assert 2 < len(seen.crops) <= 10
    assert seen.weights == ProcessWeights(len(seen.crops), int((seen.label >= 0).sum()), 1.0, 1.0)
    optimizer = torch.optim.Adam(training.parameters(), 3e-3)
    losses = []
    for _ in range(30):
        training.remember(training.compared(seen.crops))
        optimizer.zero_grad()
        losses.append(training(seen))
        losses[-1]["total"].backward()
        optimizer.step()
    distilled = {"self", "neighbour", "random"}
    taught = {"direct_clusters", "code_clusters", "direct_probe", "code_probe"}
    assert set(losses[0]) == {"total", *distilled, *taught}
    for name in taught:
        assert losses[-1][name] < losses[0][name], name
    first, last = (
        sum(float(step[name].detach()) for name in distilled) for step in (losses[0], losses[-1])
    )
    assert last < first - 0.01
    assert all(parameter.grad is not None for parameter in training.parameters())


def test_clusters_and_probes_learn_at_a_multiple_of_the_rate_of_the_code():
    chosen = {"head.learning_rate": "0.001", "head.probe_factor": "7"}
    words = [word for name, value in chosen.items() for word in (f"--{name}", value)]
    settings = read_settings(SemanticsSettings(), None, words)
    training = SemanticTraining(settings, head_config(TINY, settings))
    rates = learning_rates(torch.optim.Adam(learning_groups(training, settings)))
    assert rates == {"learning_rate": 0.001, "learning_rate_probes": pytest.approx(0.007)}


def test_what_a_step_says_nothing_about_does_not_move(words):
    more = ["--data.side_share", "1", "--crops.radius", "0", "--crops.points", "9"]
    settings = read_settings(SemanticsSettings(), None, [*words, *more])
    checkpoint = lively_checkpoint()
    state = {**checkpoint.state, "field.lin_out.bias": torch.full((9,), -50.0)}  # no matter at all
    network = build_model(without_head(replace(checkpoint, state=state)))
    config = head_config(network.config, settings)
    data, training = SemanticsData(settings, config), SemanticTraining(settings, config)
    field, fabric = FrozenField(network, 0), launch(settings.run)
    seen = render_features(field, network.expansion, [data.item(0, 0)], settings, fabric)
    assert seen.weights == ProcessWeights(0, 0, 0.0, 0.0)
    losses = training(seen)
    assert set(losses) == {"total", "direct_clusters", "code_clusters"}
    losses["total"].backward()
    unused_parameters = training.unused_parameters(seen.weights)
    head = training.head
    moving = {id(p) for p in training.parameters()} - {id(p) for p in unused_parameters}
    clusters = (head.direct_cluster_head, head.stego_cluster_head)
    assert moving == {id(part.cluster_centers) for part in clusters}
    # In every process each weight has a gradient, which is nothing here.
    assert all((parameter.grad == 0).all() for parameter in unused_parameters)


def test_validation_scores_clusters_and_probes(whole):
    scores = lines(whole / "validation.jsonl")
    assert [score["step"] for score in scores] == [7, 15]
    for name in ("direct_clusters", "code_clusters", "direct_probe", "code_probe"):
        present = {key.split("iou_")[1] for key in scores[-1] if key.startswith(f"{name}/iou_")}
        assert present == {"road", "sky", "car"}
    assert len(list((whole / "pictures").glob("classes_*.png"))) == 2


def test_the_checkpoint_alone_predicts(whole):
    checkpoint = load_checkpoint(whole / "semantics.safetensors")
    assert checkpoint.config.n_clusters == 19
    assert checkpoint.config.code_dim == 12
    assert checkpoint.classes.names == CITYSCAPES19.names
    assert (
        checkpoint.provenance["semantics"]
        == "train.train_semantics on features of the field, 16 steps"
    )
    stage1 = lively_checkpoint().state
    for key, value in checkpoint.state.items():
        assert key.startswith("semantics.") or torch.equal(value, stage1[key]), key
    predictor = Predictor(checkpoint)
    height, width = TINY.image_size
    image = np.full((height, width, 3), 90, np.uint8)
    grid = VoxelGrid((2.0, -4.0, -2.0), (20, 20, 8), 0.4)
    T_grid_cam = np.eye(4)
    T_grid_cam[:3, :3] = [[0, 0, 1], [-1, 0, 0], [0, -1, 0]]
    encoded = predictor.encode(image, street_camera(width, height))
    voxels = predictor.voxels(encoded, grid, T_grid_cam, VoxelQuery(density_threshold=0.0))
    assert len(voxels.label) > 0
    assert set(np.unique(voxels.label)) <= set(range(19))


def test_a_run_goes_on_as_if_it_had_not_stopped(words, whole, tmp_path):
    output, field = tmp_path / "run", tmp_path / "field.safetensors"
    save_checkpoint(field, lively_checkpoint())
    train(output, words, "--run.steps", "8", "--checkpoint", str(field))
    save_checkpoint(field, lively_checkpoint(seed=8))  # stage 1 went on; this run stands still
    train(output, ["--resume", "--run.steps", STEPS])
    assert_same_run(output, whole)


def test_a_killed_run_ends_as_if_nothing_happened(words, whole, tmp_path):
    output = tmp_path / "run"
    process = start(output, words, "--run.steps", STEPS)
    wait_for_step(process, output, 10)
    process.kill()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    train(output, words, "--run.steps", STEPS, "--resume")
    assert_same_run(output, whole)


def assert_same_run(output: Path, expected: Path) -> None:
    for name in ("metrics.jsonl", "validation.jsonl"):
        assert lines(output / name) == lines(expected / name)
    for name in ("state.safetensors", "semantics.safetensors", "semantics_best.safetensors"):
        tensors = load_file(output / name)
        for key, tensor in load_file(expected / name).items():
            assert torch.equal(tensors[key], tensor), key


def run_training(words: list[str]) -> None:
    torch.set_num_threads(1)
    sys.exit(train_semantics.main(words))


def start(output: Path, words: list[str], *more: str) -> BaseProcess:
    process = FORKS.Process(target=run_training, args=([*words, "--output", str(output), *more],))
    process.start()
    return process


def wait_for_step(process: BaseProcess, output: Path, step: int) -> None:
    """Wait until a step is logged, or the process has ended."""
    metrics = output / "metrics.jsonl"
    while process.is_alive():
        if metrics.exists() and len(metrics.read_bytes().splitlines()) > step:
            return
        time.sleep(0.002)


@pytest.mark.slow
def test_two_processes_learn_what_one_does(words, whole, tmp_path):
    output = tmp_path / "run"
    torchrun = (sys.executable, "-m", "torch.distributed.run", "--standalone")
    result = subprocess.run(
        [*torchrun, "--nproc_per_node=2", "-m", "train.train_semantics", *words]
        + ["--output", str(output), "--run.steps", STEPS],
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=1800,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    expected = lines(whole / "metrics.jsonl")
    for step, other in zip(expected, lines(output / "metrics.jsonl"), strict=True):
        assert other == pytest.approx(step, rel=2e-3, abs=2e-4)


def test_clusters_found_by_kmeans_on_a_whitened_code(words, tmp_path):
    output = tmp_path / "run"
    more = (
        "--head.start whitened --head.cluster_by kmeans --head.distil false --crops.centred true"
    )
    naming = "--head.clusters 24 --naming.cover labelled --naming.unseen true --sample.pixels 500"
    train(output, words, "--run.steps", "4", *more.split(), *naming.split())
    rates = {"learning_rate", "learning_rate_probes"}
    for step in lines(output / "metrics.jsonl"):
        assert set(step) - {"code_probe", "direct_probe"} == {"step", "total", *rates}
    state = load_checkpoint(output / "semantics.safetensors").state
    centers = state["semantics.stego_cluster_head.cluster_centers"]
    torch.testing.assert_close(centers.norm(dim=1), torch.ones(24))
    # Only classes that occur are given to clusters.
    assert set(state["semantics.stego_cluster_head.pseudo_assignment"].tolist()) == {0, 10, 13}


@pytest.mark.parametrize(
    ("setting", "value", "sentence"),
    [
        ("checkpoint", "absent.safetensors", "'absent.safetensors' is neither a file nor a name"),
        ("checkpoint", "", "--checkpoint must name the network of stage 1, got none"),
        ("data.stores", "", "a run needs at least one frame store in data.stores, got none"),
        ("data.validation", "", "clusters get their names from labels: data.validation must name"),
        ("data.cameras", "camera_07", "must have a camera of --data.cameras, camera_07; their"),
        ("crops.memory", "9", "crops.memory must hold the 10 crops of a step, got 9"),
        ("head.clusters", "7", "19 classes need as many clusters, got 7"),
        ("head.code_width", "7", "unknown setting 'head.code_width'"),
    ],
)
def test_what_cannot_be_trained_is_refused(words, tmp_path, capsys, setting, value, sentence):
    output = tmp_path / "run"
    more = ["--run.steps", "4", f"--{setting}", value]
    assert train_semantics.main([*words, "--output", str(output), *more]) == 2
    assert sentence in capsys.readouterr().err
    assert not list(output.glob("*.safetensors"))


def test_the_best_checkpoint_of_a_run_without_validation(words, tmp_path, capsys):
    save_checkpoint(tmp_path / "field.safetensors", lively_checkpoint())
    more = ["--output", str(tmp_path / "run"), "--checkpoint"]
    best = str(tmp_path / "field_best.safetensors")
    assert train_semantics.main([*words, *more, best]) == 2
    hint = (
        f"the run had no validation, which finds the best; {tmp_path}/field.safetensors is there"
    )
    assert hint in capsys.readouterr().err
    # The same folder takes the corrected command.
    right = str(tmp_path / "field.safetensors")
    train(tmp_path / "run", [*words, "--checkpoint", right], "--run.steps", "1")


def test_a_loss_that_is_not_a_number_ends_the_run(words, tmp_path, capsys):
    output = tmp_path / "run"
    more = ("--run.steps", STEPS, "--head.learning_rate", "1e30")
    assert train_semantics.main([*words, "--output", str(output), *more]) == 2
    (path,) = output.glob("nonfinite_*")
    assert f"the batch is saved in {path}" in capsys.readouterr().err
    saved = load_file(path)
    assert saved["batch.0.image"].shape == (3, *TINY.image_size)
    assert "batch.1.crops.ball.direction" in saved


def test_stego_learns_from_tokens_and_labels_images(words, tmp_path, capsys):
    more = ["--features", "image", "--crops.points", "9", "--run.steps", "8"]
    train(tmp_path / "run", [*words, *more])
    steps = lines(tmp_path / "run" / "metrics.jsonl")
    # A square of an image always exists: five of each of two images.
    assert all({"self", "neighbour", "random"} <= set(step) for step in steps)
    path = tmp_path / "run" / "semantics.safetensors"
    checkpoint = load_checkpoint(path)
    assert checkpoint.provenance["semantics"].endswith("on features of the image, 8 steps")
    drive = Path(words[words.index("--data.validation") + 1])
    command = ["label-images", str(drive), "--network", str(path), "-o", str(tmp_path / "maps")]
    assert main([*command, "--cameras", "camera_00", "--crf"]) == 0
    store = FrameStore(drive)
    label = ClassMapFolder(tmp_path / "maps", store).read("camera_00", 1)
    model = build_model(checkpoint)
    image = torch.from_numpy(np.array(store.image("camera_00", 1))).permute(2, 0, 1)
    with torch.no_grad():
        tokens = model.encoder(image[None].float() / 127.5 - 1)[-1][0].movedim(0, -1)
        scores = model.semantics.scores(tokens, "stego_kmeans").movedim(-1, 0)
        large = torch.nn.functional.interpolate(scores[None], TINY.image_size, mode="bilinear")
        expected = model.semantics.labels(large[0].movedim(0, -1), "stego_kmeans").numpy()
    plain = TokenClasses(checkpoint, "stego_kmeans", "cpu")(store.image("camera_00", 1))
    assert np.array_equal(plain, expected)
    assert label is not None
    assert (label == refine_labels(plain, store.image("camera_00", 1))).all()
    assert main([*command, "--mean", "0,0,0"]) == 2
    assert "for other networks than checkpoints" in capsys.readouterr().err


def test_stego_compares_squares_of_the_image():
    model = build_model(lively_checkpoint())
    image = torch.rand(3, *TINY.image_size, generator=torch.Generator().manual_seed(0)) * 2 - 1
    view = FrozenTokens(model, 0).view("image", image, torch.eye(3))
    with torch.no_grad():
        tokens = model.encoder(image[None])[-1]
    # The whole height at the right end, on a grid as fine as the tokens: the last square of them.
    rows = tokens.shape[-2]
    found = view.window(rows**2, 1.0, 1.0, 0.5)
    torch.testing.assert_close(found, tokens[0, :, :, -rows:].flatten(1).T)
    torch.testing.assert_close(view.window(4, 0.5, 0.3, 0.7).norm(dim=-1), torch.ones(4))


def test_stage_2_refuses_a_network_without_features(words, tmp_path, capsys):
    config = replace(TINY, heads=("field",), feature_dim=19, n_clusters=0)
    save_checkpoint(tmp_path / "s4c.safetensors", lively_checkpoint(config))
    more = ["--output", str(tmp_path / "run"), "--checkpoint", str(tmp_path / "s4c.safetensors")]
    assert train_semantics.main([*words, *more]) == 2
    assert "must name a network of SceneDINO" in capsys.readouterr().err
