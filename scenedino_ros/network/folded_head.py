# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Expansion and semantic head of a trained network, folded into a few matrices."""

import torch
from torch import nn
from torch.nn import functional

from scenedino_ros.network.model import SceneDino

# Cosines become probabilities by a softmax at this temperature; it only scales the confidence.
_COSINE_TEMPERATURE = 0.1
# Hidden units added, of which one is used: as many as a vector unit processes at a time.
_ONES = 16


def linear_as(
    x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None = None
) -> torch.Tensor:
    """Apply a linear layer in the precision of its input."""
    return functional.linear(x, weight.to(x.dtype), None if bias is None else bias.to(x.dtype))


class FieldHead(nn.Module):
    """The classes of a field that predicts class probabilities itself."""

    def name_classes(self, probability: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return (N,) int64 labels and (N,) confidences of (N, n) class probabilities."""
        confidence, label = probability.float().max(dim=-1)
        return label, confidence.clamp(max=1)


class FoldedHead(nn.Module):
    """Expansion and semantic head combined, for one prediction mode."""

    def __init__(self, model: SceneDino, mode: str) -> None:
        """Multiply the head's first layers into the expansion's last one.

        Args:
            model: The plain network, with a semantic head.
            mode: One of ``model_config.PREDICTION_MODES``.

        Raises:
            InputError: If the network has no head for the mode.
        """
        super().__init__()
        model.config.check_mode(mode)
        self.mode = mode
        self.expansion, self.semantics = model.expansion, model.semantics
        weight, bias = self.first_layers()
        linear_in, linear_out = self.expansion.linear_in, self.expansion.linear_out
        with torch.no_grad():
            # A hidden unit that is always 1 carries the bias of the expansion's last layer.
            last = functional.pad(linear_out.weight.double(), (0, _ONES))  # (C, hidden + 16)
            last[:, -_ONES] = linear_out.bias
            hidden_bias = functional.pad(linear_in.bias, (0, _ONES))
            hidden_bias[-_ONES] = 1
            self.register_buffer("hidden", functional.pad(linear_in.weight, (0, 0, 0, _ONES)))
            self.register_buffer("hidden_bias", hidden_bias)
            self.register_buffer("gram", (last.T @ last).float())
            self.register_buffer("first", (weight.double() @ last).float())
            self.register_buffer("first_bias", bias.float())

    def first_layers(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Return weight (n, C) and bias (n,) of all layers that read the full feature."""
        head = self.semantics
        if self.mode.startswith("stego"):
            layers = [head.stego_head.linear_path[0], head.stego_head.nonlinear_path[0]]
            weight = torch.cat([layer.weight.flatten(1) for layer in layers])
            return weight, torch.cat([layer.bias for layer in layers])
        if self.mode == "direct_kmeans":
            centers = functional.normalize(head.direct_cluster_head.cluster_centers, dim=-1)
            return centers, centers.new_zeros(len(centers))
        probe = head.direct_linear_head.linear
        first = probe[0] if isinstance(probe, nn.Sequential) else probe
        return first.weight, first.bias

    def scores(self, feature: torch.Tensor) -> torch.Tensor:
        """Return the (N, n) scores of (N, F) point features, as `SemanticHead.scores` does.

        All but the last layer run in the precision of the features; scores are float32.
        """
        h = linear_as(feature, self.hidden, self.hidden_bias).clamp_(min=0)
        square = linear_as(h, self.gram).mul_(h).sum(-1, True, dtype=torch.float32)
        # The norm divides the few inputs of the first layers, not their many outputs.
        unit = h.mul_(square.clamp_(min=1e-24).rsqrt_().to(h.dtype))
        if self.mode.startswith("stego"):
            return self._stego_scores(unit)
        first = linear_as(unit, self.first, self.first_bias).float()
        if self.mode == "direct_kmeans":
            return first
        probe = self.semantics.direct_linear_head.linear
        return probe[1:](first) if isinstance(probe, nn.Sequential) else first

    def _stego_scores(self, unit: torch.Tensor) -> torch.Tensor:
        """Return the scores of (N, hidden + 16) hidden layers of unit features."""
        head = self.semantics
        second = head.stego_head.nonlinear_path[2]
        code_dim = len(second.bias)
        # Apart, so that what the second layer reads is contiguous.
        linear, nonlinear = self.first[:code_dim], self.first[code_dim:]
        active = linear_as(unit, nonlinear, self.first_bias[code_dim:]).clamp_(min=0)
        code = linear_as(unit, linear, self.first_bias[:code_dim] + second.bias)
        code = code.addmm_(active, second.weight.flatten(1).T.to(code.dtype))
        code = functional.normalize(code.float(), dim=-1, eps=1e-10)
        cluster = self.mode.endswith("kmeans")
        return (head.stego_cluster_head if cluster else head.stego_linear_head)(code)

    def classify(self, feature: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return (N,) int64 labels and (N, n) scores of (N, F) point features."""
        scores = self.scores(feature)
        return self.semantics.labels(scores, self.mode), scores

    def name_classes(self, feature: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return (N,) int64 labels and (N,) confidences in [0, 1] of (N, F) point features."""
        label, scores = self.classify(feature)
        temperature = _COSINE_TEMPERATURE if self.mode.endswith("kmeans") else 1.0
        # The largest probability of a softmax of the scores.
        lead = (scores - scores.amax(dim=-1, keepdim=True)).div_(temperature)
        return label, lead.exp_().sum(dim=-1).reciprocal_()
