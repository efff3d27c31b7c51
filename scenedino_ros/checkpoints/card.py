# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""What a checkpoint says about itself, read from its header without torch."""

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from safetensors import safe_open

from scenedino_ros.checkpoints.weights_file import require_safetensors
from scenedino_ros.core.errors import CheckpointError, InputError
from scenedino_ros.core.labels import ClassTable
from scenedino_ros.core.model_config import ModelConfig
from scenedino_ros.core.printable import printable
from scenedino_ros.core.reading import reading, reason_of

FORMAT = "scenedino_ros/1"
_LONGEST = 100_000  # characters of a sentence on the origin; the longest may hold JSON
DENSITY_THRESHOLD = 0.2  # 1/m; of the published evaluation, and where a checkpoint names no other


class Header(NamedTuple):
    """What a checkpoint's header holds: architecture, classes, origin and threshold."""

    config: ModelConfig
    classes: ClassTable
    provenance: dict[str, str]
    density_threshold: float


@dataclass(frozen=True, eq=False)
class CheckpointCard:
    """What a checkpoint says about itself, read without its tensors.

    Attributes:
        config: Architecture.
        classes: Class table.
        provenance: Where the weights come from.
        density_threshold: Density from which the checkpoint calls a voxel occupied, 1/m.
        tensors: Shape and type by name.
    """

    config: ModelConfig
    classes: ClassTable
    provenance: dict[str, str]
    density_threshold: float
    tensors: dict[str, tuple[tuple[int, ...], str]]

    @property
    def weights(self) -> str:
        """One sentence on the weights."""
        return describe_weights(self.provenance)


def describe_weights(provenance: dict[str, str]) -> str:
    """Return the sentence that a provenance has on the weights."""
    return provenance.get("weights", "weights of unknown origin")


def read_card(path: Path) -> CheckpointCard:
    """Read what a checkpoint says about itself, without loading its tensors.

    Raises:
        CheckpointError: If the file is missing, damaged, or not one of ours.
    """
    path = Path(path)
    require_safetensors(path)
    with (
        reading(f"checkpoint {path}", CheckpointError),
        safe_open(str(path), framework="numpy") as file,
    ):
        header = parse_metadata(path, file.metadata())
        slices = {key: file.get_slice(key) for key in file.keys()}
        tensors = {
            key: (tuple(part.get_shape()), str(part.get_dtype())) for key, part in slices.items()
        }
    return CheckpointCard(*header, tensors)


def check_density_threshold(value: float) -> None:
    """Refuse a threshold that is no density.

    Raises:
        InputError: If it is negative or not a finite number.
    """
    if not (math.isfinite(value) and value >= 0):
        raise InputError(f"density threshold must be a finite number >= 0 1/m, got {value}")


def parse_metadata(path: Path, metadata: dict[str, str] | None) -> Header:
    """Return the content of a file's header.

    Raises:
        CheckpointError: If the header is not one of ours, or damaged.
    """
    found = (metadata or {}).get("format", "none")
    if found != FORMAT or metadata is None:
        raise CheckpointError(
            f"checkpoint {path} must be of format {FORMAT}, got {found}; official checkpoints are "
            "turned into it by 'scenedino convert'"
        )
    try:
        config = ModelConfig.from_dict(json.loads(metadata["config"]))
        classes = ClassTable.from_dict(json.loads(metadata["classes"]))
        provenance = {
            printable(name): printable(text, _LONGEST)
            for name, text in json.loads(metadata["provenance"]).items()
        }
        density_threshold = json.loads(metadata.get("density_threshold", str(DENSITY_THRESHOLD)))
        check_density_threshold(density_threshold)
    except Exception as error:  # values of any type may stand anywhere
        raise CheckpointError(
            f"checkpoint {path} has a damaged header: {reason_of(error)}"
        ) from error
    return Header(config, classes, provenance, density_threshold)
