# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Checkpoints: one safetensors file holds weights, configuration, class table and origin."""

import json
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from scenedino_ros.checkpoints.card import (
    DENSITY_THRESHOLD,
    FORMAT,
    CheckpointCard,
    check_density_threshold,
    describe_weights,
    parse_metadata,
)
from scenedino_ros.checkpoints.weights_file import require_safetensors
from scenedino_ros.core.backbones import backbone_spec, patch_grid
from scenedino_ros.core.errors import CheckpointError
from scenedino_ros.core.files import replacing
from scenedino_ros.core.labels import CITYSCAPES19, ClassTable
from scenedino_ros.core.model_config import ModelConfig
from scenedino_ros.core.reading import reading, reason_of
from scenedino_ros.network.model import SceneDino
from scenedino_ros.network.transformer import resample_positions

# Small enough for a processor without GPU; the architecture of the default model.
SMALL_CONFIG = ModelConfig(
    backbone="dinov2_vits14",
    decoder_width=64,
    upsample_fusion=False,
    upsample_tail=False,
    n_classes=len(CITYSCAPES19),
    n_clusters=len(CITYSCAPES19),
)
_UNTRAINED_SEED = 0
_UNTRAINED_SCALE = 6.0
_UNTRAINED_LOGIT = -4.0  # of the density


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """Everything needed to rebuild a network.

    Attributes:
        config: Architecture.
        classes: Class table of the semantic head.
        state: Tensors by the names of `SceneDino.state_dict`.
        provenance: Where the weights come from; ``weights`` is one sentence for people.
        density_threshold: Density from which a voxel is occupied, 1/m, unless the user names
            another threshold.
    """

    config: ModelConfig
    classes: ClassTable
    state: dict[str, torch.Tensor]
    provenance: dict[str, str] = field(default_factory=dict)
    density_threshold: float = DENSITY_THRESHOLD

    def __post_init__(self) -> None:
        """Refuse a threshold that is no density."""
        check_density_threshold(self.density_threshold)

    @property
    def weights(self) -> str:
        """One sentence on the weights."""
        return describe_weights(self.provenance)


def save_checkpoint(path: Path, checkpoint: Checkpoint) -> None:
    """Write a checkpoint atomically.

    Args:
        path: Target, by convention ``*.safetensors``.
        checkpoint: The checkpoint; each tensor keeps its type.

    Raises:
        CheckpointError: If it cannot be written; what was at `path` stays.
    """
    path = Path(path)
    metadata = {
        "format": FORMAT,
        "config": json.dumps(checkpoint.config.to_dict()),
        "classes": json.dumps(checkpoint.classes.to_dict()),
        "provenance": json.dumps(checkpoint.provenance),
        "density_threshold": json.dumps(checkpoint.density_threshold),
    }
    state = {key: value.detach().cpu().contiguous() for key, value in checkpoint.state.items()}
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as partial:
        try:
            save_file(state, partial, metadata)
        except SafetensorError as error:  # such as that of a full disk
            raise CheckpointError(
                f"checkpoint {path} cannot be written: {reason_of(error)}"
            ) from error


def load_checkpoint(path: Path) -> Checkpoint:
    """Read a checkpoint.

    Raises:
        CheckpointError: If the file is missing, damaged, or not one of ours.
    """
    path = Path(path)
    require_safetensors(path)
    with (
        reading(f"checkpoint {path}", CheckpointError),
        safe_open(str(path), framework="pt") as file,
    ):
        header = parse_metadata(path, file.metadata())
        state = {key: file.get_tensor(key) for key in file.keys()}
    return Checkpoint(
        header.config, header.classes, state, header.provenance, header.density_threshold
    )


def build_model(checkpoint: Checkpoint) -> SceneDino:
    """Build the network of a checkpoint, in evaluation mode and without gradients.

    Raises:
        CheckpointError: If keys are missing, unexpected or misshapen, listing them all, or the
            class table does not fit the head.
    """
    if checkpoint.config.has_semantics and checkpoint.config.n_classes != len(checkpoint.classes):
        raise CheckpointError(
            f"the semantic head predicts {checkpoint.config.n_classes} classes, but the class "
            f"table has {len(checkpoint.classes)}"
        )
    with (
        reading("the configuration of the checkpoint", CheckpointError, "makes no network"),
        torch.device("meta"),
    ):
        model = SceneDino(checkpoint.config)
    check_state(model, checkpoint.state)
    state = {
        key: value.float() if value.is_floating_point() else value
        for key, value in checkpoint.state.items()
    }
    model.load_state_dict(state, strict=True, assign=True)
    return model.eval().requires_grad_(False)


def check_state(model: SceneDino, state: dict[str, torch.Tensor]) -> None:
    """Compare tensors with what a network needs.

    Raises:
        CheckpointError: Listing all missing, unexpected and misshapen keys.
    """
    expected = {key: tuple(value.shape) for key, value in model.state_dict().items()}
    problems = [f"missing {key} {shape}" for key, shape in expected.items() if key not in state]
    problems += [f"unexpected {key}" for key in state if key not in expected]
    problems += [
        f"misshapen {key}: expected {expected[key]}, got {tuple(value.shape)}"
        for key, value in state.items()
        if key in expected and tuple(value.shape) != expected[key]
    ]
    if problems:
        listing = "\n  ".join(problems)
        raise CheckpointError(
            f"the checkpoint does not fit its configuration, {len(problems)} keys:\n  {listing}"
        )


def resize_checkpoint(checkpoint: Checkpoint, image_size: tuple[int, ...]) -> Checkpoint:
    """Return the same network for images of another size.

    All weights but the position embedding are independent of the size; the embedding is resampled
    as timm does when it loads weights, see `resample_positions`. The canonical focal length is in
    pixels, so it is scaled with the height.

    Args:
        checkpoint: The network as it was trained.
        image_size: (height, width), pixels; a whole patch grid.

    Raises:
        InputError: If the size is not a whole patch grid.
        CheckpointError: If the position embedding does not fit the checkpoint's own size.
    """
    config = checkpoint.config
    old_grid = patch_grid(config.backbone, config.image_size)
    new_grid = patch_grid(config.backbone, image_size)
    if old_grid == new_grid:
        return checkpoint
    resized = replace(
        config,
        image_size=(image_size[0], image_size[1]),
        canonical_focal=config.canonical_focal * image_size[0] / config.image_size[0],
    )
    if backbone_spec(config.backbone).is_convolutional:
        return replace(checkpoint, config=resized)
    key = "encoder.vit.pos_embed"
    embedding = checkpoint.state[key]
    prefix = backbone_spec(config.backbone).prefix_positions
    expected = prefix + old_grid[0] * old_grid[1]
    if embedding.shape[1] != expected:
        raise CheckpointError(
            f"{key} must have {expected} entries for {config.image_size[0]} x "
            f"{config.image_size[1]} px, got {embedding.shape[1]}"
        )
    resampled = resample_positions(embedding, prefix, old_grid, new_grid)
    return replace(
        checkpoint,
        config=resized,
        state={**checkpoint.state, key: resampled},
    )


def untrained_checkpoint(
    config: ModelConfig = SMALL_CONFIG, seed: int = _UNTRAINED_SEED
) -> Checkpoint:
    """Return random weights, to try the software without trained ones.

    A freshly initialised field is almost the same everywhere, so every voxel would be occupied,
    or none. Its layers are scaled up and its density down until about a tenth of a grid is
    occupied, in blobs that hardly depend on the image.

    Args:
        config: Architecture.
        seed: Seed of the weights; the same seed gives the same weights.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        state = SceneDino(config).state_dict()
    for layer in ("lin_in", "lin_out"):
        state[f"field.{layer}.weight"] *= _UNTRAINED_SCALE
    state["field.lin_out.bias"][0] = _UNTRAINED_LOGIT
    return Checkpoint(config, CITYSCAPES19, state, _untrained_provenance(seed))


def untrained_card() -> CheckpointCard:
    """Return what `untrained_checkpoint` says about itself, without its tensors."""
    return CheckpointCard(
        SMALL_CONFIG, CITYSCAPES19, _untrained_provenance(_UNTRAINED_SEED), DENSITY_THRESHOLD, {}
    )


def _untrained_provenance(seed: int) -> dict[str, str]:
    return {
        "weights": f"untrained weights, seed {seed}: shapes and classes mean nothing",
        "source": "random initialisation",
    }
