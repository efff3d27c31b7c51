# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Which network runs and how: the one way to open a checkpoint."""

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from scenedino_ros.checkpoints.card import CheckpointCard, read_card
from scenedino_ros.checkpoints.checkpoint import (
    Checkpoint,
    build_model,
    load_checkpoint,
    resize_checkpoint,
    untrained_card,
    untrained_checkpoint,
)
from scenedino_ros.checkpoints.hub import locate
from scenedino_ros.checkpoints.names import UNTRAINED
from scenedino_ros.core.config import (
    REPRODUCIBLE_ENGINE,
    REPRODUCIBLE_PRECISION,
    InputSettings,
    ModelSettings,
    NodeSettings,
)
from scenedino_ros.core.errors import InputError, SceneDinoError
from scenedino_ros.core.files import file_sha256
from scenedino_ros.core.labels import ClassTable
from scenedino_ros.core.model_config import ModelConfig
from scenedino_ros.core.reporting import Report, silent
from scenedino_ros.inference.device import choose_device
from scenedino_ros.inference.engines.engine import MakeEngine
from scenedino_ros.inference.engines.selection import engine_maker, fastest_engine
from scenedino_ros.inference.predictor import Predictor


@dataclass(frozen=True)
class NetworkChoice:
    """A checkpoint and how it runs; plain values, so that worker processes can receive it.

    Attributes:
        checkpoint: Name or file as `hub.locate` takes it, or ``untrained`` for random weights;
            empty: the model of the package.
        mode: Head that names the classes.
        image_size: (height, width) of the network input image, pixels; None: the checkpoint's.
        precision: Arithmetic of the network; ``auto``: the fastest here.
        engine: What runs the network; ``auto``: the fastest here. Predictions that are counted
            together must come from one engine and one precision, see `settled`.
        device: ``auto``, ``cpu`` or ``cuda``.
        fit: How images of another aspect ratio fill the network input image. The published
            evaluation stretches them (`EVALUATION_FIT`).
        memory_budget: Working memory of point queries, MiB; 0: see `inference.device.chunk_bytes`.
        n_cameras: Number of cameras whose images take turns.
    """

    checkpoint: str = ModelSettings.checkpoint
    mode: str = ModelSettings.mode
    image_size: tuple[int, ...] | None = None
    precision: str = REPRODUCIBLE_PRECISION
    engine: str = REPRODUCIBLE_ENGINE
    device: str = ModelSettings.device
    fit: str = InputSettings.fit
    memory_budget: int = ModelSettings.memory_budget
    n_cameras: int = 1

    @classmethod
    def from_settings(cls, settings: NodeSettings) -> "NetworkChoice":
        """Return the network that the node's parameters describe."""
        model = asdict(settings.model)
        return cls(
            **{**model, "image_size": model["image_size"] or None},
            fit=settings.input.fit,
            n_cameras=len(settings.input.cameras) or 1,
        )

    def find(self, report: Report = silent) -> Path | None:
        """Return the checkpoint's file; None: untrained.

        A published checkpoint is downloaded on first use and verified. The file is found once:
        later calls return the same path.

        Args:
            report: Receives a few words on each long step.

        Raises:
            CheckpointError: If there is no such name or file, or the checkpoint is damaged or
                cannot be downloaded.
        """
        if self.checkpoint == UNTRAINED:
            return None
        found = vars(self)
        if "_path" not in found:  # no field: it is no part of the choice
            found["_path"] = locate(self.checkpoint, report)
        path: Path = found["_path"]
        return path

    @cached_property
    def card(self) -> CheckpointCard:
        """What the checkpoint says about itself, read without its weights."""
        path = self.find()
        return read_card(path) if path else untrained_card()

    @property
    def config(self) -> ModelConfig:
        """Architecture of the checkpoint."""
        return self.card.config

    @property
    def classes(self) -> ClassTable:
        """Class table of the checkpoint."""
        return self.card.classes

    @property
    def density_threshold(self) -> float:
        """Density from which the checkpoint calls a voxel occupied, 1/m."""
        return self.card.density_threshold

    def describe(self) -> str:
        """Return one sentence on the weights."""
        return self.card.weights

    def check_mode(self) -> None:
        """Refuse a mode whose head the checkpoint does not have, before weights are loaded.

        Raises:
            InputError: Naming the modes there are.
        """
        self.config.check_mode(self.mode)

    def settings(self) -> dict[str, Any]:
        """Return what predictions depend on; the file by its content, not by its name.

        Raises:
            InputError: If the checkpoint has no head for the mode.
        """
        self.check_mode()
        values = asdict(self)
        del values["device"], values["memory_budget"], values["n_cameras"]
        path = self.find()
        values["mode"] = self.config.naming(self.mode)
        values["checkpoint"] = file_sha256(path) if path else UNTRAINED
        return values

    def load(self, report: Report = silent) -> Checkpoint:
        """Return the checkpoint with its weights, resized for the image size of this choice.

        Args:
            report: As for `find`.

        Raises:
            CheckpointError: As for `find`.
            InputError: If the image size is not a whole patch grid.
        """
        path = self.find(report)
        checkpoint = load_checkpoint(path) if path else untrained_checkpoint()
        return resize_checkpoint(checkpoint, self.image_size) if self.image_size else checkpoint

    def predictor(
        self,
        checkpoint: Checkpoint | None = None,
        report: Report = silent,
        warn: Report | None = None,
        adapt: Callable[[MakeEngine], MakeEngine] | None = None,
    ) -> Predictor:
        """Build the network on its device.

        Args:
            checkpoint: What `load` returned, or another checkpoint that runs in the same way;
                None: it is loaded.
            report: Receives a few words on each long step.
            warn: Receives why an engine cannot be used; None: ``report`` does.
            adapt: Receives what makes the engine, and returns what the predictor calls instead.

        Raises:
            CheckpointError: As for `find`, or if the weights do not fit their configuration.
            SceneDinoError: If a setting is unknown, or the device or the engine is not available.
                It is not an `InputError`, which evaluations take for the fault of one item.
        """
        try:
            make = engine_maker(self.engine, report, warn)
            return Predictor(
                checkpoint or self.load(report),
                device=self.device,
                precision=self.precision,
                mode=self.mode,
                fit=self.fit,
                memory_budget=self.memory_budget,
                n_cameras=self.n_cameras,
                make_engine=adapt(make) if adapt else make,
            )
        except InputError as error:
            raise SceneDinoError(str(error)) from error

    def settled(self, report: Report = silent) -> "NetworkChoice":
        """Return this choice with the fastest engine and precision by name, not as ``auto``.

        Args:
            report: Receives a few words on each long step, and what was measured.

        Raises:
            CheckpointError: As for `find`.
            InputError: If engine, precision and device do not fit each other.
        """
        model, device = build_model(self.load(report)), choose_device(self.device)
        found = fastest_engine(self.engine, model, device, self.precision, self.mode, report)
        return replace(self, engine=found.name, precision=found.precision)
