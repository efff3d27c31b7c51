# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""The synthetic weights behind the golden vectors, made anew from their recipe.

Every tensor is a function of its official state-dict key alone, so nothing has to be stored.
"""

import json
import zlib
from pathlib import Path

import numpy as np
import torch

from scenedino_ros.core.model_config import ModelConfig
from scenedino_ros.network.model import SceneDino

OFFICIAL_PREFIXES = {
    "encoder.vit.": "renderer.net.encoder.encoder.model.vit.",
    "decoder.": "renderer.net.encoder.decoder.",
    "expansion.": "renderer.net.encoder.dim_reduction.",
    "field.": "renderer.net.heads.normal_head.",
    "semantics.": "renderer.net.downstream_head.",
}
_TRANSPOSED = ("resize_layers.0", "resize_layers.1", "head_modules.1")


def official_key(key: str) -> str:
    """Return the official name of one of our state-dict keys."""
    prefix = next(p for p in OFFICIAL_PREFIXES if key.startswith(p))
    return OFFICIAL_PREFIXES[prefix] + key[len(prefix) :]


def recipe(key: str, shape: tuple[int, ...]) -> np.ndarray:
    """Return the golden value of the tensor with this official key and shape."""
    rs = np.random.RandomState(zlib.crc32(key.encode()) & 0xFFFFFFFF)
    last = key.rsplit(".", 1)[-1]
    if last == "pseudo_assignment":
        return rs.permutation(19).astype(np.int64)
    n = rs.standard_normal(shape)
    if last in ("pos_embed", "cls_token", "reg_token"):
        value = 0.5 * n
    elif last == "gamma":
        value = 0.5 + 0.1 * n
    elif len(shape) == 1 and last == "weight":
        value = 1 + 0.1 * n
    elif len(shape) == 1:
        value = 0.05 * n
    else:
        transposed = any(name in key for name in _TRANSPOSED)
        fan = shape[0] if transposed else int(np.prod(shape[1:]))
        value = n / np.sqrt(fan)
    return value.astype(np.float32)


def golden_model(
    backbone: str, image_size: tuple[int, int], density_bias_shift: float = 0.0
) -> SceneDino:
    """Build the published architecture with the recipe's weights."""
    config = ModelConfig(backbone=backbone, image_size=image_size, n_classes=19, n_clusters=19)
    with torch.device("meta"):
        model = SceneDino(config)
    state = {
        key: torch.from_numpy(recipe(official_key(key), tuple(value.shape)))
        for key, value in model.state_dict().items()
    }
    state["field.lin_out.bias"][0] += density_bias_shift
    model.load_state_dict(state, assign=True)
    return model.eval().requires_grad_(False)


def backbone_name(meta: dict, arrays: dict[str, np.ndarray]) -> str:
    """Translate the golden files' names of backbones; DINO's patches follow from the grid."""
    family = {"v1": "dino", "v2": "dinov2", "reg": "dinov2reg"}[meta["version"].split("_")[0]]
    patch = 14
    if family == "dino":
        patch = (
            meta["image_size"][0] // int(arrays["patch_grid"][0]) if "patch_grid" in arrays else 8
        )
    return f"{family}_{meta['backbone'].replace('-', '')}{patch}"


def load_case(path: Path) -> dict[str, np.ndarray]:
    """Return the arrays of a golden file."""
    with np.load(path) as file:
        return {key: file[key] for key in file.files}


def model_of(arrays: dict[str, np.ndarray]) -> SceneDino:
    """Return the network of a golden case."""
    meta = json.loads(str(arrays["meta"]))
    shift = meta.get("density_bias_shift", 0.0)
    return golden_model(backbone_name(meta, arrays), tuple(meta["image_size"]), shift)
