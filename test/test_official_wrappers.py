# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""What training tools put around a checkpoint is looked through; what they add is left out."""

import argparse
import collections
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
import torch
from golden_weights import official_key
from official_files import HEAD, VIT, small_state, training_config, write_folder
from safetensors.torch import save_file

from scenedino_ros.checkpoints.checkpoint import Checkpoint, build_model, save_checkpoint
from scenedino_ros.checkpoints.official.conversion import convert_official, rename_state
from scenedino_ros.checkpoints.official.left_out import describe_left_out
from scenedino_ros.checkpoints.official.shapes import config_from_state
from scenedino_ros.checkpoints.official.training_config import OfficialConfig
from scenedino_ros.core.errors import CheckpointError, InputError
from scenedino_ros.core.labels import CITYSCAPES19
from scenedino_ros.core.model_config import ModelConfig

State = dict[str, torch.Tensor]


@pytest.fixture(scope="module")
def small() -> State:
    return small_state("dinov2_vits14", (32, 96))


def convert(tmp_path: Path, content: object) -> Checkpoint:
    torch.save(content, tmp_path / "checkpoint.pt")
    return convert_official(tmp_path)


def check_same(checkpoint: Checkpoint, state: State) -> None:
    """Hold every number of a converted checkpoint to the official tensor."""
    assert checkpoint.config.image_size == (32, 96)
    check_values(checkpoint.state, state)


def check_values(converted: State, state: State) -> None:
    for key, value in converted.items():
        assert torch.equal(value, state[official_key(key)]), key


def convert_state(state: State) -> tuple[ModelConfig, State]:
    """Convert without the way through a file."""
    config = config_from_state(state, OfficialConfig(None, {}))
    return config, rename_state(state, config)[0]


@dataclass
class Settings:
    """A class that is not there where a checkpoint is converted."""

    path: Path = Path("runs")
    words: dict[str, object] = field(default_factory=dict)


def ignite(state: State) -> dict:
    best = {"score": np.float64(0.25), "history": np.arange(3.0)}
    return {
        "model": collections.OrderedDict(state),
        "optimizer": {"state": {0: {"exp_avg": torch.zeros(3)}}, "param_groups": [{"lr": 1e-4}]},
        "trainer": collections.OrderedDict(epoch_length=9, iteration=7),
        "best": best,
        "counts": collections.defaultdict(int, steps=4),
    }


def lightning(state: State) -> dict:
    own = {f"model.{key}": value for key, value in state.items()}
    return {
        "epoch": 3,
        "pytorch-lightning_version": "2.5.0",
        "state_dict": {**own, "criterion.scale": torch.ones(2)},
        "hyper_parameters": {"args": argparse.Namespace(path=Path("x")), "settings": Settings()},
        "optimizer_states": [{"state": {0: {"step": torch.tensor(1.0)}}}],
        "callbacks": {"checkpoint": {"best_model_score": torch.tensor(0.5), "dir": Path("x")}},
    }


WRAPPED = {
    "module": lambda s: {f"module.{k}": v for k, v in s.items()},
    "compiled in DDP": lambda s: {"net": {f"module._orig_mod.{k}": v for k, v in s.items()}},
    "compiled inside": lambda s: {
        k.replace("renderer.net.", "renderer.net._orig_mod.").replace(
            ".vit.", ".vit._orig_mod."
        ): v
        for k, v in s.items()
    },
    "ignite": ignite,
    "lightning": lightning,
    "deep": lambda s: {"checkpoint": {"state": {"network": s}, "epoch": 3}},
    "own name": lambda s: {f"scenedino.{k}": v for k, v in s.items()},
    "net alone": lambda s: {
        k.removeprefix("renderer.net."): v for k, v in s.items() if k.startswith("renderer.net.")
    },
    "parameters": lambda s: {
        k: torch.nn.Parameter(v) if v.is_floating_point() else v for k, v in s.items()
    },
    "numbers beside tensors": lambda s: {**s, "epoch": 12},
}


@pytest.mark.parametrize("kind", WRAPPED)
def test_wrappers_are_looked_through(small, tmp_path: Path, kind: str):
    write_folder(tmp_path, WRAPPED[kind](small), training_config((32, 96)))
    check_same(convert_official(tmp_path), small)


def test_averaged_copies_beside_the_network_are_not_taken(small, tmp_path: Path):
    averaged = {key: value + 1 for key, value in small.items()}
    checkpoint = convert(tmp_path, {"model_ema": averaged, "model": small})
    check_same(checkpoint, small)
    assert "of another copy of the network" in checkpoint.provenance["left_out"]
    flat = {f"ema.{key}": value for key, value in averaged.items()}
    checkpoint = convert(tmp_path, {**flat, **{f"net.{k}": v for k, v in small.items()}})
    check_same(checkpoint, small)
    assert "of another copy of the network" in checkpoint.provenance["left_out"]


def test_two_tensors_of_one_name_are_refused(small, tmp_path: Path):
    key = VIT + "norm.bias"
    twice = {**small, f"module.{key}": small[key].clone()}
    check_same(convert(tmp_path, twice), small)
    with pytest.raises(CheckpointError, match=f"two different tensors {key}, one as module"):
        convert(tmp_path, {**small, f"module.{key}": small[key] + 1})


def test_official_tensors_in_a_safetensors_file(small, tmp_path: Path):
    path = tmp_path / "official.safetensors"
    save_file(small, path)
    checkpoint = convert_official(path)
    check_same(checkpoint, small)
    save_checkpoint(path, checkpoint)
    with pytest.raises(CheckpointError, match="is a converted checkpoint already"):
        convert_official(path)


def test_tensors_that_share_memory_are_stored(small, tmp_path: Path):
    table = f"{HEAD}%s_cluster_head.pseudo_assignment"
    state = {**small, table % "direct": small[table % "stego"]}
    many = torch.stack([small[VIT + "norm.bias"], small[VIT + "norm.weight"]])
    state[VIT + "norm.bias"], state[VIT + "norm.weight"] = many
    checkpoint = convert(tmp_path, state)
    check_same(checkpoint, state)
    save_checkpoint(tmp_path / "out.safetensors", checkpoint)


@pytest.mark.parametrize(
    ("dtype", "tables"),
    [(torch.float16, None), (torch.bfloat16, torch.int32), (torch.float64, torch.uint8)],
)
def test_other_types_are_taken(small, dtype, tables):
    cast = {
        key: value.to(dtype if value.is_floating_point() else tables or dtype)
        for key, value in small.items()
    }
    if dtype == torch.float64:  # values that float32 has not
        cast = {k: v / 3 if k.startswith(VIT) else v for k, v in cast.items()}
    config, converted = convert_state(cast)
    assert config.frequency_factor == 1.5
    check_values(converted, {k: v.to(small[k].dtype) for k, v in cast.items()})
    build_model(Checkpoint(config, CITYSCAPES19, converted))


def test_constants_are_held_to_the_rounding_of_their_type(small):
    name = "renderer.net.code_xyz._freqs"
    odd = small[name] * 1.1  # 1.65, which half precision has not
    halved = {k: v.half() for k, v in {**small, name: odd}.items() if v.is_floating_point()}
    config, _ = convert_state({**small, **halved})
    assert config.frequency_factor == pytest.approx(1.65, rel=1e-3)
    wrong = odd.clone()
    wrong[0, 5] *= 1.003
    for dtype in (torch.float16, torch.float32, torch.float64):
        with pytest.raises(CheckpointError, match="doubling frequencies"):
            convert_state({**small, name: wrong.to(dtype)})


BESIDE = {
    "lpips.lin0.model.1.weight": "of a perceptual loss",
    "perceptual_loss.vgg.slice1.0.bias": "of a perceptual loss",
    "renderer.net.encoder.gt_encoder.model.vit.mask_token": "of the target encoder",
    "renderer.net.encoder.gt_wrapper.proj.weight": "of the target encoder",
    "renderer.net.encoder.downsampler.patch_bias": "of a downsampler or upsampler",
    "renderer.net.encoder.upsampler.conv.weight": "of a downsampler or upsampler",
    "criterion.temperature": "of a criterion",
    "loss.0.weights": "of a criterion",
    "ray_sampler.grid": "of a ray sampler",
    "renderer.net.encoder.visualization.pca": "that are buffers of training or visualisation",
    "renderer.net.downstream_head.feature_buffer": "that are buffers of training or visualisation",
    "num_batches_tracked": "that are buffers of training or visualisation",
    VIT + "mask_token": "of the backbone's own head or mask token",
    VIT + "head.weight": "of the backbone's own head or mask token",
    VIT + "fc_norm.bias": "of the backbone's own head or mask token",
}


@pytest.mark.parametrize("key", BESIDE)
def test_kinds_of_what_is_left_out(key: str):
    assert describe_left_out([key]) == f"1 tensor the network does not need: 1 {BESIDE[key]}"


def test_what_is_left_out_is_one_line(small, tmp_path: Path):
    # Neither shape nor value of these matters.
    extra = {key: torch.full((2,), torch.nan) for key in BESIDE}
    extra |= {f"strange.{i}": torch.zeros(()) for i in range(7)}
    told: list[str] = []
    write_folder(tmp_path, {**small, **extra}, training_config((32, 96)))
    checkpoint = convert_official(tmp_path, report=told.append)
    check_same(checkpoint, small)
    (line,) = [text for text in told if "left out" in text]
    assert "\n" not in line
    assert line == f"left out {checkpoint.provenance['left_out']}"
    assert line.startswith("left out 27 tensors the network does not need: ")
    assert "3 of the backbone's own head or mask token" in line
    assert line.endswith(
        "7 of unknown kinds: " + ", ".join(f"strange.{i}" for i in range(5)) + " and 2 more"
    )


@pytest.mark.parametrize(
    ("dropped", "heads"),
    [
        (("stego_",), ("direct_kmeans", "direct_linear")),
        (("direct_", "stego_linear"), ("stego_kmeans",)),
        (("stego_cluster", "direct_cluster"), ("stego_linear", "direct_linear")),
        (("stego_cluster", "stego_linear", "direct_linear"), ("direct_kmeans",)),
    ],
)
def test_only_heads_of_the_file_can_be_chosen(small, dropped, heads):
    names = tuple(HEAD + name for name in dropped)
    config, converted = convert_state({k: v for k, v in small.items() if not k.startswith(names)})
    assert config.heads == heads
    assert config.n_classes == 19
    check_values(converted, small)
    for mode in heads:
        config.check_mode(mode)
    missing = next(m for m in ("stego_kmeans", "direct_linear") if m not in heads)
    with pytest.raises(
        InputError, match=f"no head for mode '{missing}'; it has {', '.join(heads)}"
    ):
        config.check_mode(missing)


def test_a_head_without_its_code_is_refused(small):
    state = {key: value for key, value in small.items() if "stego_head" not in key}
    with pytest.raises(CheckpointError) as caught:
        convert_state(state)
    assert str(caught.value).count(f"missing {HEAD}stego_head.") == 6


TAGGED = """
model: !!python/object:models.Config
  encoder: {version: v2, backbone: vit-s, image_size: !!python/tuple [32, 96]}
  inv_z: !!python/bool "true"
  z_near: !!python/float "4"
  z_far: !!python/int "60"
dataset:
  image_size: !!python/object/apply:builtins.tuple [32, 96]
  root: !!python/object/apply:pathlib.PosixPath [/, data, KITTI-360]
  transform: !!python/name:torch.nn.functional.relu ''
  command: !!python/object/apply:os.system ["touch ran"]
  hook: !!python/object/new:subprocess.Popen {args: [touch ran]}
  key: !Secret value
downstream: {mlp_head: false}
"""


def test_tags_in_a_configuration_are_read_as_text(small, tmp_path: Path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "training_config.yaml"
    path.write_text(TAGGED)
    dataset = OfficialConfig.read(path).values["dataset"]
    assert dataset["root"] == "/data/KITTI-360"
    assert dataset["transform"] == "torch.nn.functional.relu"
    assert dataset["command"] == ["touch ran"]
    assert dataset["key"] == "value"
    checkpoint = convert(tmp_path, small)
    assert checkpoint.config.depth_range == (4.0, 60.0)
    check_same(checkpoint, small)
    assert not (tmp_path / "ran").exists()
    path.write_text(TAGGED.replace("[32, 96]}", "[96, 32]}"))
    with pytest.raises(CheckpointError, match="says 96 x 32"):
        convert_official(tmp_path)
