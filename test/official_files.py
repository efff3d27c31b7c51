# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Checkpoints in the official format, made up from the published lists of keys and shapes."""

import json
import zlib
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
import yaml
from golden_weights import OFFICIAL_PREFIXES, recipe

from scenedino_ros.core.backbones import BACKBONES, patch_grid

KEY_LISTS = Path(__file__).parent / "golden"
VARIANTS = ("dino_vits8", "dino_vitb8", "dinov2_vits14", "dinov2_vitb14", "dinov2reg_vitb14")
VIT = "renderer.net.encoder.encoder.model.vit."
HEAD = "renderer.net.downstream_head."
NEEDED = tuple(OFFICIAL_PREFIXES.values())

State = dict[str, torch.Tensor]


def official_state(variant: str, stage: str = "_semantic") -> State:
    """Return tensors of the official names and shapes; each key has one value of its own.

    A tensor holds one number that is repeated without being stored, so even the large variants
    are small files.
    """
    keys = json.loads((KEY_LISTS / f"official_keys_{variant}{stage}.json").read_text())["keys"]
    state = {key: _constant(key, entry["shape"], entry["dtype"]) for key, entry in keys.items()}
    state["renderer.net.code_xyz._freqs"] = frequencies(6)
    state["renderer.net.code_xyz._phases"] = phases(6)
    return state


def saved_state(name: str, image_size: tuple[int, int] = (192, 640)) -> State:
    """Return all tensors of a list of what training saved, the network's by the golden recipe.

    Args:
        name: Of the list, such as ``dino_vitb8_semantic``.
        image_size: (height, width) in pixels; the position embedding and the artefact field
            depend on it.
    """
    keys = json.loads((KEY_LISTS / f"saved_keys_{name}.json").read_text())
    rows, columns = patch_grid(name.split("_semantic")[0], image_size)
    state: State = {}
    for key, (shape, dtype) in keys.items():
        if key.endswith("pos_embed"):
            shape = [1, 1 + rows * columns, shape[2]]
        elif key == "artifact_field":
            shape = [shape[0], rows, columns]
        if key.startswith(NEEDED):
            state[key] = torch.from_numpy(_recipe(key, tuple(shape)))
        else:
            state[key] = _constant(key, shape, dtype)
    state["renderer.net.code_xyz._freqs"] = frequencies(6)
    state["renderer.net.code_xyz._phases"] = phases(6)
    return state


@lru_cache(maxsize=256)
def _recipe(key: str, shape: tuple[int, ...]) -> np.ndarray:
    """Remember the recipe's values: most tensors are the same in every list."""
    return recipe(key, shape)


def small_state(backbone: str = "dinov2_vits14", image_size: tuple[int, int] = (32, 64)) -> State:
    """Return a semantic checkpoint with random values, a small image and a narrow decoder."""
    keys = json.loads((KEY_LISTS / f"official_keys_{backbone}_semantic.json").read_text())["keys"]
    rows, columns = patch_grid(backbone, image_size)
    generator = torch.Generator().manual_seed(5)
    state: State = {}
    for key, entry in keys.items():
        if ".gt_encoder." in key or ".downsampler." in key:
            continue
        shape = [8 if size in (64, 128, 256) else size for size in entry["shape"]]
        if not key.startswith("renderer.net.encoder.decoder."):
            shape = entry["shape"]
        if key == "renderer.net.heads.normal_head.lin_in.weight":
            shape = [128, 8 + 39]
        if key.endswith("pos_embed"):
            shape = [1, rows * columns + (0 if BACKBONES[backbone].register_tokens else 1), 384]
        if key == "artifact_field":
            shape = [384, rows, columns]
        if entry["dtype"] == "int64":
            state[key] = torch.arange(19).flip(0) if shape else torch.tensor(3)
        else:
            state[key] = 0.05 * torch.randn(shape, generator=generator)
    state["renderer.net.code_xyz._freqs"] = frequencies(6)
    state["renderer.net.code_xyz._phases"] = phases(6)
    return state


def frequencies(n: int) -> torch.Tensor:
    """Return the constants an official checkpoint stores: each frequency twice."""
    return (1.5 * 2.0 ** torch.arange(n)).repeat_interleave(2).view(1, -1, 1)


def phases(n: int) -> torch.Tensor:
    """Return the constants an official checkpoint stores: sine, cosine, sine, ..."""
    return torch.tensor([0.0, torch.pi / 2] * n).view(1, -1, 1)


def training_config(
    image_size: tuple[int, int] = (192, 640), version: str = "v2", backbone: str = "vit-s"
) -> dict:
    """Return a training configuration with the fields inference knows."""
    return {
        "model": {
            "encoder": {
                "backbone": backbone,
                "version": version,
                "image_size": "${dataset.image_size}",
                "decoder": {"intermediate_features": [3, 6, 9]},
                "dino_pca_dim": 64,
            },
            "inv_z": True,
            "learn_empty": False,
            "code_mode": "z",
        },
        "downstream": {
            "input_dim": 384 if backbone == "vit-s" else 768,
            "mlp_head": False,
            "mode": "stego_kmeans",
        },
        "renderer": {"n_coarse": 32, "hard_alpha_cap": True},
        "dataset": {"image_size": list(image_size)},
    }


def write_folder(
    folder: Path, state: State, config: dict | None, *, wrapped: bool = False
) -> Path:
    """Write a checkpoint folder as the official code leaves it, and return it."""
    folder.mkdir(parents=True, exist_ok=True)
    content = {"model": state, "optimizer": {"state": {}}, "epoch": 7} if wrapped else state
    torch.save(content, folder / "checkpoint.pt")
    if config is not None:
        (folder / "training_config.yaml").write_text(yaml.safe_dump(config))
    return folder


def _constant(key: str, shape: list[int], dtype: str) -> torch.Tensor:
    number = zlib.crc32(key.encode())
    if dtype == "int64":
        return torch.tensor(number % 19).expand(shape)
    return torch.tensor(np.float32(number / 2**32 - 0.5)).expand(shape)
