# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Reads checkpoints of the published SceneDINO code and gives their tensors our names.

An official checkpoint is a folder with ``checkpoint.pt`` and ``training_config.yaml``. The
architecture is read from the shapes of the tensors; the configuration must agree with it.
"""

from dataclasses import dataclass
from pathlib import Path

import torch

from scenedino_ros.checkpoints.checkpoint import Checkpoint
from scenedino_ros.checkpoints.names import CHECKPOINT_FILE, CONFIG_FILE
from scenedino_ros.checkpoints.official.file import State, read_official_state
from scenedino_ros.checkpoints.official.left_out import describe_left_out
from scenedino_ros.checkpoints.official.shapes import (
    DECODER,
    EXPANSION,
    FIELD,
    HEAD,
    VIT,
    config_from_state,
)
from scenedino_ros.checkpoints.official.training_config import OfficialConfig
from scenedino_ros.core.errors import CheckpointError
from scenedino_ros.core.files import file_sha256
from scenedino_ros.core.labels import CITYSCAPES19, ClassTable
from scenedino_ros.core.model_config import ModelConfig
from scenedino_ros.core.reporting import Report, silent
from scenedino_ros.network.model import SceneDino

_PREFIXES = (
    (VIT, "encoder.vit."),
    (DECODER, "decoder."),
    (EXPANSION, "expansion."),
    (FIELD, "field."),
    (HEAD, "semantics."),
)
# Layers of a probe with a hidden layer, by their official and our names.
_MLP_LAYERS = ((".linear1.", ".linear.0."), (".linear2.", ".linear.2."))
_FLOATS = (torch.float32, torch.float16, torch.bfloat16, torch.float64)
_LISTED = 20  # most keys of one kind in one message


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
    if source.is_dir() and not checkpoint.exists():
        others = sorted(p.name for p in source.iterdir() if p.suffix in (".pt", ".pth", ".ckpt"))
        hint = f"; name one of its files: {', '.join(others[:5])}" if others else ""
        raise CheckpointError(f"folder {source} has no {CHECKPOINT_FILE}{hint}")
    if not checkpoint.exists():
        raise CheckpointError(f"there is no checkpoint at {source}")
    config = checkpoint.with_name(CONFIG_FILE)
    return OfficialFiles(checkpoint, config if config.is_file() else None)


def convert_official(
    source: Path,
    *,
    classes: ClassTable | None = None,
    image_size: tuple[int, int] | None = None,
    provenance: dict[str, str] | None = None,
    report: Report = silent,
) -> Checkpoint:
    """Read an official checkpoint as one of ours.

    Values stay as they are, except that float64 is rounded to float32. Tensors that the network
    does not need are left out; one line that names them is reported and kept in the provenance.

    Where the format allows it, tensors are mapped from the file, so that only the needed ones
    (about half of the file) are read.

    Args:
        source: Folder with ``checkpoint.pt`` and, usually, ``training_config.yaml``; or the file.
        classes: Class table; None stands for the 19 Cityscapes classes of the published models.
        image_size: (height, width) of the network input image, pixels, where neither configuration
            nor tensors state it.
        provenance: Added to what the files themselves state about the origin.
        report: Receives a few words on each long step.

    Raises:
        CheckpointError: If a file cannot be read, configuration and tensors disagree, or tensors
            are missing, misshapen or not finite.
    """
    files = find_official_files(source)
    config_file = OfficialConfig.read(files.config)
    report(f"reading {files.checkpoint}")
    found = read_official_state(files.checkpoint)
    config = config_from_state(found.tensors, config_file, image_size)
    converted, left_out = rename_state(found.tensors, config)
    line = describe_left_out([*left_out, *found.others])
    if line:
        report(f"left out {line}")
    table = _class_table(classes, config)
    report(f"checksum of {files.checkpoint}")
    folder = files.checkpoint.absolute().parent.name
    origin = {
        "weights": f"SceneDINO weights converted from {folder}/{files.checkpoint.name}",
        "license": "not stated in the source file",
        "source": f"{folder}/{files.checkpoint.name}",
        "source_sha256": file_sha256(files.checkpoint),
        **({"left_out": line} if line else {}),
    }
    return Checkpoint(config, table, converted, {**origin, **(provenance or {})})


def rename_state(state: State, config: ModelConfig) -> tuple[State, list[str]]:
    """Return the tensors that inference needs, under our names, after checking each of them.

    Args:
        state: Official state dict.
        config: The network the tensors have to fill completely.

    Returns:
        The tensors, as float32 and int64, and the official names of those that are left out.

    Raises:
        CheckpointError: Listing what is missing, misshapen or not finite under its official name,
            and tables with class ids out of range.
    """
    with torch.device("meta"):
        expected = SceneDino(config).state_dict()
    official = {_official_name(key): key for key in expected}
    problems: dict[str, list[str]] = {"missing": [], "misshapen": [], "not finite": [], "odd": []}
    converted: State = {}
    for key, ours in official.items():
        if key not in state:
            problems["missing"].append(key)
        elif difference := _difference(key, state[key], expected[ours]):
            problems["misshapen"].append(difference)
        else:
            tensor = state[key].to(expected[ours].dtype)
            if tensor.is_floating_point() and not torch.isfinite(tensor).all():
                problems["not finite"].append(key)
            elif odd := _odd_table(key, tensor, config):
                problems["odd"].append(odd)
            converted[ours] = tensor
    listings = [_listing(title, lines) for title, lines in problems.items() if lines]
    if listings:
        raise CheckpointError(
            f"the checkpoint does not fit a {config.backbone} network:\n" + "\n".join(listings)
        )
    return _own_memory(converted), [key for key in state if key not in official]


def _own_memory(state: State) -> State:
    """Return the tensors without shared memory, which safetensors refuses."""
    owned: State = {}
    taken = set()
    for key, tensor in state.items():
        storage = tensor.untyped_storage()
        if storage.data_ptr() in taken or storage.nbytes() != tensor.nbytes:
            tensor = tensor.clone()
        owned[key] = tensor.contiguous()
        taken.add(owned[key].untyped_storage().data_ptr())
    return owned


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
            name = official + key.removeprefix(ours)
            for theirs, layer in _MLP_LAYERS if official == HEAD else ():
                name = name.replace(layer, theirs)
            return name
    raise KeyError(key)


def _difference(key: str, got: torch.Tensor, expected: torch.Tensor) -> str:
    """Return in words how a tensor differs from what is needed, empty if it does not."""
    if got.shape != expected.shape:
        return f"{key} {tuple(got.shape)} instead of {tuple(expected.shape)}"
    if expected.is_floating_point():
        fits = got.dtype in _FLOATS
    elif got.dtype in _FLOATS:
        fits = bool((got == got.round()).all())  # a table that was cast together with the weights
    else:
        fits = got.dtype != torch.bool and not got.is_complex()
    return "" if fits else f"{key} {_type(got)} instead of {_type(expected)}"


def _type(tensor: torch.Tensor) -> str:
    return str(tensor.dtype).removeprefix("torch.")


def _odd_table(key: str, table: torch.Tensor, config: ModelConfig) -> str:
    """Return in words what is wrong with a table of classes, empty if nothing is."""
    if not key.endswith("pseudo_assignment"):
        return ""
    low, high = int(table.min()), int(table.max())
    if 0 <= low and high < config.n_classes:
        return ""
    return f"{key} must hold class ids 0..{config.n_classes - 1}, got {low}..{high}"


def _listing(title: str, keys: list[str]) -> str:
    lines = [f"  {title} {key}" for key in keys[:_LISTED]]
    if len(keys) > _LISTED:
        lines.append(f"  and {len(keys) - _LISTED} more {title}")
    return "\n".join(lines)
