# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Parts of the network with the weights of golden files, their sizes read from the arrays."""

import torch
from golden_arrays import Arrays

from scenedino_ros.network.field import Expansion, PointField, PositionalCode
from train.field.downsampler import PatchSalience
from train.field.rays import PatchDraws

CODE = PositionalCode(6, 1.5, (3.0, 80.0))  # as published


def load(module: torch.nn.Module, **state: torch.Tensor) -> torch.nn.Module:
    """Return a module with all of its weights from golden arrays, of which it may learn others."""
    module.load_state_dict({key.replace("__", "."): value for key, value in state.items()})
    return module


def salience(a: Arrays, prefix: str = "") -> PatchSalience:
    """Build the downsampler."""
    weight, edge = a[f"{prefix}conv_weight"], len(a[f"{prefix}patch_weight"])
    return load(
        PatchSalience(weight.shape[1], edge),
        conv__weight=weight,
        conv__bias=a[f"{prefix}conv_bias"],
        patch_weight=a[f"{prefix}patch_weight"],
        patch_bias=a[f"{prefix}patch_bias"],
    )


def expansion(a: Arrays, prefix: str = "") -> Expansion:
    """Build the expansion."""
    w1, w2 = a[f"{prefix}expand_w1"], a[f"{prefix}expand_w2"]
    return load(
        Expansion(w1.shape[1], w1.shape[0], w2.shape[0]),
        linear_in__weight=w1,
        linear_in__bias=a[f"{prefix}expand_b1"],
        linear_out__weight=w2,
        linear_out__bias=a[f"{prefix}expand_b2"],
    )


def point_field(a: Arrays, prefix: str = "") -> PointField:
    """Build the point MLP."""
    hidden, inputs = a[f"{prefix}w_in"].shape
    map_channels = inputs - CODE.channels
    return load(
        PointField(map_channels, CODE.channels, hidden, len(a[f"{prefix}b_out"]) - 1),
        lin_in__weight=a[f"{prefix}w_in"],
        lin_in__bias=a[f"{prefix}b_in"],
        lin_out__weight=a[f"{prefix}w_out"],
        lin_out__bias=a[f"{prefix}b_out"],
    )


def draws_of(drawn: torch.Tensor) -> PatchDraws:
    """Return one item's stored draws."""
    return PatchDraws(*drawn.unbind(-1))
