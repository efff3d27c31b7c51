# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Expansion and semantic head of a trained network, folded into a few matrices."""

import torch
from torch import nn
from torch.nn import functional

from scenedino_ros.network.model import SceneDino

# Cosines become probabilities by a softmax at this temperature; it only scales the confidence.
_COSINE_TEMPERATURE = 0.1


def linear_as(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
    """Apply a linear layer in the precision of its input."""
    return functional.linear(x, weight.to(x.dtype), bias.to(x.dtype))


class FoldedHead(nn.Module):
    """Expansion and semantic head combined, for one prediction mode."""

    def __init__(self, model: SceneDino, mode: str) -> None:
        """Multiply the head's first layers into the expansion's last one.

        Args:
            model: The plain network, with a semantic head.
            mode: One of ``config.PREDICTION_MODES``.

        Raises:
            InputError: If the network has no head for the mode.
        """
        super().__init__()
        model.config.check_mode(mode)
        self.mode = mode
        self.expansion, self.semantics = model.expansion, model.semantics
        weight, bias = self.first_layers()
        with torch.no_grad():
            W, b = (
                self.expansion.linear_out.weight.double(),
                self.expansion.linear_out.bias.double(),
            )
            self.register_buffer("weight", (weight.double() @ W).float())
            self.register_buffer("shift", (weight.double() @ b).float())
            self.register_buffer("bias", bias.float())
            self.register_buffer("gram", (W.T @ W).float())
            self.register_buffer("cross", (2 * W.T @ b).float())
            self.register_buffer("constant", (b @ b).float())

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
        linear_in = self.expansion.linear_in
        h = linear_as(feature, linear_in.weight, linear_in.bias).clamp_(min=0)
        square = linear_as(h, self.gram, self.cross).mul_(h).sum(-1, True, dtype=torch.float32)
        norm = (square + self.constant).clamp(min=1e-24).sqrt().to(h.dtype)
        bias = self.bias.to(h.dtype)
        first = torch.addcdiv(bias, linear_as(h, self.weight, self.shift), norm)
        head = self.semantics
        if self.mode == "direct_kmeans":
            return first.float()
        if self.mode == "direct_linear":
            probe = head.direct_linear_head.linear
            return probe[1:](first.float()) if isinstance(probe, nn.Sequential) else first.float()
        second = head.stego_head.nonlinear_path[2]
        code_dim = len(second.bias)
        activation = first[:, code_dim:].clamp_(min=0)
        code = first[:, :code_dim] + linear_as(activation, second.weight.flatten(1), second.bias)
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
        return label, functional.softmax(scores / temperature, dim=-1).amax(dim=-1)
