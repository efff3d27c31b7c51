# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""All settings of a run of stage 1. The defaults are the published configuration."""

from dataclasses import dataclass, field

from scenedino_ros.core.backbones import backbone_spec, patch_grid
from scenedino_ros.core.errors import InputError
from scenedino_ros.core.model_config import ModelConfig
from scenedino_ros.core.setting import setting
from train.field.setting_checks import check_classes, check_rays, check_resident
from train.field.setting_groups import (
    DataSettings,
    EncoderSettings,
    LossSettings,
    OptimiserSettings,
    RaySettings,
)
from train.runs.settings import RunSettings


@dataclass(frozen=True)
class FieldSettings:
    """A run of stage 1."""

    run: RunSettings = field(default_factory=RunSettings)
    model: ModelConfig = field(default_factory=ModelConfig)
    data: DataSettings = field(default_factory=DataSettings)
    encoder: EncoderSettings = field(default_factory=EncoderSettings)
    rays: RaySettings = field(default_factory=RaySettings)
    losses: LossSettings = field(default_factory=LossSettings)
    optimiser: OptimiserSettings = field(default_factory=OptimiserSettings)
    start: str = setting(
        "",
        "Checkpoint whose decoder and point network the run starts from, a file or a name "
        "such as default; empty: random weights",
    )
    flip: bool = setting(
        True, "Flip the input of the encoder, and flip its map back, half of the time"
    )
    mirror: bool = setting(False, "Mirror whole items, poses included, half of the time")
    validate_every: int = setting(5000, "Steps between validations", low=1, live=True)
    best: str = setting(
        "feature",
        "Validation loss that chooses field_best.safetensors",
        choices=("feature", "photometric", "total"),
        live=True,
    )
    keep: int = setting(
        0,
        "Latest saved networks that stay in the folder snapshots, to be averaged",
        low=0,
        live=True,
    )

    def __post_init__(self) -> None:
        """Refuse settings that contradict each other.

        Raises:
            InputError: Naming the settings, what was expected and what came.
        """
        rays = self.rays
        patch_grid(self.target_backbone, self.model.image_size)
        token = backbone_spec(self.target_backbone).external_patch
        if rays.aligned and rays.patch != token:
            raise InputError(
                f"rays.patch must be the edge of a target token, {token} px for "
                f"{self.target_backbone}, got {rays.patch}"
            )
        if rays.aligned and rays.levels != (1,):
            raise InputError(f"aligned rays need rays.levels [1], got {list(rays.levels)}")
        if not rays.aligned and (self.losses.downsampler != "mean" or self.losses.artifacts):
            raise InputError(
                "rays that are not aligned need losses.downsampler mean and losses.artifacts "
                f"false, got {self.losses.downsampler} and {self.losses.artifacts}"
            )
        if rays.aligned and self.data.crops:
            raise InputError(
                f"data.crops needs rays.aligned false, got data.crops {self.data.crops}"
            )
        expected = len(rays.levels) * len(rays.phases)
        if len(rays.level_shares) != expected:
            raise InputError(
                f"rays.level_shares must have {expected} numbers, one for each of "
                f"{len(rays.levels)} levels in {len(rays.phases)} phases, "
                f"got {len(rays.level_shares)}"
            )
        check_rays(rays, self.data, self.model)
        check_classes(self.losses, rays, self.encoder, self.model)
        check_resident(self.data, rays, self.encoder, self.model)
        phased = {
            "rays.samples": rays.samples,
            "losses.feature": self.losses.feature,
            "losses.filled": self.losses.filled,
        }
        for name, values in phased.items():
            if len(values) not in (1, len(rays.phases)):
                raise InputError(
                    f"{name} must have one number, or one for each of {len(rays.phases)} phases, "
                    f"got {len(values)}"
                )
        data = self.data
        if data.shares and len(data.shares) != len(data.stores):
            raise InputError(
                f"data.shares must have one number for each of {len(data.stores)} entries of "
                f"data.stores, got {len(data.shares)}"
            )
        if data.shares and not sum(data.shares):
            raise InputError("data.shares must not all be 0")
        if len(data.every) not in (1, len(data.stores)):
            raise InputError(
                f"data.every must have one number, or one for each of {len(data.stores)} entries "
                f"of data.stores, got {len(data.every)}"
            )
        encoder = self.encoder
        if not encoder.trainable and self.flip:
            raise InputError("flip needs an encoder that is trained, got encoder.trainable false")
        if not encoder.trainable and (encoder.target or encoder.target_weights):
            raise InputError(
                "encoder.target and encoder.target_weights need an encoder that is trained; a "
                "frozen one gives the targets itself"
            )

    @property
    def target_backbone(self) -> str:
        """Name of the backbone of the target features."""
        return self.encoder.target or self.model.backbone

    def phase(self, step: int) -> int:
        """Return the number of the phase a step belongs to."""
        ends = [end * self.run.steps for end in self.rays.phases]
        return next((i for i, end in enumerate(ends) if step < end), len(ends) - 1)

    def rate(self, step: int) -> float:
        """Return the factor on all learning rates at a step."""
        rate = min(1.0, (step + 1) / self.optimiser.warmup) if self.optimiser.warmup else 1.0
        for drop in self.optimiser.drops:
            if step >= (drop * self.run.steps if drop < 1 else drop):
                rate *= self.optimiser.factor
        return rate
