# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""The learning rates of stage 1: that of the encoder is its own."""

import torch

from train.field.model import FieldTraining


def learning_groups(training: FieldTraining) -> list[dict[str, object]]:
    """Return parameter groups with their learning rates; the encoder has its own."""
    settings = training.settings
    encoder = [p for p in training.network.encoder.parameters() if p.requires_grad]
    known = {id(p) for p in training.network.encoder.parameters()}
    others = [p for p in training.parameters() if id(p) not in known and p.requires_grad]
    groups: list[dict[str, object]] = [{"params": others, "lr": settings.optimiser.learning_rate}]
    if encoder:
        groups.append({"params": encoder, "lr": settings.encoder.learning_rate})
    return groups


def learning_rates(optimizer: torch.optim.Optimizer) -> dict[str, float]:
    """Return the learning rates of the groups of `learning_groups`, by name."""
    names = ("learning_rate", "learning_rate_encoder")
    # A frozen encoder has no group, so there may be fewer groups than names.
    return {
        name: float(group["lr"])
        for name, group in zip(names, optimizer.param_groups, strict=False)
    }
