# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Checkpoints: one file rebuilds the network, and says what is wrong with itself."""

import dataclasses
import json
import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from models import TINY, lively_checkpoint
from safetensors import safe_open
from safetensors.torch import save_file
from timm.layers import resample_abs_pos_embed

from scenedino_ros.checkpoints import checkpoint as checkpoint_module
from scenedino_ros.checkpoints.card import read_card
from scenedino_ros.checkpoints.checkpoint import (
    Checkpoint,
    build_model,
    load_checkpoint,
    resize_checkpoint,
    save_checkpoint,
    untrained_checkpoint,
)
from scenedino_ros.core.backbones import BACKBONES, patch_grid
from scenedino_ros.core.errors import CheckpointError, InputError
from scenedino_ros.core.labels import CITYSCAPES19, ClassTable
from scenedino_ros.core.model_config import ModelConfig
from scenedino_ros.network.encoder import Encoder
from train import release


def test_save_and_load_are_exact(tmp_path: Path) -> None:
    checkpoint = lively_checkpoint()
    save_checkpoint(tmp_path / "deep" / "a.safetensors", checkpoint)
    loaded = load_checkpoint(tmp_path / "deep" / "a.safetensors")
    assert loaded.config == checkpoint.config
    assert loaded.classes == CITYSCAPES19
    assert loaded.provenance == checkpoint.provenance
    assert loaded.state.keys() == checkpoint.state.keys()
    for key, value in checkpoint.state.items():
        assert torch.equal(loaded.state[key], value), key
    assert [p.name for p in (tmp_path / "deep").iterdir()] == ["a.safetensors"]


def test_card_reads_no_tensors_but_knows_them(tmp_path: Path) -> None:
    save_checkpoint(tmp_path / "a.safetensors", lively_checkpoint())
    card = read_card(tmp_path / "a.safetensors")
    assert card.config == TINY
    assert card.tensors["field.lin_in.weight"] == ((32, 55), "F32")
    assert "untrained weights" in card.provenance["weights"]


def test_the_density_threshold_goes_with_the_weights(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    checkpoint = replace(lively_checkpoint(), density_threshold=1.0)
    save_checkpoint(path, checkpoint)
    assert load_checkpoint(path).density_threshold == read_card(path).density_threshold == 1.0
    assert resize_checkpoint(checkpoint, (32, 64)).density_threshold == 1.0
    released = release.released(checkpoint, {"weights": "half as large"})
    assert released.density_threshold == 1.0
    assert release.released(checkpoint, {}, 0.0).density_threshold == 0.0


def test_a_file_without_a_density_threshold_has_the_published_one(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    save_checkpoint(path, lively_checkpoint())
    with safe_open(path, framework="pt") as file:
        header = file.metadata()
    del header["density_threshold"]
    save_file(dict(lively_checkpoint().state), path, header)
    assert load_checkpoint(path).density_threshold == read_card(path).density_threshold == 0.2


@pytest.mark.parametrize("read", [load_checkpoint, read_card])
@pytest.mark.parametrize("value", [-0.1, math.nan, math.inf])
def test_what_is_no_density_is_no_threshold(tmp_path: Path, read, value: float) -> None:
    wrong = rf"density threshold must be a finite number >= 0 1/m, got {value}"
    with pytest.raises(InputError, match=wrong):
        replace(lively_checkpoint(), density_threshold=value)
    with pytest.raises(InputError, match=wrong):
        release.released(lively_checkpoint(), {}, value)
    path = tmp_path / "a.safetensors"
    save_checkpoint(path, lively_checkpoint())
    with safe_open(path, framework="pt") as file:
        header = file.metadata()
    save_file({"a": torch.zeros(1)}, path, {**header, "density_threshold": json.dumps(value)})
    with pytest.raises(CheckpointError, match=f"a.safetensors has a damaged header: {wrong}"):
        read(path)
    save_file({"a": torch.zeros(1)}, path, {**header, "density_threshold": '"low"'})
    with pytest.raises(CheckpointError, match="has a damaged header: must be real number"):
        read(path)


def test_half_precision_weights_become_float32(tmp_path: Path) -> None:
    checkpoint = lively_checkpoint()
    state = {k: v.half() if v.is_floating_point() else v for k, v in checkpoint.state.items()}
    save_checkpoint(tmp_path / "h.safetensors", Checkpoint(TINY, CITYSCAPES19, state))
    model = build_model(load_checkpoint(tmp_path / "h.safetensors"))
    assert {p.dtype for p in model.parameters()} == {torch.float32}
    assert not model.training


def test_same_seed_same_weights() -> None:
    first, again = untrained_checkpoint(TINY, 3).state, untrained_checkpoint(TINY, 3).state
    other = untrained_checkpoint(TINY, 4).state
    key = "decoder.project.weight"
    assert torch.equal(first[key], again[key])
    assert not torch.equal(first[key], other[key])


def test_misfits_are_all_listed() -> None:
    checkpoint = lively_checkpoint()
    state = dict(checkpoint.state)
    del state["field.lin_in.bias"]
    state["expansion.linear_in.bias"] = torch.zeros(3)
    state["surprise"] = torch.zeros(1)
    with pytest.raises(CheckpointError) as error:
        build_model(Checkpoint(TINY, CITYSCAPES19, state))
    text = str(error.value)
    assert "3 keys" in text
    assert "missing field.lin_in.bias (32,)" in text
    assert "unexpected surprise" in text
    assert "misshapen expansion.linear_in.bias: expected (16,), got (3,)" in text


def test_class_table_must_fit_the_head() -> None:
    two = ClassTable(("a", "b"), ((0, 0, 0), (1, 1, 1)), (0, 1))
    with pytest.raises(CheckpointError, match="predicts 19 classes, but the class table has 2"):
        build_model(Checkpoint(TINY, two, lively_checkpoint().state))


@pytest.mark.parametrize("read", [load_checkpoint, read_card])
def test_files_that_are_no_checkpoints(tmp_path: Path, read) -> None:
    with pytest.raises(CheckpointError, match=r"none.safetensors cannot be read"):
        read(tmp_path / "none.safetensors")
    (tmp_path / "text.safetensors").write_text("no checkpoint at all")
    with pytest.raises(CheckpointError, match=r"text.safetensors cannot be read"):
        read(tmp_path / "text.safetensors")
    save_file({"a": torch.zeros(1)}, tmp_path / "other.safetensors")
    with pytest.raises(CheckpointError, match=r"must be of format scenedino_ros/1, got none"):
        read(tmp_path / "other.safetensors")
    header = {"format": "scenedino_ros/1", "config": json.dumps({"backbone": 3, "x": 1})}
    save_file({"a": torch.zeros(1)}, tmp_path / "header.safetensors", header)
    with pytest.raises(CheckpointError, match=r"unknown model config key 'x'; known: "):
        read(tmp_path / "header.safetensors")
    save_checkpoint(tmp_path / "cut.safetensors", lively_checkpoint())
    whole = (tmp_path / "cut.safetensors").read_bytes()
    (tmp_path / "cut.safetensors").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(CheckpointError, match=r"cut.safetensors cannot be read"):
        read(tmp_path / "cut.safetensors")


def test_a_failed_save_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.safetensors"
    save_checkpoint(path, lively_checkpoint())
    before = path.read_bytes()

    def fail(*_: object) -> None:
        raise OSError("no space left")

    monkeypatch.setattr(checkpoint_module, "save_file", fail)
    with pytest.raises(OSError, match="no space left"):
        save_checkpoint(path, lively_checkpoint(seed=1))
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("backbone", BACKBONES)
def test_every_backbone_can_be_built(backbone: str) -> None:
    config = ModelConfig(backbone=backbone, image_size=(32, 64))
    with torch.device("meta"):
        model = checkpoint_module.SceneDino(config)
    spec = BACKBONES[backbone]
    state = model.state_dict()
    patches = (32 // spec.external_patch) * (64 // spec.external_patch)
    has_own_entry = spec.register_tokens == 0
    assert state["encoder.vit.pos_embed"].shape == (1, patches + has_own_entry, spec.width)
    assert ("encoder.vit.blocks.0.ls1.gamma" in state) == spec.layer_scale
    assert ("encoder.vit.reg_token" in state) == (spec.register_tokens > 0)
    assert model.encoder.vit.blocks[0].attn.heads == spec.heads


def test_the_decoder_reads_the_blocks_of_the_backbones_row(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    row = BACKBONES["dinov2_vits14"]
    encoder = Encoder("dinov2_vits14", (32, 64))
    image = torch.zeros(1, 3, 32, 64)
    monkeypatch.setitem(
        BACKBONES, "dinov2_vits14", dataclasses.replace(row, tapped_blocks=(1, 6, 10))
    )
    other = Encoder("dinov2_vits14", (32, 64))
    other.load_state_dict(encoder.state_dict())
    with torch.inference_mode():
        before, after = encoder(image), other(image)
    assert [torch.equal(a, b) for a, b in zip(before, after, strict=True)] == [
        *(False, True, False, True)
    ]


@pytest.mark.parametrize("backbone", ["dino_vits8", "dinov2_vits14", "dinov2reg_vits14"])
def test_other_image_sizes_resample_the_position_embedding(backbone: str) -> None:
    config = dataclasses.replace(TINY, backbone=backbone)
    checkpoint = untrained_checkpoint(config)
    resized = resize_checkpoint(checkpoint, (96, 192))
    key = "encoder.vit.pos_embed"
    patch = BACKBONES[backbone].external_patch
    expected = resample_abs_pos_embed(
        checkpoint.state[key],
        new_size=[96 // patch, 192 // patch],
        old_size=[64 // patch, 160 // patch],
        num_prefix_tokens=0 if "reg" in backbone else 1,
    )
    torch.testing.assert_close(resized.state[key], expected)
    model = build_model(resized)
    with torch.inference_mode():
        assert model.encode(torch.zeros(1, 3, 96, 192)).isfinite().all()
    assert resize_checkpoint(checkpoint, (64, 160)) is checkpoint
    with pytest.raises(InputError, match="must be a multiple of"):
        resize_checkpoint(checkpoint, (96, 195))
    with pytest.raises(InputError, match=r"must be height and width, got \(96,\)"):
        resize_checkpoint(checkpoint, (96,))


def test_images_must_be_a_whole_patch_grid() -> None:
    assert patch_grid("dino_vitb8", (192, 640)) == (24, 80)
    assert patch_grid("dinov2_vitb14", (192, 640)) == (12, 40)
    with pytest.raises(InputError, match="multiple of 16 px for dinov2_vits14, got 200 x 640"):
        patch_grid("dinov2_vits14", (200, 640))
    with pytest.raises(InputError, match="unknown backbone 'vgg'; known: dino_vits8"):
        patch_grid("vgg", (192, 640))
    model = build_model(lively_checkpoint())
    with pytest.raises(InputError, match="built for 64 x 160 px, got 64 x 176"):
        model.encode(torch.zeros(1, 3, 64, 176))
