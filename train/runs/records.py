# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Records of a run: a line of JSON per step, TensorBoard, pictures."""

import json
import os
import time
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path

import numpy as np
from PIL import Image
from torch.utils.tensorboard import SummaryWriter

from scenedino_ros.core.errors import InputError
from scenedino_ros.core.file_limits import LONG_TEXT_BYTES
from scenedino_ros.core.files import replacing, write_atomically
from scenedino_ros.core.reading import read_text, reading


class Records:
    """Writes metrics, curves and pictures into the folder of a run; a context manager."""

    def __init__(self, path: Path, first: int, log_every: int) -> None:
        """Append to the records of a run; drop those of steps that will be repeated.

        Args:
            path: Folder of the run.
            first: The step that comes next, counted from 0.
            log_every: Steps between two points of a curve in TensorBoard.
        """
        self._path, self._log_every = path, log_every
        self._open = ExitStack()
        files = [path / "metrics.jsonl", path / "validation.jsonl"]
        for file in files:
            _cut(file, first)
        self._steps, self._validations = (
            self._open.enter_context(file.open("a", encoding="utf-8")) for file in files
        )
        self._board = SummaryWriter(str(path / "tensorboard"), purge_step=first)
        self._open.callback(self._board.close)
        self._since = (first, time.monotonic())
        (path / "pictures").mkdir(exist_ok=True)

    def __enter__(self) -> "Records":
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()

    def step(self, step: int, values: Mapping[str, float]) -> None:
        """Record a step's values, by name."""
        self._steps.write(_line(step, values))
        self._steps.flush()
        if (step + 1) % self._log_every == 0:
            before, then = self._since
            self._since = (step + 1, time.monotonic())
            speed = (step + 1 - before) / max(time.monotonic() - then, 1e-9)
            self._curves("train", step, {**values, "steps_per_second": speed})

    def validation(self, step: int, values: Mapping[str, float]) -> None:
        """Record the scores after a step, by name."""
        self._validations.write(_line(step, values))
        self._validations.flush()
        self._curves("validation", step, values)

    def picture(self, step: int, name: str, picture: np.ndarray) -> None:
        """Record an (H, W, 3) uint8 RGB picture.

        Raises:
            InputError: If it is anything else.
        """
        if picture.dtype != np.uint8 or picture.ndim != 3 or picture.shape[2] != 3:
            raise InputError(
                f"picture {name} must be (H, W, 3) uint8, got {picture.shape} {picture.dtype}"
            )
        path = self._path / "pictures" / f"{name}_{step:07d}.png"
        with replacing(path) as partial:
            Image.fromarray(picture).save(partial, format="PNG")
        self._board.add_image(name, picture, step, dataformats="HWC")

    def to_disk(self) -> None:
        """Wait until every line is on the disk."""
        for file in (self._steps, self._validations):
            os.fsync(file.fileno())

    def _curves(self, group: str, step: int, values: Mapping[str, float]) -> None:
        for name, value in values.items():
            self._board.add_scalar(f"{group}/{name}", value, step)


def _line(step: int, values: Mapping[str, float]) -> str:
    return json.dumps({"step": step, **values}, allow_nan=False) + "\n"


def _cut(path: Path, first: int) -> None:
    """Drop the lines of steps that will be repeated, and an incomplete last line."""
    if not path.exists():
        return
    kept = []
    with reading(str(path)):
        for line in read_text(path, LONG_TEXT_BYTES).splitlines(keepends=True):
            if not line.endswith("\n") or json.loads(line)["step"] >= first:
                break
            kept.append(line)
    write_atomically(path, "".join(kept).encode())
