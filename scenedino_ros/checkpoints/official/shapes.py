# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Reads the architecture of a network from the shapes of an official checkpoint's tensors."""

from typing import Any

import torch

from scenedino_ros.checkpoints.official.file import State
from scenedino_ros.checkpoints.official.training_config import OfficialConfig
from scenedino_ros.core.backbones import BACKBONES
from scenedino_ros.core.errors import CheckpointError, InputError
from scenedino_ros.core.labels import CITYSCAPES19
from scenedino_ros.core.model_config import ModelConfig

VIT = "renderer.net.encoder.encoder.model.vit."
DECODER = "renderer.net.encoder.decoder."
EXPANSION = "renderer.net.encoder.dim_reduction."
FIELD = "renderer.net.heads.normal_head."
HEAD = "renderer.net.downstream_head."
ARTIFACT_FIELD = "artifact_field"
FREQUENCIES = "renderer.net.code_xyz._freqs"
PHASES = "renderer.net.code_xyz._phases"

# Prediction modes, and the head of the official network that each of them reads.
HEADS = {
    "stego_kmeans": "stego_cluster_head",
    "stego_linear": "stego_linear_head",
    "direct_kmeans": "direct_cluster_head",
    "direct_linear": "direct_linear_head",
}


def config_from_state(
    state: State, config_file: OfficialConfig, image_size: tuple[int, int] | None = None
) -> ModelConfig:
    """Read the network's sizes from the shapes of its tensors, and check the configuration.

    Where a tensor is missing, or has another number of dimensions, the published size is taken;
    `rename_state` refuses the tensor itself.

    Args:
        state: Official state dict.
        config_file: The checkpoint's configuration; may be empty.
        image_size: (height, width) in pixels as the user states it, or None.

    Raises:
        CheckpointError: If no tensor belongs to a network, no backbone fits, or configuration or
            user contradict the tensors.
    """
    if not any(key.startswith((VIT, DECODER, FIELD)) for key in state):
        raise CheckpointError(
            f"this is not a SceneDINO checkpoint: none of its {len(state)} tensors is named "
            f"{VIT}*, {DECODER}* or {FIELD}*"
        )
    default = ModelConfig()
    backbone = _backbone(state)
    width = _size(state, DECODER + "project.weight", 4, 0, default.decoder_width)
    code_width = 3 + 6 * default.n_frequencies
    input_width = _size(state, FIELD + "lin_in.weight", 2, 1, width + code_width)
    factor, n_frequencies = _frequencies(state, input_width - width)
    projects = [f"{DECODER}reassemble_blocks.projects.{i}.weight" for i in range(4)]
    c0, c1, c2, c3 = (
        _size(state, key, 4, 0, min(channels, width))
        for key, channels in zip(projects, default.reassemble_channels, strict=True)
    )
    head = _semantic_sizes(state)
    config_file.check(backbone, _stated_sizes(state, head))
    try:
        return ModelConfig(
            backbone=backbone,
            image_size=_image_size(state, backbone, config_file, image_size),
            decoder_width=width,
            reassemble_channels=(c0, c1, c2, c3),
            upsample_tail=True,
            hidden_dim=_size(state, FIELD + "lin_in.weight", 2, 0, default.hidden_dim),
            feature_dim=_size(state, FIELD + "lin_out.weight", 2, 0, default.feature_dim + 1) - 1,
            expansion_dim=_size(
                state, EXPANSION + "linear_in.weight", 2, 0, default.expansion_dim
            ),
            depth_range=config_file.depth_range(default.depth_range),
            n_frequencies=n_frequencies,
            frequency_factor=factor,
            **head,
        )
    except InputError as error:
        raise CheckpointError(f"the tensors' sizes make no network: {error}") from error


def _backbone(state: State) -> str:
    """Return the key of `BACKBONES` that the transformer's tensors stand for."""
    layer_scale = any(key.startswith(VIT) and key.endswith("ls1.gamma") for key in state)
    registers = _size(state, VIT + "reg_token", 3, 1, 0)
    width = _size(state, VIT + "cls_token", 3, 2, BACKBONES[ModelConfig().backbone].width)
    projection = VIT + "patch_embed.proj.weight"
    width, patch = _size(state, projection, 4, 0, width), _size(state, projection, 4, 2, 0)
    found = (width, layer_scale, registers)
    for name, spec in BACKBONES.items():
        if found == (spec.width, spec.layer_scale, spec.register_tokens) and patch in (
            spec.patch,
            0,
        ):
            return name
    raise CheckpointError(
        f"no known backbone has width {width}, patch {patch} px, {registers} register tokens and "
        f"{'a' if layer_scale else 'no'} layer scale; known: {', '.join(BACKBONES)}"
    )


def _image_size(
    state: State,
    backbone: str,
    config_file: OfficialConfig,
    image_size: tuple[int, int] | None,
) -> tuple[int, int]:
    """Return the (height, width) on which all that state one agree."""
    spec = BACKBONES[backbone]
    prefix = spec.prefix_positions
    n_patches = _size(state, VIT + "pos_embed", 3, 1, prefix) - prefix
    stated = list(config_file.image_sizes())
    rows, columns = (_size(state, ARTIFACT_FIELD, 3, axis, 0) for axis in (1, 2))
    if rows and columns:
        patch = spec.external_patch
        stated.append((f"tensor {ARTIFACT_FIELD}", (rows * patch, columns * patch)))
    if image_size is not None:
        stated.append(("the given image size", image_size))
    if not stated and not n_patches:
        return ModelConfig().image_size
    if not stated:
        raise CheckpointError(
            f"the image size is unknown: the tensors have {n_patches} patches but do not say in "
            f"how many rows; state it as HEIGHTxWIDTH, multiples of {spec.external_patch} px"
        )
    for place, (height, width) in stated:
        rest = height % spec.external_patch or width % spec.external_patch
        count = (height // spec.external_patch) * (width // spec.external_patch)
        if rest or count != (n_patches or count):
            raise CheckpointError(
                f"{place} says {height} x {width} px, but pos_embed has {n_patches} patches of "
                f"{spec.external_patch} px"
            )
        if (height, width) != stated[0][1]:
            raise CheckpointError(
                f"{place} says {height} x {width} px, but {stated[0][0]} says "
                f"{stated[0][1][0]} x {stated[0][1][1]} px"
            )
    return stated[0][1]


def _frequencies(state: State, code_width: int) -> tuple[float, int]:
    """Return (lowest frequency, number of frequencies) of the positional code."""
    n = (code_width - 3) // 6
    if n < 1 or code_width != 3 + 6 * n:
        raise CheckpointError(
            f"{FIELD}lin_in.weight takes {code_width} channels besides the feature map's; a "
            "positional code has 3 + 6 per frequency"
        )
    factor = ModelConfig().frequency_factor
    if FREQUENCIES in state:
        stored = state[FREQUENCIES]
        values = stored.flatten().tolist()
        # What rounding to the file's type made of the published factor is still that factor.
        if values and not _close(stored.flatten()[:1], [factor]):
            factor = values[0]
        if not _close(stored, [factor * 2.0**k for k in range(n) for _ in range(2)]):
            raise CheckpointError(
                f"{FREQUENCIES} must be {n} doubling frequencies, each twice, got {values}"
            )
    if PHASES in state and not _close(state[PHASES], [0.0, torch.pi / 2] * n):
        values = state[PHASES].flatten().tolist()
        raise CheckpointError(f"{PHASES} must alternate 0 and pi/2, got {values}")
    return factor, n


def _close(stored: torch.Tensor, expected: list[float]) -> bool:
    """Compare within the rounding of the stored type, or of float32 if that is larger."""
    if not stored.is_floating_point():
        return stored.flatten().tolist() == expected
    values = stored.flatten().tolist()
    tolerance = max(torch.finfo(stored.dtype).eps, 8 * torch.finfo(torch.float32).eps)
    return len(values) == len(expected) and all(
        abs(a - b) <= tolerance * max(1.0, abs(b)) for a, b in zip(values, expected, strict=True)
    )


def _semantic_sizes(state: State) -> dict[str, Any]:
    """Return the config fields of the semantic head, none for a checkpoint of stage 1.

    A head is present if any of its tensors is; the distilled code alone names no classes.
    """
    present = {
        mode: f"{HEAD}{head}."
        for mode, head in HEADS.items()
        if any(key.startswith(f"{HEAD}{head}.") for key in state)
    }
    if not present:
        return {}
    default = len(CITYSCAPES19)
    linear = [prefix for mode, prefix in present.items() if mode.endswith("linear")]
    tables = [prefix for mode, prefix in present.items() if mode.endswith("kmeans")]
    hidden = [prefix for prefix in linear if prefix + "linear2.weight" in state]
    last = "linear2.weight" if hidden else "linear.weight"
    clusters = [_size(state, key + "cluster_centers", 2, 0, 0) for key in tables]
    classes = [_size(state, key + last, 2, 0, 0) for key in linear]
    n_classes = max(classes, default=0) or max(clusters, default=0) or default
    code = HEAD + "stego_head.linear_path.0.weight"
    return {
        "n_classes": n_classes,
        "n_clusters": max(clusters, default=0) or n_classes,
        "code_dim": _size(state, code, 4, 0, ModelConfig().code_dim),
        "mlp_probe": bool(hidden),
        "heads": tuple(present),
    }


def _stated_sizes(state: State, head: dict[str, Any]) -> dict[tuple[str, str], object]:
    """Return what the tensors say about the fields a configuration may state as well."""
    sizes: dict[tuple[str, str], object] = {
        ("model", "decoder_out_dim"): _size(state, DECODER + "project.weight", 4, 0, 0),
        ("model", "dino_pca_dim"): _size(state, FIELD + "lin_out.weight", 2, 0, 1) - 1,
    }
    if head:
        sizes["downstream", "input_dim"] = _size(state, VIT + "patch_embed.proj.weight", 4, 0, 0)
    stated = {place: size for place, size in sizes.items() if size}
    if any(mode.endswith("linear") for mode in head.get("heads", ())):
        stated["downstream", "mlp_head"] = head["mlp_probe"]
    return stated


def _size(state: State, key: str, dims: int, axis: int, default: int) -> int:
    """Return a tensor's size along an axis; the default if there is no such tensor."""
    shape = tuple(state[key].shape) if key in state else ()
    return shape[axis] if len(shape) == dims and shape[axis] else default
