"""Reads what a network looks like off the shapes of an official checkpoint's tensors."""

from typing import Any

import torch

from scenedino_ros.checkpoints.official_config import OfficialConfig
from scenedino_ros.core.config import ModelConfig
from scenedino_ros.core.encoder import BACKBONES
from scenedino_ros.core.errors import CheckpointError, InputError

VIT = "renderer.net.encoder.encoder.model.vit."
DECODER = "renderer.net.encoder.decoder."
EXPANSION = "renderer.net.encoder.dim_reduction."
FIELD = "renderer.net.heads.normal_head."
HEAD = "renderer.net.downstream_head."
ARTIFACT_FIELD = "artifact_field"
FREQUENCIES = "renderer.net.code_xyz._freqs"
PHASES = "renderer.net.code_xyz._phases"

State = dict[str, torch.Tensor]


def config_from_state(
    state: State, config_file: OfficialConfig, image_size: tuple[int, int] | None = None
) -> ModelConfig:
    """Read the network's sizes off the shapes of its tensors, and compare with the configuration.

    Args:
        state: Official state dict.
        config_file: The checkpoint's configuration; may be empty.
        image_size: (height, width) in pixels as the user states it, or None.

    Raises:
        CheckpointError: If a tensor that is needed for this is missing, no backbone fits, or
            the configuration (or the user) says otherwise than the tensors.
    """
    backbone = _backbone(state)
    input_width = _shape(state, FIELD + "lin_in.weight", 2)[1]
    width = _shape(state, DECODER + "project.weight", 4)[0]
    factor, n_frequencies = _frequencies(state, input_width - width)
    projects = [f"{DECODER}reassemble_blocks.projects.{i}.weight" for i in range(4)]
    head = _semantic_sizes(state)
    defaults = ModelConfig()
    config_file.check(backbone, _stated_sizes(state, width, head))
    try:
        return ModelConfig(
            backbone=backbone,
            image_size=_image_size(state, backbone, config_file, image_size),
            decoder_width=width,
            reassemble_channels=tuple(_shape(state, key, 4)[0] for key in projects),
            upsample_tail=DECODER + "output_head.head_modules.1.weight" in state,
            hidden_dim=_shape(state, FIELD + "lin_in.weight", 2)[0],
            feature_dim=_shape(state, FIELD + "lin_out.weight", 2)[0] - 1,
            expansion_dim=_shape(state, EXPANSION + "linear_in.weight", 2)[0],
            depth_range=config_file.depth_range(defaults.depth_range),
            n_frequencies=n_frequencies,
            frequency_factor=factor,
            **head,
        )
    except InputError as error:
        raise CheckpointError(f"the tensors' sizes make no network: {error}") from error


def _backbone(state: State) -> str:
    """Return the key of `BACKBONES` that the transformer's tensors stand for."""
    width, _, patch, _ = _shape(state, VIT + "patch_embed.proj.weight", 4)
    layer_scale = VIT + "blocks.0.ls1.gamma" in state
    registers = 0
    if VIT + "reg_token" in state:
        registers = _shape(state, VIT + "reg_token", 3)[1]
    found = (width, patch, layer_scale, registers)
    for name, spec in BACKBONES.items():
        if found == (spec.width, spec.patch, spec.layer_scale, spec.register_tokens):
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
    """Return the one (height, width) that everything agrees on which states it."""
    spec = BACKBONES[backbone]
    length = _shape(state, VIT + "pos_embed", 3)[1]
    # The class token has an entry of its own except in transformers with registers.
    n_patches = length if spec.register_tokens else length - 1
    stated = list(config_file.image_sizes())
    if ARTIFACT_FIELD in state:
        _, rows, columns = _shape(state, ARTIFACT_FIELD, 3)
        patch = spec.external_patch
        stated.append((f"tensor {ARTIFACT_FIELD}", (rows * patch, columns * patch)))
    if image_size is not None:
        stated.append(("the given image size", image_size))
    if not stated:
        raise CheckpointError(
            f"the image size is unknown: the tensors have {n_patches} patches but do not say in "
            f"how many rows; state it as HEIGHTxWIDTH, multiples of {spec.external_patch} px"
        )
    for place, (height, width) in stated:
        rest = height % spec.external_patch or width % spec.external_patch
        count = (height // spec.external_patch) * (width // spec.external_patch)
        if rest or count != n_patches:
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
        values = state[FREQUENCIES].flatten().tolist()
        factor = values[0] if values else factor
        ours = [factor * 2.0**k for k in range(n) for _ in range(2)]
        if not _close(values, ours):
            raise CheckpointError(
                f"{FREQUENCIES} must be {n} doubling frequencies, each twice, got {values}"
            )
    if PHASES in state:
        values = state[PHASES].flatten().tolist()
        if not _close(values, [0.0, torch.pi / 2] * n):
            raise CheckpointError(f"{PHASES} must alternate 0 and pi/2, got {values}")
    return factor, n


def _close(values: list[float], expected: list[float]) -> bool:
    return len(values) == len(expected) and all(
        abs(a - b) <= 1e-6 * max(1.0, abs(b)) for a, b in zip(values, expected, strict=True)
    )


def _semantic_sizes(state: State) -> dict[str, Any]:
    """Return the config fields of the semantic head, none for a feature-stage checkpoint."""
    if not any(key.startswith(HEAD) for key in state):
        return {}
    mlp = HEAD + "direct_linear_head.linear.2.weight"
    probe = mlp if mlp in state else HEAD + "direct_linear_head.linear.weight"
    return {
        "n_classes": _shape(state, probe, 2)[0],
        "n_clusters": _shape(state, HEAD + "stego_cluster_head.cluster_centers", 2)[0],
        "code_dim": _shape(state, HEAD + "stego_head.linear_path.0.weight", 4)[0],
        "mlp_probe": probe == mlp,
    }


def _stated_sizes(
    state: State, decoder_width: int, head: dict[str, Any]
) -> dict[tuple[str, str], Any]:
    """Return what the tensors say about the fields a configuration may state as well."""
    sizes: dict[tuple[str, str], Any] = {
        ("model", "decoder_out_dim"): decoder_width,
        ("model", "dino_pca_dim"): _shape(state, FIELD + "lin_out.weight", 2)[0] - 1,
    }
    if head:
        width = _shape(state, VIT + "patch_embed.proj.weight", 4)[0]
        sizes["downstream", "input_dim"] = width
        sizes["downstream", "mlp_head"] = head["mlp_probe"]
    return sizes


def _shape(state: State, key: str, dims: int) -> tuple[int, ...]:
    if key not in state:
        raise CheckpointError(f"this is not a SceneDINO checkpoint: it has no {key}")
    shape = tuple(state[key].shape)
    if len(shape) != dims:
        raise CheckpointError(f"{key} must have {dims} dimensions, got shape {shape}")
    return shape
