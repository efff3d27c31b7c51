# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Official checkpoints become ours: every number survives, everything odd is refused by name."""

import hashlib
import os
import pickle
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from official_files import (
    HEAD,
    VARIANTS,
    VIT,
    official_state,
    small_state,
    training_config,
    write_folder,
)

from scenedino_ros.checkpoints.checkpoint import build_model, load_checkpoint, save_checkpoint
from scenedino_ros.checkpoints.official.conversion import convert_official, rename_state
from scenedino_ros.checkpoints.official.file import read_official_state
from scenedino_ros.checkpoints.official.shapes import config_from_state
from scenedino_ros.checkpoints.official.training_config import OfficialConfig
from scenedino_ros.core.errors import CheckpointError
from scenedino_ros.core.labels import CITYSCAPES19, ClassTable

NO_CONFIG = OfficialConfig(None, {})
OURS_TO_OFFICIAL = {
    "encoder.vit.": "renderer.net.encoder.encoder.model.vit.",
    "decoder.": "renderer.net.encoder.decoder.",
    "expansion.": "renderer.net.encoder.dim_reduction.",
    "field.": "renderer.net.heads.normal_head.",
    "semantics.": "renderer.net.downstream_head.",
}
WIDTHS = {"s": 384, "b": 768}


@pytest.fixture(autouse=True)
def repeated_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Accept files whose tensors repeat one number: real ones would have hundreds of megabytes."""
    monkeypatch.setattr("scenedino_ros.checkpoints.weights_file._MOST_EXPANSION", float("inf"))


def official_name(key: str) -> str:
    ours = next(prefix for prefix in OURS_TO_OFFICIAL if key.startswith(prefix))
    return OURS_TO_OFFICIAL[ours] + key[len(ours) :]


@pytest.fixture(scope="module")
def small() -> dict[str, torch.Tensor]:
    return small_state()


@pytest.mark.parametrize("stage", ["", "_semantic"])
@pytest.mark.parametrize("variant", VARIANTS)
def test_every_published_variant_is_read_off_its_tensors(variant: str, stage: str):
    state = official_state(variant, stage)
    config = config_from_state(state, NO_CONFIG)
    assert config.backbone == variant
    assert config.image_size == (192, 640)
    assert config.decoder_width == 256
    assert config.reassemble_channels == (64, 64, 128, 256)
    assert config.upsample_tail
    assert (config.hidden_dim, config.feature_dim, config.expansion_dim) == (128, 64, 128)
    assert (config.n_frequencies, config.frequency_factor) == (6, 1.5)
    assert config.depth_range == (3.0, 80.0)
    assert (config.n_classes, config.n_clusters) == ((19, 19) if stage else (0, 0))


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("stage", ["", "_semantic"])
def test_published_shapes_load_strictly_with_every_number(
    variant: str, stage: str, tmp_path: Path
):
    state = official_state(variant, stage)
    checkpoint = convert_official(write_folder(tmp_path, state, None))
    model = build_model(checkpoint)
    loaded = model.state_dict()
    for key, value in loaded.items():
        original = state[official_name(key)]
        assert value.shape == original.shape
        assert torch.equal(value, original), key
    needed = [key for key in state if official_name_is_needed(key)]
    assert len(loaded) == len(needed)


def official_name_is_needed(key: str) -> bool:
    return key.startswith(tuple(OURS_TO_OFFICIAL.values()))


@pytest.mark.parametrize("wrapped", [False, True])
def test_random_weights_survive_the_way_through_files(small, tmp_path: Path, wrapped: bool):
    config = training_config((32, 64))
    source = write_folder(tmp_path / "seg-mine", small, config, wrapped=wrapped)
    checkpoint = convert_official(source)
    save_checkpoint(tmp_path / "out.safetensors", checkpoint)
    loaded = load_checkpoint(tmp_path / "out.safetensors")
    assert loaded.config == checkpoint.config
    assert loaded.config.image_size == (32, 64)
    for key, value in build_model(loaded).state_dict().items():
        assert torch.equal(value, small[official_name(key)]), key
    assert loaded.state["semantics.stego_cluster_head.pseudo_assignment"].dtype == torch.int64


def test_provenance_names_source_and_its_checksum(small, tmp_path: Path):
    source = write_folder(tmp_path / "seg-mine", small, None)
    provenance = convert_official(source, provenance={"license": "ours"}).provenance
    content = (source / "checkpoint.pt").read_bytes()
    assert provenance["source_sha256"] == hashlib.sha256(content).hexdigest()
    assert provenance["source"] == "seg-mine/checkpoint.pt"
    assert provenance["license"] == "ours"
    assert "converted" in provenance["weights"]


def test_encoder_shared_with_the_target_encoder_and_half_precision(small, tmp_path: Path):
    state = {key: value.half() if key.startswith(VIT) else value for key, value in small.items()}
    for key in [key for key in state if key.startswith(VIT)]:
        state[key.replace(".encoder.encoder.", ".encoder.gt_encoder.")] = state[key]
    checkpoint = convert_official(write_folder(tmp_path, state, None))
    for key, value in checkpoint.state.items():
        assert value.dtype in (torch.float32, torch.int64)
        assert torch.equal(value, small[official_name(key)].to(state[official_name(key)].dtype))


def test_checkpoint_without_artifact_field_takes_the_size_from_elsewhere(small, tmp_path: Path):
    state = {key: value for key, value in small.items() if key != "artifact_field"}
    with pytest.raises(CheckpointError, match="image size is unknown: .* 8 patches"):
        config_from_state(state, NO_CONFIG)
    assert config_from_state(state, NO_CONFIG, (64, 32)).image_size == (64, 32)
    source = write_folder(tmp_path, state, training_config((16, 128)))
    assert convert_official(source).config.image_size == (16, 128)


def test_image_sizes_that_contradict_each_other_are_named(small):
    def read(size):
        return OfficialConfig(Path("t.yaml"), {"dataset": {"image_size": size}})

    with pytest.raises(CheckpointError, match="dataset.image_size says 192 x 640 .* 8 patches"):
        config_from_state(small, read([192, 640]))
    with pytest.raises(
        CheckpointError, match="artifact_field says 32 x 64 .* dataset.image_size says 64 x 32"
    ):
        config_from_state(small, read([64, 32]))
    with pytest.raises(CheckpointError, match="given image size says 40 x 64"):
        config_from_state(small, NO_CONFIG, (40, 64))
    with pytest.raises(CheckpointError, match="must be \\[height, width\\]"):
        config_from_state(small, read("big"))


@pytest.mark.parametrize(
    ("section", "path", "value", "message"),
    [
        ("model", ("encoder", "version"), "v1", "version v1, .* dinov2_vits14"),
        ("model", ("encoder", "version"), "reg", "version reg, .* dinov2_vits14"),
        ("model", ("encoder", "backbone"), "vit-b", "backbone vit-b, .* dinov2_vits14"),
        ("model", ("encoder", "dino_pca_dim"), 32, "dino_pca_dim 32, .* tensors say 64"),
        ("model", ("encoder", "decoder_out_dim"), 256, "decoder_out_dim 256, .* say 8"),
        ("model", ("inv_z",), False, "inv_z False; only True"),
        ("model", ("code_mode",), "distance", "code_mode distance; only z"),
        ("model", ("learn_empty",), True, "learn_empty True; only False"),
        (
            "model",
            ("encoder", "decoder", "intermediate_features"),
            [2, 5, 8],
            "only \\[3, 6, 9\\]",
        ),
        ("downstream", ("input_dim",), 768, "input_dim 768, .* say 384"),
        ("downstream", ("mlp_head",), True, "mlp_head True, .* say False"),
        ("model", ("z_near",), 90.0, "0 < z_near < z_far metres, got 90 and 80"),
        ("model", ("z_far",), "far", "z_far must be metres, got far"),
    ],
)
def test_configuration_that_contradicts_the_tensors_is_refused(
    small, section, path, value, message
):
    config = training_config((32, 64))
    node = config[section]
    for key in path[:-1]:
        node = node[key]
    node[path[-1]] = value
    with pytest.raises(CheckpointError, match=message):
        config_from_state(small, OfficialConfig(Path("training_config.yaml"), config))


def test_stated_depths_become_the_depth_range(small):
    config = OfficialConfig(Path("t.yaml"), {"model": {"z_near": 1, "z_far": 50.0}})
    assert config_from_state(small, config).depth_range == (1.0, 50.0)


def test_missing_misshapen_and_impossible_tensors_are_all_listed(small):
    state = dict(small)
    del state[VIT + "blocks.11.mlp.fc2.bias"]
    del state["renderer.net.encoder.decoder.project.weight"]  # sizes are read off this one
    state[VIT + "norm.weight"] = torch.zeros(5)
    state["renderer.net.heads.normal_head.lin_out.weight"] = torch.zeros(65)
    state[VIT + "norm.bias"] = state[VIT + "norm.bias"].to(torch.complex64)
    state[VIT + "cls_token"] = torch.full((1, 1, 384), torch.inf)
    state[VIT + "blocks.2.norm1.bias"] = torch.full((384,), 1e39, dtype=torch.float64)
    state[HEAD + "stego_cluster_head.pseudo_assignment"] = torch.full((19,), 0.5)
    state[HEAD + "direct_cluster_head.pseudo_assignment"] = torch.arange(1, 20)
    config = replace(config_from_state(small, NO_CONFIG), feature_dim=64)
    with pytest.raises(CheckpointError) as caught:
        rename_state(state, config)
    message = str(caught.value)
    for line in (
        f"missing {VIT}blocks.11.mlp.fc2.bias",
        "missing renderer.net.encoder.decoder.project.weight",
        f"misshapen {VIT}norm.weight (5,) instead of (384,)",
        "misshapen renderer.net.heads.normal_head.lin_out.weight (65,) instead of (65, 128)",
        f"misshapen {VIT}norm.bias complex64 instead of float32",
        f"misshapen {HEAD}stego_cluster_head.pseudo_assignment float32 instead of int64",
        f"not finite {VIT}cls_token",
        f"not finite {VIT}blocks.2.norm1.bias",
        f"odd {HEAD}direct_cluster_head.pseudo_assignment must hold class ids 0..18, got 1..19",
    ):
        assert line in message
    assert message.count("\n") == 9


@pytest.mark.parametrize(
    "key",
    [
        VIT + "patch_embed.proj.weight",
        VIT + "pos_embed",
        VIT + "cls_token",
        "renderer.net.encoder.decoder.reassemble_blocks.projects.1.weight",
        "renderer.net.encoder.decoder.output_head.head_modules.1.weight",
        "renderer.net.encoder.dim_reduction.linear_in.weight",
        "renderer.net.heads.normal_head.lin_in.weight",
        "renderer.net.heads.normal_head.lin_out.weight",
        HEAD + "stego_head.linear_path.0.weight",
        HEAD + "stego_cluster_head.cluster_centers",
        HEAD + "direct_linear_head.linear.weight",
    ],
)
def test_a_missing_tensor_is_named_though_sizes_are_read_off_it(key: str, tmp_path: Path):
    state = official_state("dinov2_vits14")
    del state[key]
    with pytest.raises(CheckpointError) as caught:
        convert_official(write_folder(tmp_path, state, None))
    assert str(caught.value).split("\n")[1:] == [f"  missing {key}"]


def test_a_long_list_says_how_much_more_there_is(small):
    state = {key: value for key, value in small.items() if ".blocks." not in key}
    with pytest.raises(CheckpointError, match="and 148 more missing"):
        rename_state(state, config_from_state(small, NO_CONFIG))


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        (VIT + "patch_embed.proj.weight", torch.zeros(512, 3, 14, 14), "no known backbone .* 512"),
        ("renderer.net.code_xyz._freqs", torch.ones(1, 12, 1), "doubling frequencies"),
        ("renderer.net.code_xyz._phases", torch.ones(1, 12, 1), "alternate 0 and pi/2"),
        ("renderer.net.heads.normal_head.lin_in.weight", torch.zeros(128, 50), "6 per frequency"),
    ],
)
def test_tensors_that_make_no_network_are_refused(small, key, value, message):
    with pytest.raises(CheckpointError, match=message):
        config_from_state({**small, key: value}, NO_CONFIG)


def test_constants_of_the_positional_code_may_be_absent(small):
    state = {key: value for key, value in small.items() if ".code_xyz." not in key}
    assert config_from_state(state, NO_CONFIG) == config_from_state(small, NO_CONFIG)


def test_something_else_than_a_scenedino_checkpoint(tmp_path: Path):
    torch.save({"fc.weight": torch.zeros(2, 2)}, tmp_path / "checkpoint.pt")
    with pytest.raises(CheckpointError, match="not a SceneDINO checkpoint: none of its 1 tensor"):
        convert_official(tmp_path)


def test_class_table_must_have_as_many_classes_as_the_head(small, tmp_path: Path):
    source = write_folder(tmp_path, small, None)
    table = ClassTable(("a", "b"), ((0, 0, 0), (1, 1, 1)), (0, 1))
    with pytest.raises(CheckpointError, match="has 19 classes, the class table 2"):
        convert_official(source, classes=table)
    renamed = ClassTable(
        tuple(f"class {i}" for i in range(19)), CITYSCAPES19.colors, CITYSCAPES19.ssc_ids
    )
    assert convert_official(source, classes=renamed).classes == renamed


class Evil:
    def __reduce__(self):
        return (print, ("this must not run",))


class Shell:
    def __reduce__(self):
        return (os.system, ("echo this must not run; touch ran",))


def test_pickles_that_would_run_code_run_none(small, tmp_path: Path, capsys):
    torch.save({"model": Evil()}, tmp_path / "checkpoint.pt")
    with pytest.raises(CheckpointError, match="without tensors .keys: model"):
        read_official_state(tmp_path / "checkpoint.pt")
    (tmp_path / "plain.pt").write_bytes(pickle.dumps(Evil(), protocol=2))
    with pytest.raises(CheckpointError, match=r"plain\.pt .* would run code"):
        read_official_state(tmp_path / "plain.pt")
    torch.save({"model": small, "trainer": Evil()}, tmp_path / "checkpoint.pt")
    assert read_official_state(tmp_path / "checkpoint.pt").tensors.keys() == small.keys()
    torch.save({"model": small, "trainer": Shell()}, tmp_path / "checkpoint.pt")
    with pytest.raises(CheckpointError, match="would run code when loaded .* blocked"):
        read_official_state(tmp_path / "checkpoint.pt")
    assert "must not run" not in capsys.readouterr().out
    assert not (tmp_path / "ran").exists()


def test_damaged_and_odd_files_are_refused(small, tmp_path: Path):
    path = tmp_path / "checkpoint.pt"
    write_folder(tmp_path, {"a": torch.arange(1000.0)}, None)
    path.write_bytes(path.read_bytes()[:-300])
    with pytest.raises(CheckpointError, match=r"checkpoint\.pt cannot be read: it is .* cut off"):
        read_official_state(path)
    torch.save([1, 2], path)
    with pytest.raises(CheckpointError, match="must hold a state dict, .* got list"):
        read_official_state(path)
    torch.save({"a": 3}, path)
    with pytest.raises(CheckpointError, match="a dictionary without tensors .keys: a"):
        read_official_state(path)
    torch.save({"a": torch.zeros(2)}, path, _use_new_zipfile_serialization=False)
    assert torch.equal(read_official_state(path).tensors["a"], torch.zeros(2))
    path.write_bytes(path.read_bytes()[:-5])
    with pytest.raises(CheckpointError, match=r"checkpoint\.pt .* it is cut off or damaged"):
        read_official_state(path)


def test_missing_files_and_unreadable_configurations(small, tmp_path: Path):
    with pytest.raises(CheckpointError, match="no checkpoint at .*nowhere"):
        convert_official(tmp_path / "nowhere")
    with pytest.raises(CheckpointError, match=r"has no checkpoint\.pt"):
        convert_official(tmp_path)
    write_folder(tmp_path, {"a": torch.zeros(1)}, None)
    for text, message in (
        ("model: [1, 2", "cannot be read as YAML"),
        ("- 1\n- 2", "must hold sections"),
        ("", "is empty"),
        ("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 912\n", "of 912 bytes"),
    ):
        (tmp_path / "training_config.yaml").write_text(text)
        with pytest.raises(CheckpointError, match=message):
            convert_official(tmp_path)
