# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""CUDA graphs, recorded on the CPU: captured once, replayed on new values, or done without.

Also the streams of the TensorRT engine, with a stand-in for its library.
"""

from pathlib import Path
from types import SimpleNamespace
from unittest.mock import Mock

import numpy as np
import pytest
import torch
from models import TINY, lively_checkpoint, noise_image, street_camera
from recorded_graph import RecordedGraph, use_recorded_graphs

from scenedino_ros.cameras.camera import CalibratedCamera, PinholeCamera
from scenedino_ros.cameras.image import image_tensor
from scenedino_ros.checkpoints.checkpoint import build_model
from scenedino_ros.inference import view_renderer
from scenedino_ros.inference.engines import tensorrt_graph
from scenedino_ros.inference.engines.cuda_graphs import CudaGraph
from scenedino_ros.inference.engines.engine import Points
from scenedino_ros.inference.engines.torch_engine import TorchEngine
from scenedino_ros.inference.grid_view import points_at
from scenedino_ros.inference.predictor import Predictor
from scenedino_ros.network import render

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def _recorded(monkeypatch: pytest.MonkeyPatch) -> None:
    use_recorded_graphs(monkeypatch)


def test_a_function_is_captured_once_and_replayed() -> None:
    calls = []

    def function(x: torch.Tensor) -> torch.Tensor:
        calls.append(x)
        return (x * 2).add_(1).relu()

    graph = CudaGraph(function, CPU)
    answers = [graph(torch.tensor([value, -1.0])) for value in (1.0, 2.0, 3.0)]
    assert [answer.tolist() for answer in answers] == [[3, 0], [5, 0], [7, 0]]
    assert len(calls) == 4  # three to warm up, one captured
    assert RecordedGraph.replays == 3
    assert graph.is_captured


def test_what_depends_on_values_runs_as_it_is() -> None:
    warnings: list[str] = []
    graph = CudaGraph(lambda x: x[x > 0], CPU, warnings.append)
    assert graph(torch.tensor([1.0, -1.0])).tolist() == [1]
    assert graph(torch.tensor([2.0, 3.0])).tolist() == [2, 3]
    assert not graph.is_captured
    assert warnings == [
        "the network runs without CUDA graph, it cannot be captured: operation not permitted when "
        "stream is capturing"
    ]


@torch.inference_mode()
def test_the_image_part_can_be_captured() -> None:
    network = TorchEngine(build_model(lively_checkpoint()), CPU, "float32", "stego_kmeans").network
    graph = CudaGraph(network.hidden_map, CPU)
    for seed in (0, 1):
        image = image_tensor(noise_image(160, 64, seed))
        torch.testing.assert_close(graph(image), network.hidden_map(image))
    assert RecordedGraph.replays == 2


@torch.inference_mode()
def test_the_density_of_fixed_points_can_be_captured() -> None:
    predictor = Predictor(lively_checkpoint(), device="cpu")
    encoded = [predictor.encode(noise_image(seed=seed), street_camera()) for seed in (0, 1)]
    model = build_model(lively_checkpoint())
    engine = TorchEngine(model, CPU, "float32", "stego_kmeans")
    draws = torch.Generator().manual_seed(0)
    uv_norm = torch.rand(500, 2, generator=draws) * 2 - 1
    depth = 3 + 40 * torch.rand(500, generator=draws)
    points: Points = points_at(uv_norm, depth, encoded[0].map_size, model.code)
    graph = CudaGraph(lambda rows: engine.density(rows, points), CPU)
    found = [graph(image.rows) for image in encoded]
    for image, density in zip(encoded, found, strict=True):
        torch.testing.assert_close(density, engine.density(image.rows, points))
    assert not np.allclose(found[0], found[1])
    assert TINY.hidden_dim == encoded[0].rows.shape[1]


@torch.inference_mode()
def test_a_view_can_be_captured_and_follows_its_camera(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(view_renderer, "can_be_captured", lambda engine, device: True)
    monkeypatch.setattr(render, "_check_samples", lambda *_: None)  # needs values
    predictor = Predictor(lively_checkpoint(), device="cpu", n_cameras=2)
    plain = Predictor(lively_checkpoint(), device="cpu")
    plain._renderer._captures = False
    cameras = [
        CalibratedCamera(PinholeCamera.from_focal(focal, focal, 160, 48, 320, 96))
        for focal in (100.0, 120.0, 140.0)
    ]
    replays = []
    # A view is captured when it is used again; the third camera drives out the first.
    for seed, camera in enumerate(cameras[i] for i in (0, 0, 1, 0, 1, 2, 2, 0)):
        image = noise_image(seed=seed)
        views = []
        for one in (predictor, plain):
            encoded = one.encode(image, camera)
            views.append(one.render(encoded, n_samples=4, semantic=True, unbounded=True))
        np.testing.assert_allclose(views[0].depth, views[1].depth, rtol=1e-5)
        assert np.array_equal(views[0].label, views[1].label)
        replays.append(RecordedGraph.replays)
    assert replays == [0, 1, 1, 2, 3, 3, 4, 4]
    assert len(predictor._renderer._graphs) == 1


class Stream:
    """A CUDA stream that notes what waits for what."""

    def __init__(self, name: str, happened: list[tuple[str, ...]]) -> None:
        self.cuda_stream, self._happened = name, happened

    def wait_stream(self, other: "Stream") -> None:
        self._happened.append((self.cuda_stream, "waits for", other.cuda_stream))


def test_tensorrt_runs_in_a_stream_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    happened: list[tuple[str, ...]] = []
    context = SimpleNamespace(
        set_input_shape=lambda name, shape: True,
        set_tensor_address=lambda name, address: True,
        execute_async_v3=lambda stream: happened.append((stream, "runs")) or True,
    )
    engine = SimpleNamespace(
        create_execution_context=lambda: context,
        num_io_tensors=1,
        get_tensor_name=lambda number: "image",
        get_tensor_dtype=lambda name: SimpleNamespace(name="FLOAT"),
        get_tensor_mode=lambda name: "input",
    )
    library = SimpleNamespace(
        __version__="10",
        Logger=Mock(),
        Runtime=lambda logger: SimpleNamespace(deserialize_cuda_engine=lambda plan: engine),
        TensorIOMode=SimpleNamespace(OUTPUT="output"),
    )
    monkeypatch.setattr(tensorrt_graph, "require", lambda package, purpose: library)
    monkeypatch.setattr(tensorrt_graph, "engine_path", lambda onnx: onnx)
    monkeypatch.setattr(torch.cuda, "Stream", lambda device: Stream("own", happened))
    monkeypatch.setattr(torch.cuda, "current_stream", lambda device: Stream("current", happened))
    (tmp_path / "image.onnx").touch()
    graph = tensorrt_graph.TensorRtGraph(tmp_path / "image.onnx", CPU)
    graph.run({"image": torch.zeros(1)}, {})
    assert happened == [
        ("own", "waits for", "current"),
        ("own", "runs"),
        ("current", "waits for", "own"),
    ]
