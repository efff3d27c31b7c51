# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Pretrained weights: their names, position embeddings and refusals; the target encoder."""

import os
import socket
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import timm
import torch
from safetensors.torch import save_file
from timm.layers import resample_abs_pos_embed

from scenedino_ros.cameras.image import image_tensor
from scenedino_ros.checkpoints import pretrained
from scenedino_ros.checkpoints.checkpoint import (
    SMALL_CONFIG,
    load_checkpoint,
    resize_checkpoint,
    save_checkpoint,
    untrained_checkpoint,
)
from scenedino_ros.checkpoints.hub import locate_backbone
from scenedino_ros.checkpoints.names import DEFAULT_FILE
from scenedino_ros.checkpoints.pretrained import TargetEncoder, load_backbone, read_weights
from scenedino_ros.core.backbones import BACKBONES
from scenedino_ros.core.errors import CheckpointError, InputError
from scenedino_ros.network.encoder import Encoder

SIZE = (32, 64)  # 2 x 4 patches


def pretrained_weights(backbone: str = "dinov2_vits14", seed: int = 0) -> dict[str, torch.Tensor]:
    """Return random weights with timm's names and a position embedding for 3 x 3 patches."""
    patch = BACKBONES[backbone].external_patch
    with torch.device("meta"):
        shapes = Encoder(backbone, (3 * patch, 3 * patch)).vit.state_dict()
    generator = torch.Generator().manual_seed(seed)
    return {
        key: 0.05 * torch.randn(value.shape, generator=generator) for key, value in shapes.items()
    }


@pytest.fixture(scope="module")
def weights() -> dict[str, torch.Tensor]:
    return pretrained_weights()


@pytest.fixture(scope="module")
def weight_file(tmp_path_factory, weights) -> Path:
    path = tmp_path_factory.mktemp("weights") / "vits14.safetensors"
    save_file(weights, path)
    return path


def test_half_precision_file_is_read_as_float32(tmp_path, weights):
    path = tmp_path / "half.safetensors"
    save_file({key: value.half() for key, value in weights.items()}, path)
    encoder = Encoder("dinov2_vits14", SIZE)
    load_backbone(encoder, path)
    loaded = encoder.vit.state_dict()
    assert {value.dtype for value in loaded.values()} == {torch.float32}
    key = "blocks.3.attn.qkv.weight"
    assert torch.equal(loaded[key], weights[key].half().float())


def test_random_weights_are_those_the_encoder_was_built_with():
    encoder = Encoder("dinov2_vits14", SIZE)
    before = {key: value.clone() for key, value in encoder.vit.state_dict().items()}
    load_backbone(encoder, "random")
    for key, value in encoder.vit.state_dict().items():
        assert torch.equal(value, before[key]), key


def test_positions_are_resampled_and_class_entry_is_kept(weight_file, weights):
    encoder = Encoder("dinov2_vits14", SIZE)
    load_backbone(encoder, weight_file)
    old, new = weights["pos_embed"], encoder.vit.pos_embed
    assert new.shape == (1, 1 + 2 * 4, 384)
    assert torch.equal(new[:, 0], old[:, 0])
    patches = old[:, 1:].unflatten(1, (3, 3)).permute(0, 3, 1, 2)
    expected = torch.nn.functional.interpolate(patches, (2, 4), mode="bicubic", antialias=True)
    torch.testing.assert_close(new[:, 1:], expected.flatten(2).transpose(1, 2))


def test_square_grid_is_taken_as_it_is(weight_file, weights):
    encoder = Encoder("dinov2_vits14", (48, 48))
    load_backbone(encoder, weight_file)
    assert torch.equal(encoder.vit.pos_embed, weights["pos_embed"])


def test_original_names_with_registers_mean_the_same(tmp_path):
    ours = pretrained_weights("dinov2reg_vits14")
    original = dict(ours)
    shared = torch.full((1, 1, 384), 0.25)
    original["register_tokens"] = original.pop("reg_token")
    original["pos_embed"] = torch.cat([shared, original["pos_embed"]], dim=1)
    original["cls_token"] = original["cls_token"] - shared
    original["mask_token"] = torch.zeros(1, 384)
    images = torch.rand(1, 3, *SIZE) * 2 - 1
    tokens = []
    for name, content in (("ours", ours), ("original", original)):
        torch.save(content, tmp_path / f"{name}.pth")
        encoder = Encoder("dinov2reg_vits14", SIZE).eval()
        load_backbone(encoder, tmp_path / f"{name}.pth")
        with torch.no_grad():
            tokens.append(encoder(images)[-1])
    torch.testing.assert_close(tokens[0], tokens[1])


@pytest.mark.parametrize("name", BACKBONES)
def test_timm_knows_every_backbone(name, monkeypatch):
    patch = BACKBONES[name].external_patch
    with torch.device("meta"):
        encoder = Encoder(name, (2 * patch, 4 * patch))
        shapes = Encoder(name, (3 * patch, 3 * patch)).vit.state_dict()
    encoder.vit.to_empty(device="cpu")
    asked = []

    def from_timm(timm_name: str) -> dict[str, torch.Tensor]:
        asked.append(timm_name)
        return {key: torch.full(value.shape, 0.5) for key, value in shapes.items()}

    monkeypatch.setattr(pretrained, "_from_timm", from_timm)
    load_backbone(encoder, "timm")
    assert asked == [BACKBONES[name].timm_name]
    assert (encoder.vit.state_dict()["blocks.11.mlp.fc2.weight"] == 0.5).all()


def test_fit3d_file_of_a_backbone(monkeypatch, tmp_path, weights):
    asked = []
    torch.save(weights, tmp_path / "fit3d.pth")

    def download(repo: str, name: str) -> str:
        asked.append((repo, name))
        return str(tmp_path / "fit3d.pth")

    monkeypatch.setattr(pretrained, "hf_hub_download", download)
    load_backbone(Encoder("dinov2_vits14", SIZE), "fit3d")
    assert asked == [("yuanwenyue/FiT3D", "dinov2_small_finetuned.pth")]
    with pytest.raises(InputError, match=r"FiT3D is published for .*, got vit_small_patch8_224"):
        load_backbone(Encoder("dino_vits8", SIZE), "fit3d")


def test_failed_download_is_one_sentence(monkeypatch):
    def fail(*_args: object, **_options: object) -> None:
        raise ConnectionError("no route\nto host")

    encoder = Encoder("dinov2_vits14", SIZE)
    monkeypatch.setattr(timm, "create_model", fail)
    with pytest.raises(CheckpointError, match=r"by timm: no route to host; without the network"):
        load_backbone(encoder, "timm")
    monkeypatch.setattr(pretrained, "hf_hub_download", fail)
    with pytest.raises(CheckpointError, match="of yuanwenyue/FiT3D cannot be fetched: no route"):
        load_backbone(encoder, "fit3d")


def test_weights_of_another_backbone_are_refused(weight_file):
    with pytest.raises(CheckpointError, match=r"do not fit the backbone in \d+ tensors: "):
        load_backbone(Encoder("dinov2_vitb14", SIZE), weight_file)
    with pytest.raises(CheckpointError, match=r"reg_token must be \(1, 4, 384\), got none"):
        load_backbone(Encoder("dinov2reg_vits14", SIZE), weight_file)


def test_the_encoder_of_a_checkpoint_serves(tmp_path, weights):
    config = replace(SMALL_CONFIG, image_size=SIZE, decoder_width=8, hidden_dim=8)
    checkpoint = untrained_checkpoint(config, seed=5)
    save_checkpoint(tmp_path / "whole.safetensors", checkpoint)
    own = Encoder("dinov2_vits14", SIZE)
    load_backbone(own, tmp_path / "whole.safetensors")
    for name, value in own.state_dict().items():
        assert torch.equal(value, checkpoint.state[f"encoder.{name}"]), name
    # Its positions are for 2 x 4 patches, which are no square: another size resamples those.
    other = Encoder("dinov2_vits14", (48, 64))
    load_backbone(other, tmp_path / "whole.safetensors")
    resized = resize_checkpoint(checkpoint, (48, 64)).state["encoder.vit.pos_embed"]
    assert torch.equal(other.vit.pos_embed, resized)
    with pytest.raises(CheckpointError, match="must be of the backbone vit_small_patch8_224.dino"):
        load_backbone(Encoder("dino_vits8", SIZE), tmp_path / "whole.safetensors")


def test_the_encoder_of_the_packages_model_needs_no_network(monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr(socket, "socket", None)
    encoder = Encoder("dinov2_vits14", (192, 640))
    load_backbone(encoder, locate_backbone("default"))
    state = load_checkpoint(DEFAULT_FILE).state
    for name, value in encoder.state_dict().items():
        assert torch.equal(value, state[f"encoder.{name}"].float()), name
    assert [locate_backbone(name) for name in ("timm", "a/b.pth")] == ["timm", "a/b.pth"]


def test_unreadable_files_are_refused(tmp_path):
    with pytest.raises(CheckpointError, match=r"absent\.pth cannot be read: .*No such file"):
        read_weights(tmp_path / "absent.pth")
    for name in ("noise.pth", "noise.safetensors"):
        (tmp_path / name).write_bytes(b"noise" * 100)
        with pytest.raises(CheckpointError, match=f"{name} cannot be read"):
            read_weights(tmp_path / name)
    torch.save({"model": {"a": torch.zeros(1)}}, tmp_path / "nested.pth")
    with pytest.raises(CheckpointError, match="must be a state dict: tensors by their names"):
        read_weights(tmp_path / "nested.pth")


def test_target_tokens_are_the_encoders_last_and_have_no_gradient(weight_file):
    target = TargetEncoder("dinov2_vits14", SIZE, weight_file)
    assert not target.train().training
    assert not any(parameter.requires_grad for parameter in target.parameters())
    image = torch.rand(2, 3, *SIZE) * 2 - 1
    tokens = target(image)
    assert tokens.shape == (2, target.width, 2, 4)
    assert target.width == 384
    with torch.no_grad():
        expected = target.encoders[0](image)[-1]
    torch.testing.assert_close(tokens, expected)
    torch.testing.assert_close(tokens.norm(dim=1), torch.ones(2, 2, 4))


def test_half_precision_target_is_close(weight_file):
    image = torch.rand(1, 3, *SIZE) * 2 - 1
    exact = TargetEncoder("dinov2_vits14", SIZE, weight_file)(image)
    half = TargetEncoder("dinov2_vits14", SIZE, weight_file, torch.bfloat16)(image)
    assert half.dtype == torch.float32
    assert not torch.equal(half, exact)
    assert (half * exact).sum(dim=1).min() > 0.999


def test_two_sources_stand_side_by_side(tmp_path, weight_file):
    other = tmp_path / "other.safetensors"
    save_file(pretrained_weights(seed=1), other)
    image = torch.rand(1, 3, *SIZE) * 2 - 1
    both = TargetEncoder("dinov2_vits14", SIZE, (weight_file, other))(image)
    halves = [TargetEncoder("dinov2_vits14", SIZE, path)(image) for path in (weight_file, other)]
    torch.testing.assert_close(both, torch.cat(halves, dim=1))
    torch.testing.assert_close(both.norm(dim=1), torch.full((1, 2, 4), 2**0.5))
    with pytest.raises(InputError, match="needs at least one source of weights, got none"):
        TargetEncoder("dinov2_vits14", SIZE, [])


@pytest.mark.weights
def test_real_weights_give_the_reference_features():
    data = os.environ.get("SCENEDINO_TEST_DATA")
    folder = Path(data or "") / "dinov2_vits14"
    if data is None or not folder.is_dir():
        pytest.skip("SCENEDINO_TEST_DATA names no folder with dinov2_vits14")
    path = folder / "dinov2_vits14_imgfocus_fp16.safetensors"
    bgr = cv2.imread(str(folder.parent / "demo_images" / "kitti-360-1.png"))
    rgb = bgr[5:187, 5:635, ::-1]
    encoder = Encoder("dinov2_vits14", (13 * 16, 45 * 16)).eval()
    load_backbone(encoder, path)
    # The reference resamples positions without antialias and skips the scaling by 14/16.
    resampled = encoder.vit.pos_embed.clone()
    patches = read_weights(path)["pos_embed"].float()[:, 1:].unflatten(1, (37, 37))
    plain = torch.nn.functional.interpolate(
        patches.permute(0, 3, 1, 2), (13, 45), mode="bicubic", align_corners=False
    )
    with np.load(folder / "reference_features_kitti-360-1.npz") as reference, torch.no_grad():
        expected = torch.from_numpy(reference["patch"]).float()
        cosines = []
        for positions in (resampled[:, 1:], plain.flatten(2).transpose(1, 2)):
            encoder.vit.pos_embed[:, 1:] = positions
            tokens, _ = encoder.vit(encoder.normalise(image_tensor(rgb)))
            tokens = tokens[0, 1:].unflatten(0, (13, 45))
            cosines.append(torch.cosine_similarity(tokens, expected, dim=-1))
    assert cosines[1].min() > 0.9999
    assert cosines[0].mean() > 0.99
    antialiased = resample_abs_pos_embed(
        read_weights(path)["pos_embed"].float(), (13, 45), (37, 37), num_prefix_tokens=1
    )
    torch.testing.assert_close(resampled, antialiased)
