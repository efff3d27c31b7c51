# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""The one way to open a network: what it reads, what it builds, and what it hands to workers."""

import pickle
from pathlib import Path

import pytest
from models import TINY, lively_checkpoint, noise_image, street_camera

from scenedino_ros.checkpoints.checkpoint import save_checkpoint, untrained_checkpoint
from scenedino_ros.core.config import InputSettings, ModelSettings, NodeSettings
from scenedino_ros.core.errors import CheckpointError, InputError, SceneDinoError
from scenedino_ros.core.memory import MIB
from scenedino_ros.inference import network_choice
from scenedino_ros.inference.network_choice import NetworkChoice


@pytest.fixture
def tiny(tmp_path: Path) -> str:
    path = tmp_path / "tiny.safetensors"
    save_checkpoint(path, lively_checkpoint(TINY))
    return str(path)


def test_the_node_s_parameters_choose_the_same_network(tiny: str):
    settings = NodeSettings(
        model=ModelSettings(
            checkpoint=tiny,
            device="cpu",
            precision="bfloat16",
            engine="onnx",
            mode="direct_linear",
            image_size=(96, 192),
            memory_budget=64,
        ),
        input=InputSettings(fit="crop"),
    )
    expected = NetworkChoice(
        tiny, "direct_linear", (96, 192), "bfloat16", "onnx", "cpu", "crop", 64
    )
    assert NetworkChoice.from_settings(settings) == expected
    assert NetworkChoice.from_settings(NodeSettings()).image_size is None
    assert NetworkChoice.from_settings(NodeSettings()).n_cameras == 1
    cameras = NodeSettings(input=InputSettings(cameras=("front", "left")))
    assert NetworkChoice.from_settings(cameras).n_cameras == 2


def test_the_card_is_read_without_the_weights(tiny: str, monkeypatch: pytest.MonkeyPatch):
    def refuse(path: Path) -> None:
        raise AssertionError(f"{path} is loaded")

    monkeypatch.setattr(network_choice, "load_checkpoint", refuse)
    checkpoint, choice = lively_checkpoint(TINY), NetworkChoice(tiny)
    assert choice.config == checkpoint.config
    assert choice.classes == checkpoint.classes
    assert choice.density_threshold == checkpoint.density_threshold
    assert choice.describe() == checkpoint.weights
    assert set(choice.card.tensors) == set(checkpoint.state)


def test_untrained_weights_have_the_card_of_what_is_loaded():
    choice = NetworkChoice("untrained")
    checkpoint = untrained_checkpoint()
    assert choice.find() is None
    assert choice.config == checkpoint.config == choice.load().config
    assert choice.classes == checkpoint.classes
    assert choice.density_threshold == checkpoint.density_threshold
    assert choice.card.provenance == checkpoint.provenance


def test_the_file_is_found_once_also_by_workers(tiny: str, monkeypatch: pytest.MonkeyPatch):
    asked = []

    def locate(text: str, report: object) -> Path:
        asked.append(report)
        return Path(tiny)

    monkeypatch.setattr(network_choice, "locate", locate)
    choice = NetworkChoice("ssc-kitti-360-dino", device="cpu")
    assert choice.find(print) == Path(tiny)
    sent = pickle.loads(pickle.dumps(choice))
    assert sent == choice
    assert sent.settings() == choice.settings()
    assert sent.predictor().image_size == TINY.image_size
    assert asked == [print]


def test_settings_are_what_predictions_depend_on(tiny: str, tmp_path: Path):
    other = tmp_path / "same.safetensors"
    other.write_bytes(Path(tiny).read_bytes())
    settings = NetworkChoice(tiny).settings()
    assert settings == NetworkChoice(str(other), device="cpu", memory_budget=32).settings()
    assert settings == NetworkChoice(tiny, n_cameras=3).settings()
    assert settings != NetworkChoice(tiny, mode="direct_kmeans").settings()
    assert settings != NetworkChoice(tiny, fit="crop").settings()


def test_the_predictor_is_that_of_the_choice(tiny: str):
    choice = NetworkChoice(
        tiny, "direct_kmeans", (96, 192), device="cpu", fit="stretch", memory_budget=32
    )
    told: list[str] = []
    predictor = choice.predictor(report=told.append)
    assert (predictor.image_size, predictor.mode) == ((96, 192), "direct_kmeans")
    encoded = predictor.encode(noise_image(), street_camera())
    assert encoded.rgb.shape == (96, 192, 3)
    assert encoded.kept == 1  # auto would crop
    assert predictor.engine.endswith("float32")
    assert predictor._chunks.budget == 32 * MIB
    several = NetworkChoice(tiny, device="cpu", n_cameras=3).predictor()
    assert several._queries._n_views == 3


def test_what_cannot_be_opened_is_refused(tiny: str, tmp_path: Path):
    with pytest.raises(CheckpointError, match="neither a file nor a name"):
        NetworkChoice("ssc-kitti").config  # noqa: B018
    with pytest.raises(InputError, match="mode must be one of .*, got 'magic'"):
        NetworkChoice(tiny, "magic").settings()
    with pytest.raises(SceneDinoError, match="runs in precision") as caught:
        NetworkChoice(tiny, precision="int4", device="cpu").predictor()
    assert not isinstance(caught.value, InputError)
    with pytest.raises(InputError, match="image"):
        NetworkChoice(tiny, image_size=(96, 195)).load()
