"""Reads checkpoints of the published SceneDINO code and gives their tensors our names.

An official checkpoint is a folder with ``checkpoint.pt`` and ``training_config.yaml``. What the
network looks like is read off the tensors' shapes; the configuration only has to agree.
"""

import pickle
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch

from scenedino_ros.checkpoints.official_config import OfficialConfig
from scenedino_ros.checkpoints.official_shapes import (
    ARTIFACT_FIELD,
    DECODER,
    EXPANSION,
    FIELD,
    FREQUENCIES,
    HEAD,
    PHASES,
    VIT,
    State,
    config_from_state,
)
from scenedino_ros.checkpoints.published import CHECKPOINT_FILE, CONFIG_FILE, file_sha256
from scenedino_ros.core.checkpoint import Checkpoint
from scenedino_ros.core.config import ModelConfig
from scenedino_ros.core.errors import CheckpointError
from scenedino_ros.core.labels import CITYSCAPES19, ClassTable
from scenedino_ros.core.model import SceneDino

_PREFIXES = (
    (VIT, "encoder.vit."),
    (DECODER, "decoder."),
    (EXPANSION, "expansion."),
    (FIELD, "field."),
    (HEAD, "semantics."),
)
# Used in training only, or constants that our network computes itself.
_IGNORED = (
    ARTIFACT_FIELD,
    "renderer.net.encoder.gt_encoder.",
    "renderer.net.encoder.downsampler.",
    FREQUENCIES,
    PHASES,
    "renderer.renderer.",
)
_EXACT_IN_FLOAT32 = (torch.float32, torch.float16, torch.bfloat16)
_LISTED = 20  # most keys of one kind in one message

Progress = Callable[[str], None]


@dataclass(frozen=True)
class OfficialFiles:
    """The files of one official checkpoint; ``config`` is None where there is none."""

    checkpoint: Path
    config: Path | None


def find_official_files(source: Path) -> OfficialFiles:
    """Return the files of a checkpoint given by its folder or its ``.pt`` file.

    Raises:
        CheckpointError: If there is no such file, or the folder holds no ``checkpoint.pt``.
    """
    checkpoint = source / CHECKPOINT_FILE if source.is_dir() else source
    if not checkpoint.is_file():
        where = f"folder {source} has no {CHECKPOINT_FILE}" if source.is_dir() else ""
        raise CheckpointError(where or f"there is no checkpoint at {source}")
    config = checkpoint.with_name(CONFIG_FILE)
    return OfficialFiles(checkpoint, config if config.is_file() else None)


def convert_official(
    source: Path,
    *,
    classes: ClassTable | None = None,
    image_size: tuple[int, int] | None = None,
    provenance: dict[str, str] | None = None,
    progress: Progress = lambda _: None,
) -> Checkpoint:
    """Read an official checkpoint as one of ours; every number stays exactly what it is.

    Tensors are mapped from the file where its format allows, so that only the needed ones (about
    half of the file) are ever read.

    Args:
        source: Folder with ``checkpoint.pt`` and, usually, ``training_config.yaml``; or the file.
        classes: Class table; None stands for the 19 Cityscapes classes of the published models.
        image_size: (height, width) of the network's image in pixels, where nothing else tells.
        provenance: Added to what the files themselves tell about the origin.
        progress: Told in a few words what is going on.

    Raises:
        CheckpointError: If a file cannot be read, configuration and tensors disagree, or keys
            are missing, unexpected or misshapen.
    """
    files = find_official_files(source)
    config_file = OfficialConfig.read(files.config)
    progress(f"reading {files.checkpoint}")
    state = load_official_state(files.checkpoint)
    config = config_from_state(state, config_file, image_size)
    converted = rename_state(state, config)
    table = _class_table(classes, config)
    progress(f"checksum of {files.checkpoint}")
    folder = files.checkpoint.absolute().parent.name
    origin = {
        "weights": f"SceneDINO weights converted from {folder}/{files.checkpoint.name}",
        "license": "not stated in the source file",
        "source": f"{folder}/{files.checkpoint.name}",
        "source_sha256": file_sha256(files.checkpoint),
    }
    return Checkpoint(config, table, converted, {**origin, **(provenance or {})})


def load_official_state(path: Path) -> State:
    """Return the flat state dict of a ``.pt`` file, without executing anything in it.

    Args:
        path: File with tensors at top level, or wrapped as ``{"model": {...}, ...}``.

    Raises:
        CheckpointError: If the file is not such a file, or holds anything but tensors.
    """
    try:
        content = torch.load(
            path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path)
        )
    except pickle.UnpicklingError as error:
        raise CheckpointError(
            f"{path} is not a plain PyTorch state dict: it is damaged or holds objects that "
            f"would run code when loaded ({_first_sentence(error)})"
        ) from error
    except (OSError, RuntimeError, EOFError, ValueError, KeyError) as error:
        raise CheckpointError(
            f"{path} cannot be read as a PyTorch file: {_first_sentence(error)}"
        ) from error
    if isinstance(content, dict) and isinstance(content.get("model"), dict):
        content = content["model"]
    if not isinstance(content, dict) or not content:
        raise CheckpointError(
            f"{path} must hold a state dict or {{'model': state dict}}, "
            f"got {type(content).__name__}"
        )
    for key, value in content.items():
        if not isinstance(key, str) or not isinstance(value, torch.Tensor):
            raise CheckpointError(
                f"{path} must hold tensors by name, got {type(value).__name__} at {key!r}"
            )
    return content


def rename_state(state: State, config: ModelConfig) -> State:
    """Return the tensors that inference needs, under our names, after checking each of them.

    Args:
        state: Official state dict.
        config: The network the tensors have to fill completely.

    Raises:
        CheckpointError: Listing what is missing, unexpected or misshapen under its official name,
            or naming a tensor with values that cannot be.
    """
    with torch.device("meta"):
        expected = SceneDino(config).state_dict()
    official = {_official_name(key): key for key in expected}
    missing = [key for key in official if key not in state]
    unexpected = [key for key in state if key not in official and not key.startswith(_IGNORED)]
    misshapen = [
        difference
        for key, ours in official.items()
        if key in state and (difference := _difference(key, state[key], expected[ours]))
    ]
    problems = [
        _listing(title, keys)
        for title, keys in (
            ("missing", missing),
            ("unexpected", unexpected),
            ("misshapen", misshapen),
        )
        if keys
    ]
    if problems:
        raise CheckpointError(
            f"the checkpoint does not fit a {config.backbone} network:\n" + "\n".join(problems)
        )
    converted = {}
    for key, ours in official.items():
        _check_values(key, state[key], config)
        converted[ours] = state[key].to(expected[ours].dtype).contiguous()
    return converted


def _class_table(classes: ClassTable | None, config: ModelConfig) -> ClassTable:
    table = CITYSCAPES19 if classes is None else classes
    if config.has_semantics and len(table) != config.n_classes:
        hint = "; give a class table" if classes is None else ""
        raise CheckpointError(
            f"the checkpoint has {config.n_classes} classes, the class table {len(table)}{hint}"
        )
    return table


def _official_name(key: str) -> str:
    for official, ours in _PREFIXES:
        if key.startswith(ours):
            return official + key.removeprefix(ours)
    raise KeyError(key)


def _difference(key: str, got: torch.Tensor, expected: torch.Tensor) -> str:
    """Return in words how a tensor differs from what is needed, empty if it does not."""
    if got.shape != expected.shape:
        return f"{key} {tuple(got.shape)} instead of {tuple(expected.shape)}"
    exact = got.dtype == expected.dtype or (
        expected.dtype == torch.float32 and got.dtype in _EXACT_IN_FLOAT32
    )
    return "" if exact else f"{key} {got.dtype} instead of {expected.dtype}"


def _check_values(key: str, tensor: torch.Tensor, config: ModelConfig) -> None:
    if tensor.is_floating_point() and not torch.isfinite(tensor).all():
        raise CheckpointError(f"{key} holds values that are not finite")
    if key.endswith("pseudo_assignment"):
        low, high = int(tensor.min()), int(tensor.max())
        if low < 0 or high >= config.n_classes:
            raise CheckpointError(
                f"{key} must hold class ids 0..{config.n_classes - 1}, got {low}..{high}"
            )


def _listing(title: str, keys: list[str]) -> str:
    lines = [f"  {title} {key}" for key in keys[:_LISTED]]
    if len(keys) > _LISTED:
        lines.append(f"  and {len(keys) - _LISTED} more {title}")
    return "\n".join(lines)


def _first_sentence(error: BaseException) -> str:
    text = " ".join(str(error).split())
    return text.split(". ")[0] if text else type(error).__name__
