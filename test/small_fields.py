# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Small runs of stage 1 for tests: models, settings, drives of noise, and a target backbone."""

from dataclasses import replace
from pathlib import Path

import torch
from models import TINY
from torch.nn import functional

from train.field.benchmark import write_noise_drive
from train.field.data import FieldBatch, FieldData
from train.field.setting_groups import (
    DataSettings,
    EncoderSettings,
    LossSettings,
    OptimiserSettings,
    RaySettings,
)
from train.field.settings import FieldSettings
from train.runs.settings import RunSettings

MODEL = replace(TINY, n_classes=0, n_clusters=0)
# Wider than the MLP's hidden layer, and twice as fine, as published.
WIDE = replace(MODEL, decoder_width=48, upsample_tail=True)
COARSE_WIDE = replace(WIDE, upsample_fusion=False)
PUBLISHED = FieldSettings(
    run=RunSettings(steps=4, batch_size=2),
    model=MODEL,
    rays=RaySettings(patches=6, patch=16, samples=(8,)),
)
NEARBY = FieldSettings(
    run=RunSettings(steps=4, batch_size=1),
    model=MODEL,
    data=DataSettings(views="nearby"),
    encoder=EncoderSettings(trainable=False, tap_scales=(20.0, 10.0, 3.5, 20.0)),
    rays=RaySettings(patches=8, samples=(8,), aligned=False),
    losses=LossSettings(
        photometric="mean", downsampler="mean", artifacts=False, feature_roughness=0, filled=(0.1,)
    ),
    optimiser=OptimiserSettings(density_bias=-1.0),
    flip=False,
)


def write_drives(folder: Path) -> dict[str, Path]:
    """Write two drives of noise: as ``long`` as published items need, and a ``short`` one."""
    write_noise_drive(folder / "long", PUBLISHED)
    write_noise_drive(folder / "short", NEARBY)
    return {"long": folder / "long", "short": folder / "short"}


def with_store(settings: FieldSettings, path: Path) -> FieldSettings:
    """Return settings that learn from one drive."""
    return replace(settings, data=replace(settings.data, stores=(str(path),)))


def batch_of(settings: FieldSettings, step: int) -> FieldBatch:
    """Return the items of a step, without cached features."""
    data = FieldData(settings, settings.data.stores, None)
    return data.batch(step, range(settings.run.batch_size))


class Tokens(torch.nn.Module):
    """Stands for a target backbone: tokens that follow from the pixels."""

    def __init__(self, width: int = 384, patch: int = 16) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.register_buffer("weight", torch.randn(width, 3, patch, patch, generator=generator))

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        tokens = functional.conv2d(image, self.weight, stride=self.weight.shape[-1])
        return functional.normalize(tokens, dim=1)
