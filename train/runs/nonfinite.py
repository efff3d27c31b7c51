# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Stops a run whose losses are infinite or not a number, and saves the batch that caused it."""

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file

from scenedino_ros.core.errors import SceneDinoError
from scenedino_ros.core.files import replacing
from scenedino_ros.core.reading import writing
from train.runs.nested import leaves


class NonFiniteError(SceneDinoError):
    """A loss is infinite or not a number."""


def check_finite(
    folder: Path, rank: int, step: int, values: Mapping[str, float], batch: Any
) -> None:
    """Save the batch and stop if a value is infinite or not a number.

    Args:
        folder: Folder of the run.
        rank: Number of the process, for the file's name.
        step: The step, counted from 0.
        values: Losses by name.
        batch: The input of the step: tensors, arrays and plain values in dataclasses, mappings
            and sequences.

    Raises:
        NonFiniteError: Naming values, step and the file with the batch.
    """
    bad = {name: value for name, value in values.items() if not math.isfinite(value)}
    if not bad:
        return
    path = folder / f"nonfinite_step_{step:07d}_rank_{rank}.safetensors"
    save_batch(path, batch, {"step": step, "values": {n: str(v) for n, v in values.items()}})
    words = ", ".join(f"{name} is {value}" for name, value in bad.items())
    raise NonFiniteError(f"{words} at step {step}; the batch is saved in {path}")


def save_batch(path: Path, batch: Any, facts: Mapping[str, Any]) -> None:
    """Write a batch as a safetensors file; plain values go into its metadata as JSON.

    Args:
        path: File to write.
        batch: As in `check_finite`.
        facts: Further plain values.
    """
    values = dict(leaves("batch", batch))
    tensors = {
        name: torch.as_tensor(value).detach().cpu().contiguous().clone()
        for name, value in values.items()
        if isinstance(value, torch.Tensor | np.ndarray)
    }
    rest = {name: repr(value) for name, value in values.items() if name not in tensors}
    with writing(f"batch {path}"), replacing(path) as partial:
        save_file(tensors, partial, {"facts": json.dumps(facts), "rest": json.dumps(rest)})
