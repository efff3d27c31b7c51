# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Checkpoints as training saves them become ones that give the golden answers.

The installed command converts them. Values follow the golden weights' recipe; what the network
does not need repeats one number.
"""

import json
import subprocess
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from golden_weights import official_key
from official_files import HEAD, KEY_LISTS, NEEDED, saved_state, training_config, write_folder
from torch.nn import functional

from scenedino_ros.checkpoints.checkpoint import Checkpoint, build_model, load_checkpoint
from scenedino_ros.cli.main import main
from scenedino_ros.core.model_config import PREDICTION_MODES
from scenedino_ros.network.model import SceneDino

TOLERANCE = 1e-4  # of the golden arrays, see test_golden_model
# Rounding of a point's position, relative to its distance. What this does to an answer is what two
# correct float32 implementations may differ by, beside the tolerance.
POSITION_ERROR = 4 * torch.finfo(torch.float32).eps
FROM_DINO = "150 of the target encoder, 22 of a perceptual loss, 4 of a downsampler or upsampler"
CASES = {
    "dino_vitb8": ("b8_192x640", "v1", f"181 tensors the network does not need: {FROM_DINO}"),
    "dinov2_vitb14": ("b14_96x320", "v2", "205 tensors the network does not need: 174 of the"),
}


@dataclass
class Converted:
    """A converted file, the arrays of its golden case, and what the network makes of them.

    The last three say how far rounding of the points moves densities and features.
    """

    backbone: str
    checkpoint: Checkpoint
    told: str
    arrays: dict[str, np.ndarray]
    model: SceneDino
    density: torch.Tensor
    feature: torch.Tensor
    moved: list[torch.Tensor]
    density_error: np.ndarray
    feature_error: np.ndarray


@pytest.fixture(scope="module", params=list(CASES))
def converted(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Converted:
    case, version, _ = CASES[request.param]
    with np.load(KEY_LISTS / f"{case}.npz") as file:
        arrays = {key: file[key] for key in file.files}
    size = tuple(json.loads(str(arrays["meta"]))["image_size"])
    folder = tmp_path_factory.mktemp("saved") / "seg-best"
    config = training_config(size, version, backbone="vit-b")
    output = folder / "x.safetensors"
    write_folder(folder, saved_state(f"{request.param}_semantic", size), config)
    done = subprocess.run(
        ["scenedino", "convert", str(folder), "-o", str(output)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    checkpoint = load_checkpoint(output)
    model = build_model(checkpoint)
    for file in folder.iterdir():
        file.unlink()  # hundreds of megabytes
    image = torch.from_numpy(arrays["image_u8"]).float() / 255 * 2 - 1
    T_cam_world = torch.linalg.inv(torch.from_numpy(arrays["pose_c2w"][:, 0]))
    points = torch.from_numpy(arrays["points"])
    points = points @ T_cam_world[:, :3, :3].transpose(1, 2) + T_cam_world[:, None, :3, 3]
    K = torch.from_numpy(arrays["K"][:, 0])
    with torch.inference_mode():
        feature_map = model.encode(image)
        density, feature, _ = model.query(feature_map, points, K)
        density_error, feature_error = torch.zeros_like(density), torch.zeros_like(feature)
        moved = []
        for axis in torch.eye(3) * POSITION_ERROR:
            place = points + axis * points.norm(dim=-1, keepdim=True)
            other_density, other_feature, _ = model.query(feature_map, place, K)
            moved.append(other_feature)
            density_error += (other_density - density).abs()
            feature_error += (other_feature - feature).abs()
    return Converted(
        request.param,
        checkpoint,
        done.stderr,
        arrays,
        model,
        density,
        feature,
        moved,
        density_error.numpy(),
        feature_error.numpy(),
    )


def close(ours: np.ndarray, golden: np.ndarray, error: np.ndarray) -> np.ndarray:
    return np.abs(ours - golden) <= TOLERANCE * (1 + np.abs(golden)) + error


def clear(converted: Converted, mode: str) -> np.ndarray:
    """Tell for which points rounding cannot change the class: both best scores may move."""
    with torch.inference_mode():
        _, scores = converted.model.classify(converted.feature, mode)
        error = torch.zeros(scores.shape[:-1])
        for feature in converted.moved:
            _, others = converted.model.classify(feature, mode)
            error += (others - scores).abs().amax(dim=-1)
    return converted.arrays[f"margin_{mode}"] > 1e-3 + 2 * error.numpy()


def test_every_tensor_is_what_training_saved(converted: Converted):
    saved = saved_state(f"{converted.backbone}_semantic", converted.checkpoint.config.image_size)
    assert {official_key(key) for key in converted.checkpoint.state} == {
        key for key in saved if key.startswith(NEEDED)
    }
    for key, value in converted.checkpoint.state.items():
        assert torch.equal(value, saved[official_key(key)]), key


def test_what_is_left_out_is_named_in_one_line(converted: Converted):
    _, _, expected = CASES[converted.backbone]
    lines = [line for line in converted.told.splitlines() if "left out" in line]
    assert len(lines) == 1
    assert f"left out {expected}" in lines[0]
    assert "unknown" not in lines[0]
    assert lines[0] == f"left out {converted.checkpoint.provenance['left_out']}"


def test_the_converted_network_gives_the_golden_answers(converted: Converted):
    arrays = converted.arrays
    density, feature = converted.density.numpy(), converted.feature.numpy()[:, ::4]
    assert close(density, arrays["sigma"], converted.density_error).all()
    assert close(feature, arrays["feat64"], converted.feature_error[:, ::4]).all()
    # Wrong weights move answers by their own size.
    assert np.median(converted.density_error) < 1e-2 * arrays["sigma"].std()
    assert np.median(converted.feature_error) < 1e-2 * arrays["feat64"].std()
    for mode in PREDICTION_MODES:
        with torch.inference_mode():
            label, _ = converted.model.classify(converted.feature, mode)
        compared = clear(converted, mode)
        assert compared.mean() > 0.9
        np.testing.assert_array_equal(label[compared], arrays[f"seg_{mode}"][compared])


@pytest.mark.parametrize("converted", ["dino_vitb8"], indirect=True)  # of which there is a list
def test_probes_with_a_hidden_layer(
    converted: Converted, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    saved = saved_state("dino_vitb8_semantic_mlp_head")
    config = training_config(version="v1", backbone="vit-b")
    config["downstream"]["mlp_head"] = True
    folder = write_folder(tmp_path / "mlp", saved, config)
    assert main(["convert", str(folder), "-o", str(tmp_path / "mlp.safetensors")]) == 0
    assert "159 tensors the network does not need" in capsys.readouterr().err
    checkpoint = load_checkpoint(tmp_path / "mlp.safetensors")
    for key, value in converted.checkpoint.state.items():
        if "_linear_head." not in key:
            assert torch.equal(checkpoint.state[key], value), key
    model = build_model(checkpoint)
    with torch.inference_mode():
        full = model.expansion(converted.feature)
        code = model.semantics.stego_head(functional.normalize(full, dim=-1))
        for source, x in (("direct", full), ("stego", code)):
            name = f"{HEAD}{source}_linear_head."
            hidden = functional.linear(
                x, saved[f"{name}linear1.weight"], saved[f"{name}linear1.bias"]
            )
            expected = functional.linear(
                hidden.clamp(min=0), saved[f"{name}linear2.weight"], saved[f"{name}linear2.bias"]
            )
            _, scores = model.classify(converted.feature, f"{source}_linear")
            np.testing.assert_allclose(scores, expected, rtol=TOLERANCE, atol=TOLERANCE)
        label, _ = model.classify(converted.feature, "direct_kmeans")
    compared = clear(converted, "direct_kmeans")
    golden = converted.arrays["seg_direct_kmeans"]
    np.testing.assert_array_equal(label[compared], golden[compared])
    for file in (folder / "checkpoint.pt", tmp_path / "mlp.safetensors"):
        file.unlink()  # hundreds of megabytes
