# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Predicts the token of a patch from the rendered features of its pixels."""

import torch
from torch import nn
from torch.nn import functional


class PatchSalience(nn.Module):
    """Weighted mean over a patch, with weights learned from features and position.

    Source: the salience downsampler of FeatUp (Fu et al., arXiv:2403.10516), as SceneDINO uses it.
    """

    def __init__(self, width: int, patch: int) -> None:
        """Initialise close to a plain mean.

        Args:
            width: Channels C.
            patch: Edge p of a patch, pixels.
        """
        super().__init__()
        self.conv = nn.Conv2d(width, 1, 1)
        nn.init.kaiming_normal_(self.conv.weight)
        nn.init.zeros_(self.conv.bias)
        self.patch_weight = nn.Parameter(1 + 0.01 * torch.randn(patch, patch))
        self.patch_bias = nn.Parameter(0.01 * torch.randn(patch, patch))

    def forward(self, feature: torch.Tensor) -> torch.Tensor:
        """Map (P, p, p, C) features to (P, C) unit vectors."""
        salience = feature @ self.conv.weight.flatten() + self.conv.bias
        logits = salience * self.patch_weight + self.patch_bias
        attention = functional.softmax(logits.flatten(1), dim=1)
        pooled = (attention.unsqueeze(-1) * feature.flatten(1, 2)).sum(dim=1)
        return functional.normalize(pooled, dim=-1)
