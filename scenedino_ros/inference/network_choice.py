"""Which network an evaluation runs, and what identifies it in the settings of a run."""

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from scenedino_ros.checkpoints.card import DENSITY_THRESHOLD, read_card
from scenedino_ros.checkpoints.checkpoint import (
    SMALL_CONFIG,
    Checkpoint,
    build_model,
    load_checkpoint,
    resize_checkpoint,
    untrained_checkpoint,
)
from scenedino_ros.checkpoints.hub import locate
from scenedino_ros.checkpoints.published import UNTRAINED, file_sha256
from scenedino_ros.core.config import ModelConfig
from scenedino_ros.core.errors import InputError, SceneDinoError
from scenedino_ros.core.labels import CITYSCAPES19, ClassTable
from scenedino_ros.inference.device import choose_device
from scenedino_ros.inference.engines.opening import engine_maker, fastest_engine
from scenedino_ros.inference.predictor import Predictor


@dataclass(frozen=True)
class NetworkChoice:
    """A checkpoint and how it is run; plain values, so that worker processes can be told.

    Attributes:
        checkpoint: Name or file as `load_named_or_path` takes it; empty: the package's model.
        mode: Which head names the classes.
        image_size: (height, width) of the network's picture, None: the checkpoint's own.
        precision: Its arithmetic.
        engine: What runs the network. ``auto``, here and in the precision, is for whoever runs
            one process; what is counted together must come from one engine, see `settled`.
        device: ``auto``, ``cpu`` or ``cuda``.
        fit: How images of another aspect ratio fill the picture.
    """

    checkpoint: str = ""
    mode: str = "stego_kmeans"
    image_size: tuple[int, ...] | None = None
    precision: str = "float32"
    engine: str = "torch"
    device: str = "auto"
    fit: str = "stretch"

    @cached_property
    def path(self) -> Path | None:
        """The checkpoint's file, fetched if it is a published one; None: untrained."""
        return None if self.checkpoint == UNTRAINED else locate(self.checkpoint)

    def settings(self) -> dict[str, Any]:
        """Return what predictions depend on; the file by its content, not by its name.

        Raises:
            InputError: If the checkpoint has no head for the mode.
        """
        self.config.check_mode(self.mode)
        values = asdict(self)
        del values["device"]
        values["checkpoint"] = file_sha256(self.path) if self.path else UNTRAINED
        return values

    @property
    def config(self) -> ModelConfig:
        """Architecture of the checkpoint, read without its weights."""
        return read_card(self.path).config if self.path else SMALL_CONFIG

    @property
    def classes(self) -> ClassTable:
        """Class table of the checkpoint, read without its weights."""
        return read_card(self.path).classes if self.path else CITYSCAPES19

    @property
    def density_threshold(self) -> float:
        """Density from which the checkpoint calls a voxel occupied, 1/m."""
        return read_card(self.path).density_threshold if self.path else DENSITY_THRESHOLD

    def describe(self) -> str:
        """Return one sentence on the weights."""
        return self._provenance.get("weights", "weights of unknown origin")

    @cached_property
    def _provenance(self) -> dict[str, str]:
        return read_card(self.path).provenance if self.path else untrained_checkpoint().provenance

    def load(self) -> Checkpoint:
        """Return the checkpoint, for the image size of this choice.

        Raises:
            CheckpointError: If the file is missing or damaged.
        """
        checkpoint = load_checkpoint(self.path) if self.path else untrained_checkpoint()
        return resize_checkpoint(checkpoint, self.image_size) if self.image_size else checkpoint

    def predictor(self, checkpoint: Checkpoint | None = None) -> Predictor:
        """Build the network on its device.

        Args:
            checkpoint: Another one that is to run in the same way.

        Raises:
            CheckpointError: If the weights do not fit their configuration.
            SceneDinoError: If a setting is unknown, or device or engine are not there. It is no
                `InputError`, which would be taken for the fault of one item.
        """
        try:
            return Predictor(
                checkpoint or self.load(),
                device=self.device,
                precision=self.precision,
                mode=self.mode,
                fit=self.fit,
                make_engine=engine_maker(self.engine),
            )
        except InputError as error:
            raise SceneDinoError(str(error)) from error

    def settled(self, tell: Callable[[str], None]) -> "NetworkChoice":
        """Return this choice with the engine and the precision that are fastest here by name.

        Args:
            tell: Told in words what is going on, and what was measured.
        """
        model, device = build_model(self.load()), choose_device(self.device)
        found = fastest_engine(self.engine, model, device, self.precision, self.mode, tell)
        return replace(self, engine=found.name, precision=found.precision)
