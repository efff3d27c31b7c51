# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Other engines give PyTorch's answers, and say what they need."""

import dataclasses
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from image_folders import write_store
from models import TINY, lively_checkpoint, noise_image, street_camera
from torch._dynamo.exc import BackendCompilerFailed

from scenedino_ros.checkpoints.checkpoint import Checkpoint, build_model, save_checkpoint
from scenedino_ros.cli.main import main
from scenedino_ros.core.errors import CheckpointError, InputError, SceneDinoError
from scenedino_ros.core.voxels import VoxelGrid
from scenedino_ros.evaluation.result import read_result
from scenedino_ros.inference.engines import graph_folder, packages, parity, selection
from scenedino_ros.inference.engines.compiled_engine import CompiledEngine
from scenedino_ros.inference.engines.engine import Points
from scenedino_ros.inference.engines.graph_engine import MOST_POINTS
from scenedino_ros.inference.engines.graph_folder import (
    CARD,
    cached_folder,
    check_exported,
    fingerprint,
    onnx_engine,
)
from scenedino_ros.inference.engines.parity import Deviation, compare
from scenedino_ros.inference.engines.selection import engine_maker, fastest_engine
from scenedino_ros.inference.engines.torch_engine import TorchEngine
from scenedino_ros.inference.predictor import Predictor
from scenedino_ros.inference.query import VoxelQuery
from scenedino_ros.network import transformer
from scenedino_ros.network.folded import bilinear_taps
from scenedino_ros.viewing.pictures import write_png

CONFIG = dataclasses.replace(TINY, backbone="dino_vits16", upsample_tail=True)
MODE = "stego_kmeans"
GRID = VoxelGrid((-3.0, -2.0, 1.0), (20, 14, 24), 0.3)
CPU = torch.device("cpu")


def checkpoint() -> Checkpoint:
    return lively_checkpoint(CONFIG)


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a cache in which the graphs of the checkpoint lie, as the command puts them there."""
    pytest.importorskip("onnxruntime", reason="needs ONNX Runtime")
    pytest.importorskip("onnxscript", reason="PyTorch's exporter needs it")
    folder = tmp_path_factory.mktemp("cache")
    save_checkpoint(folder / "tiny.safetensors", checkpoint())
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SCENEDINO_CACHE", str(folder))
        assert main(["export", str(folder / "tiny.safetensors")]) == 0
    return folder


@pytest.fixture
def graphs(cache: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the folder of the graphs, in the cache that is in use; no timings are remembered."""
    monkeypatch.setenv("SCENEDINO_CACHE", str(cache))
    shutil.rmtree(cache / "engines", ignore_errors=True)
    return cached_folder(fingerprint(build_model(checkpoint()), MODE))


@pytest.fixture
def without_packages(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the packages that only some engines need fail to be imported."""

    def absent(name: str) -> None:
        raise ImportError(f"No module named '{name}'")

    monkeypatch.setattr(packages.importlib, "import_module", absent)


def test_onnx_runtime_gives_the_voxels_and_views_of_pytorch(graphs: Path) -> None:
    told: list[str] = []
    answers = []
    for maker in (TorchEngine, engine_maker("onnx", told.append)):
        predictor = Predictor(checkpoint(), device="cpu", make_engine=maker)
        encoded = predictor.encode(noise_image(), street_camera())
        voxels = predictor.voxels(encoded, GRID, query=VoxelQuery(grow=True))
        view = predictor.render(encoded, n_samples=8, semantic=True, features=True)
        answers.append((voxels, view))
    assert told == []  # the graphs were there
    assert predictor.engine.startswith("ONNX Runtime")
    (voxels, view), (their_voxels, their_view) = answers
    assert 0.05 < len(voxels) / np.prod(GRID.shape) < 0.95
    both, ours, theirs = np.intersect1d(voxels.index, their_voxels.index, return_indices=True)
    assert len(both) > 0.999 * max(len(voxels), len(their_voxels))
    np.testing.assert_allclose(their_voxels.density[theirs], voxels.density[ours], rtol=1e-4)
    assert (their_voxels.label[theirs] == voxels.label[ours]).mean() > 0.999
    np.testing.assert_allclose(their_view.depth, view.depth, rtol=1e-4)
    assert (their_view.label == view.label).mean() > 0.999


def test_any_number_of_points_is_answered(graphs: Path) -> None:
    model = build_model(checkpoint())
    ours, theirs = TorchEngine(model, CPU, "float32", MODE), onnx_engine(graphs, CONFIG, CPU)
    draws = torch.Generator().manual_seed(3)
    rows = torch.randn(7 * 11, CONFIG.hidden_dim, generator=draws)
    full = torch.zeros(np.prod(theirs._map_shape[:2]), CONFIG.hidden_dim)
    full[: len(rows)] = rows
    for count in (1, 5, MOST_POINTS + 1):
        taps = bilinear_taps(torch.rand(count, 2, generator=draws) * 2 - 1, 7, 11)
        points = Points(*taps, torch.randn(count, model.code.channels, generator=draws))
        with torch.inference_mode():
            density, blended = ours.samples(full, points)
            feature = ours.feature(blended)
            torch.testing.assert_close(theirs.density(full, points), density, rtol=1e-4, atol=1e-6)
            torch.testing.assert_close(theirs.samples(full, points)[1], feature)
            label, confidence = theirs.classify(feature)
            assert len(label) == count
            torch.testing.assert_close(confidence, ours.classify(feature)[1])


def test_the_card_tells_what_was_exported(graphs: Path) -> None:
    card = json.loads((graphs / CARD).read_text())
    assert card["fingerprint"] == fingerprint(build_model(checkpoint()), MODE)
    assert card["config"] == CONFIG.to_dict()
    assert {"image.onnx", "points.onnx", "classes.onnx"} <= set(card["files"])
    assert 0 < card["deviation"]["density"] < 1e-4
    assert card["deviation"]["labels"] == 0
    assert card["deviation"]["points"] > 1000


@pytest.mark.parametrize(
    ("name", "precision", "measured"),
    [
        ("auto", "float32", ["openvino in float32", "torch in float32", "onnx in float32"]),
        ("torch", "auto", ["torch in bfloat16", "torch in float32"]),
    ],
)
def test_auto_takes_the_fastest(
    graphs: Path, name: str, precision: str, measured: list[str]
) -> None:
    pytest.importorskip("openvino", reason="needs OpenVINO")
    told: list[str] = []
    weights = build_model(checkpoint())
    found = fastest_engine(name, weights, CPU, precision, MODE, told.append)
    times = {}
    for line in told:
        words, _, rest = line.removeprefix("engine ").partition(" takes ")
        if rest:
            times[words] = float(rest.removesuffix(" ms for an image"))
    assert list(times) == measured
    chosen = f"{found.name} in {found.precision}"
    assert times[chosen] == min(times.values())
    runs_on = {"onnx": "ONNX Runtime", "openvino": "OpenVINO", "torch": "PyTorch"}[found.name]
    assert found.engine.describe().startswith(runs_on)
    assert (found.precision == "bfloat16") == found.engine.describe().endswith("bfloat16")
    # Rounding one candidate's weights leaves those of the others as they were.
    image = torch.rand(1, 3, *CONFIG.image_size) * 2 - 1
    wanted = TorchEngine(build_model(checkpoint()), CPU, "float32", MODE).hidden_map(image)
    worst = (found.engine.hidden_map(image).float() - wanted).abs().max() / wanted.abs().max()
    assert worst < (0.1 if found.precision == "bfloat16" else 1e-4)


def test_auto_does_without_what_is_not_installed(graphs: Path, without_packages: None) -> None:
    told: list[str] = []
    found = fastest_engine("auto", build_model(checkpoint()), CPU, "float32", MODE, told.append)
    assert found.name == "torch"
    assert any("onnx in float32 is left out: " in line for line in told)


def test_auto_does_without_an_engine_that_breaks_down(
    graphs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def break_down(*_: object) -> None:
        raise KeyError("of the library's own")

    monkeypatch.setattr(selection, "onnx_engine", break_down)
    monkeypatch.setattr(selection, "OpenVinoEngine", break_down)
    warned: list[str] = []
    model = build_model(checkpoint())
    found = fastest_engine("auto", model, CPU, "float32", MODE, lambda _: None, warned.append)
    assert found.name == "torch"
    assert len([line for line in warned if line.startswith("engine onnx in float32 is le")]) == 1


def test_evaluations_and_predictions_run_on_it(
    cache: Path, graphs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_store(tmp_path / "wall", 1)
    model = ["--checkpoint", str(cache / "tiny.safetensors"), "--device", "cpu"]
    command = ["evaluate", "depth", str(tmp_path / "wall"), "--panels", "0", "--workers", "1"]
    results = {}
    for engine in ("torch", "onnx", "auto"):
        assert main([*command, *model, "-o", str(tmp_path / engine), "--engine", engine]) == 0
        results[engine] = read_result(tmp_path / engine)
    assert results["auto"].settings["network"]["engine"] in ("torch", "onnx", "openvino")
    ours, theirs = results["torch"].counts, results["onnx"].counts
    for name in ours:
        np.testing.assert_allclose(theirs[name], ours[name], rtol=1e-3, atol=1e-3)
    write_png(tmp_path / "street.png", noise_image())
    words = ["predict", str(tmp_path / "street.png"), "-o", str(tmp_path / "out"), *model]
    words += ["--intrinsics", "120,120,160,48", "--shape", "8,8,8", "--engine"]
    capsys.readouterr()
    assert main([*words, "onnx"]) == 0
    assert "device: cpu, ONNX Runtime" in capsys.readouterr().out
    assert main([*words, "torch"]) == 2
    assert "was made with another engine" in capsys.readouterr().err


def test_of_several_processes_one_exports(
    graphs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "graphs" / graphs.name
    told: list[str] = []

    class Waited:
        """A lock that was held while another process wrote the graphs."""

        def __init__(self, path: Path) -> None:
            assert path == tmp_path / "graphs.lock"

        def __enter__(self) -> None:
            shutil.copytree(graphs, folder)

        def __exit__(self, *_: object) -> None:
            pass

    monkeypatch.setenv("SCENEDINO_CACHE", str(tmp_path))
    monkeypatch.setattr(selection, "FileLock", Waited)
    engine_maker("onnx", told.append)(build_model(checkpoint()), CPU, "float32", MODE)
    assert told == []
    assert folder.is_dir()


def test_an_export_is_not_overwritten(cache: Path, graphs: Path, capsys) -> None:
    assert main(["export", str(cache / "tiny.safetensors")]) == 2
    assert "exists; --force replaces it" in capsys.readouterr().err
    foreign = cache / "foreign"
    foreign.mkdir()
    arguments = ["export", str(cache / "tiny.safetensors"), "--force", "-o", str(foreign)]
    assert main(arguments) == 2
    assert "is not an earlier export and is not replaced" in capsys.readouterr().err


def test_a_network_is_known_by_its_weights_and_mode() -> None:
    first = fingerprint(build_model(checkpoint()), MODE)
    assert first == fingerprint(build_model(checkpoint()), MODE)
    others = [
        fingerprint(build_model(lively_checkpoint(CONFIG, seed=1)), MODE),
        fingerprint(build_model(checkpoint()), "direct_kmeans"),
    ]
    assert len({first, *others}) == 3


def test_damaged_graphs_are_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="cannot be read .*; delete the folder"):
        check_exported(tmp_path, "0" * 64)
    (tmp_path / "image.onnx").write_bytes(b"other")
    card = {"fingerprint": "0" * 64, "files": {"image.onnx": "1" * 64}}
    (tmp_path / CARD).write_text(json.dumps(card))
    with pytest.raises(CheckpointError, match="are not those that were written for this network"):
        check_exported(tmp_path, "0" * 64)


def test_an_export_that_differs_is_not_kept(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(graph_folder, "write_graphs", lambda network, folder: None)
    wrong = TorchEngine(build_model(lively_checkpoint(CONFIG, seed=1)), CPU, "float32", MODE)
    monkeypatch.setattr(graph_folder, "onnx_engine", lambda folder, config, device: wrong)
    monkeypatch.setattr(graph_folder, "onnxruntime_version", lambda: "1")
    with pytest.raises(SceneDinoError, match=r"the map must be within 1e-04 of PyTorch's, got"):
        graph_folder.export_graphs(
            build_model(checkpoint()), MODE, tmp_path / "graphs", lambda text: None
        )
    assert list(tmp_path.iterdir()) == []


def test_a_network_deviates_from_another_one_and_not_from_itself() -> None:
    model = build_model(checkpoint())
    engine = TorchEngine(model, CPU, "float32", MODE)
    same = compare(engine, engine, CONFIG, model.code)
    assert same == Deviation(0.0, 0.0, 0.0, 0, parity._POINTS)
    low = TorchEngine(build_model(checkpoint()), CPU, "bfloat16", MODE)
    deviation = compare(engine, low, CONFIG, model.code)
    assert 1e-4 < deviation.map < 0.1
    with pytest.raises(SceneDinoError, match="got others at 3 of 10 points"):
        Deviation(0.0, 0.0, 0.0, 3, 10).check(1e-4)
    with pytest.raises(SceneDinoError, match="the feature must be within 1e-04"):
        Deviation(0.0, 0.0, float("nan"), 0, 10).check(1e-4)


def test_weights_rounded_in_advance_change_nothing() -> None:
    image = torch.rand(1, 3, *CONFIG.image_size, generator=torch.Generator().manual_seed(5))
    full = TorchEngine(build_model(checkpoint()), CPU, "float32", MODE)
    low = TorchEngine(build_model(checkpoint()), CPU, "bfloat16", MODE)
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
        rounded_now = full.network.hidden_map_in_strips(image)[0]
    with torch.inference_mode():
        assert torch.equal(low.hidden_map(image), rounded_now.bfloat16())
        assert not torch.equal(full.hidden_map(image), rounded_now)
    weights = low.network.plain.encoder.state_dict()
    assert weights["vit.blocks.0.mlp.fc1.weight"].dtype == torch.bfloat16
    assert checkpoint().state["encoder.vit.blocks.0.mlp.fc1.weight"].dtype == torch.float32


def test_attention_of_few_tokens_is_close_to_the_fused_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    image = torch.rand(1, 3, *CONFIG.image_size, generator=torch.Generator().manual_seed(5))
    opened = TorchEngine(build_model(checkpoint()), CPU, "bfloat16", MODE)
    with torch.inference_mode():
        products = opened.hidden_map(image).float()
        monkeypatch.setattr(transformer, "_FEW_SCORES", 0)
        fused = opened.hidden_map(image).float()
    worst = (fused - products).abs().max() / fused.abs().max()
    assert 0 < worst < 0.02


@pytest.mark.skipif(shutil.which("g++") is None, reason="compiling for a processor needs g++")
def test_compiled_gives_the_answers_of_pytorch() -> None:
    ours = TorchEngine(build_model(checkpoint()), CPU, "float32", MODE)
    found = fastest_engine(
        "compiled", build_model(checkpoint()), CPU, "float32", MODE, lambda _: None
    )
    assert found.engine.describe().startswith("compiled PyTorch")
    compare(ours, found.engine, CONFIG, build_model(checkpoint()).code).check(1e-4)


def test_a_processor_without_a_compiler_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise BackendCompilerFailed(None, RuntimeError("no working C++ compiler"), [])

    monkeypatch.setattr(CompiledEngine, "hidden_map", fail)
    with pytest.raises(InputError, match="engine compiled could not compile the network: "):
        CompiledEngine(build_model(checkpoint()), CPU, "float32", MODE)


def test_refusals(without_packages: None) -> None:
    with pytest.raises(InputError, match="must be one of torch, compiled, onnx, openvino, ten"):
        engine_maker("magic")
    model = build_model(checkpoint())
    with pytest.raises(InputError, match="engine onnx runs in precision float32, got 'bfloat16'"):
        engine_maker("onnx")(model, CPU, "bfloat16", MODE)
    with pytest.raises(InputError, match="engine tensorrt runs in precision float32, got"):
        engine_maker("tensorrt")(model, CPU, "bfloat16", MODE)
    with pytest.raises(InputError, match="engine tensorrt needs a GPU, but the device is cpu"):
        engine_maker("tensorrt")(model, CPU, "float32", MODE)

    with pytest.raises(
        InputError, match="engine onnx needs the Python package onnxruntime, which cannot be imp"
    ):
        graph_folder.onnxruntime_version()
