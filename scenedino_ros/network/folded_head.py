# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Expansion and semantic head of a trained network, folded into a few matrices."""

import torch
from torch import nn
from torch.nn import functional

from scenedino_ros.network.model import SceneDino

# Cosines become probabilities by a softmax at this temperature; it only scales the confidence.
_COSINE_TEMPERATURE = 0.1
# Hidden units added, as many as a vector unit processes at a time. Two of them are used, counted
# from the last: one is always 1, the other is the norm of the full feature.
_ADDED, _ONE, _NORM = 16, -16, -15


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
    """Expansion and semantic head combined, for one prediction mode.

    The head reads the full feature divided by its norm, and ends with a code of unit length or
    with logits. Up to there, scaling its input and all biases by the norm scales the result, too:
    biases are multiplied by the norm, and only the few values at the end are divided.

    Attributes:
        needs_norm: Whether the norm is computed; a code without biases needs none.
    """

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
            last = functional.pad(linear_out.weight.double(), (0, _ADDED))  # (C, hidden + 16)
            last[:, _ONE] = linear_out.bias
            hidden_bias = functional.pad(linear_in.bias, (0, _ADDED))
            hidden_bias[_ONE] = 1
            self.register_buffer("hidden", functional.pad(linear_in.weight, (0, 0, 0, _ADDED)))
            self.register_buffer("hidden_bias", hidden_bias)
            first = weight.double() @ last
            first[:, _NORM] = bias
            self.register_buffer("first", first.float())
            self.needs_norm = bool(bias.any()) or not self.mode.startswith("stego")
            if self.needs_norm:
                # |Q R h| = |R h|, and R has no more rows than hidden units.
                self.register_buffer("root", torch.linalg.qr(last, mode="r").R.float())
            if self.mode.startswith("stego"):
                second = self.semantics.stego_head.nonlinear_path[2].weight.flatten(1).T
                self.register_buffer("second", second[second.any(dim=1)])

    def first_layers(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Return weight (n, C) and bias (n,) of all layers that read the full feature."""
        head = self.semantics
        if self.mode.startswith("stego"):
            (linear,) = head.stego_head.linear_path
            nonlinear, _, second = head.stego_head.nonlinear_path
            # A hidden unit that the second layer does not read is left out: every one of them,
            # where training left the code linear in the feature.
            read = second.weight.flatten(1).any(dim=0)
            weight = torch.cat([linear.weight.flatten(1), nonlinear.weight.flatten(1)[read]])
            return weight, torch.cat([linear.bias + second.bias, nonlinear.bias[read]])
        if self.mode == "direct_kmeans":
            centers = functional.normalize(head.direct_cluster_head.cluster_centers, dim=-1)
            return centers, centers.new_zeros(len(centers))
        probe = head.direct_linear_head.linear
        first = probe[0] if isinstance(probe, nn.Sequential) else probe
        return first.weight, first.bias

    @property
    def code_units(self) -> int | None:
        """The number of hidden units of the distilled code, if the mode has one."""
        return len(self.second) if self.mode.startswith("stego") else None

    def scores(self, feature: torch.Tensor) -> torch.Tensor:
        """Return the (N, n) scores of (N, F) point features, as `SemanticHead.scores` does.

        All but the last layer run in the precision of the features; scores are float32.
        """
        h = linear_as(feature, self.hidden, self.hidden_bias).clamp_(min=0)
        if self.needs_norm:
            norm = torch.linalg.vector_norm(
                linear_as(h, self.root), dim=-1, keepdim=True, dtype=torch.float32
            ).clamp_(min=1e-12)
            h[:, _NORM] = norm.squeeze(1)
        if self.mode.startswith("stego"):
            return self._stego_scores(h)
        first = linear_as(h, self.first).float().div_(norm)
        if self.mode == "direct_kmeans":
            return first
        probe = self.semantics.direct_linear_head.linear
        return probe[1:](first) if isinstance(probe, nn.Sequential) else first

    def _stego_scores(self, h: torch.Tensor) -> torch.Tensor:
        """Return the scores of (N, hidden + 16) hidden layers."""
        code_dim = self.second.shape[1]
        code = linear_as(h, self.first[:code_dim])
        if len(self.second):
            active = linear_as(h, self.first[code_dim:]).clamp_(min=0)
            code = code.addmm_(active, self.second.to(code.dtype))
        if self.mode.endswith("kmeans"):
            return self.semantics.stego_cluster_head(code.float())  # which normalises it
        code = functional.normalize(code.float(), dim=-1, eps=1e-10)
        return self.semantics.stego_linear_head(code)

    def classify(self, feature: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return (N,) int64 labels and (N, n) scores of (N, F) point features."""
        scores = self.scores(feature)
        return self.semantics.labels(scores, self.mode), scores

    def name_classes(self, feature: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return (N,) int64 labels and (N,) confidences in [0, 1] of (N, F) point features."""
        scores = self.scores(feature)
        highest, winner = scores.max(dim=-1, keepdim=True)
        temperature = _COSINE_TEMPERATURE if self.mode.endswith("kmeans") else 1.0
        # The largest probability of a softmax of the scores.
        confidence = (scores - highest).div_(temperature).exp_().sum(dim=-1).reciprocal_()
        return self.semantics.classes(winner.squeeze(1), self.mode), confidence
