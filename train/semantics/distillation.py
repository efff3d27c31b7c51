# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""The losses of stage 2: correlation distillation (STEGO) over 3D crops, clusters, probes.

Source: Hamilton et al., arXiv:2203.08414, with the weights SceneDINO was published with.
"""

from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional

from scenedino_ros.network.semantics import StegoHead

_EPS = 1e-10


@dataclass(frozen=True)
class Correlation:
    """Constants of the loss with one kind of partner.

    Attributes:
        weight: Factor of the loss.
        shift: Feature correlation above which codes are pulled together.
    """

    weight: float
    shift: float


SELF = Correlation(0.08146997886146659, 0.43610463774158115)
NEIGHBOUR = Correlation(0.4156436438453117, 0.18458300726748128)
RANDOM = Correlation(0.6702352279261414, 0.8709334888837256)


def correlation_loss(
    feature_correlation: torch.Tensor, code_correlation: torch.Tensor, kind: Correlation
) -> torch.Tensor:
    """Return the scalar loss of (crops, n, n) correlations; 0 without crops."""
    pull = code_correlation.clamp(min=0) * (feature_correlation - kind.shift)
    return -kind.weight * pull.sum() / max(pull.numel(), 1)


def correlate(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """Return the (crops, n, m) cosines of (crops, n, C) and (crops, m, C) vectors."""
    a, b = (functional.normalize(x, dim=-1, eps=_EPS) for x in (a, b))
    return a @ b.transpose(1, 2)


class CropMemory(nn.Module):
    """Ring buffer of the latest crops, from which partners are drawn; saved with the run."""

    def __init__(
        self, size: int, points: int, width: int, dtype: torch.dtype = torch.float32
    ) -> None:
        """Start empty.

        Args:
            size: Crops kept.
            points: Points of a crop.
            width: Channels C.
            dtype: Type crops are kept in; half precision halves most of a run's state.
        """
        super().__init__()
        self.register_buffer("crops", torch.zeros(size, points, width, dtype=dtype))
        self.register_buffer("descriptors", torch.zeros(size, width))
        self.register_buffer("position", torch.zeros((), dtype=torch.int64))
        self.register_buffer("filled", torch.zeros((), dtype=torch.int64))

    def write(self, crops: torch.Tensor, descriptors: torch.Tensor) -> None:
        """Store (crops, points, C) features and their (crops, C) descriptors, oldest first out."""
        size = len(self.crops)
        slots = (self.position + torch.arange(len(crops), device=crops.device)) % size
        self.crops[slots] = crops.to(self.crops.dtype)
        self.descriptors[slots] = descriptors.to(self.descriptors.dtype)
        self.position.copy_((self.position + len(crops)) % size)
        self.filled.copy_((self.filled + len(crops)).clamp(max=size))

    def neighbours(self, descriptors: torch.Tensor, n_neighbours: int) -> torch.Tensor:
        """Return the (crops, n) nearest stored crops, best first, without the best: itself."""
        cosines = functional.normalize(descriptors, dim=-1, eps=_EPS) @ self.descriptors.T
        return cosines.topk(n_neighbours + 1, dim=-1).indices[:, 1:]


@dataclass(frozen=True)
class PartnerDraws:
    """Draws of a step: partners of crops, and dropout of code channels.

    Attributes:
        neighbour: (crops,) which of the nearest, 0 being the best besides itself.
        random: (crops,) which stored crop.
        keep: (crops, 3, 2, code_dim) factors on the codes of crop, neighbour and random partner,
            for the head's two branches.
    """

    neighbour: torch.Tensor
    random: torch.Tensor
    keep: torch.Tensor


@dataclass(frozen=True)
class DistillationLosses:
    """The three terms, scalars; their sum is minimised."""

    own: torch.Tensor
    neighbour: torch.Tensor
    random: torch.Tensor


def describe_crops(feature: torch.Tensor) -> torch.Tensor:
    """Return the (crops, C) unit descriptors of (crops, points, C) unit features."""
    return functional.normalize(feature.mean(dim=1), dim=-1, eps=_EPS)


def distillation_losses(
    head: StegoHead,
    feature: torch.Tensor,
    descriptor: torch.Tensor,
    memory: CropMemory,
    draws: PartnerDraws,
    n_neighbours: int,
    mean: torch.Tensor,
) -> DistillationLosses:
    """Compare the codes of crops with those of their partners.

    Args:
        head: The head that is trained; gradients flow through both sides of each comparison.
        feature: (crops, points, C) features around surface points; no gradients.
        descriptor: (crops, C) from `describe_crops`.
        memory: Stored crops; the crops of this step are among them.
        draws: Partners and dropout.
        n_neighbours: How many nearest crops the neighbour is drawn from.
        mean: (C,) mean that was subtracted from the unit features; it is added again for the head.
    """
    nearest = memory.neighbours(descriptor, n_neighbours)
    neighbour = nearest.gather(1, draws.neighbour.unsqueeze(1)).squeeze(1)
    stored = (memory.crops[chosen].to(feature.dtype) for chosen in (neighbour, draws.random))
    compared = [feature, *stored]
    codes = [code_with_dropout(head, x + mean, draws.keep[:, i]) for i, x in enumerate(compared)]
    terms = [
        correlation_loss(correlate(feature, x), correlate(codes[0], code), kind)
        for x, code, kind in zip(compared, codes, (SELF, NEIGHBOUR, RANDOM), strict=True)
    ]
    return DistillationLosses(*terms)


def code_with_dropout(head: StegoHead, feature: torch.Tensor, keep: torch.Tensor) -> torch.Tensor:
    """Return the (crops, points, code_dim) unit codes with channels of both branches dropped.

    Args:
        head: The head.
        feature: (crops, points, C) unit features.
        keep: (crops, 2, code_dim) factors, 0 where a channel is dropped.
    """
    x = feature.reshape(-1, feature.shape[-1], 1, 1)
    shape = (*feature.shape[:-1], keep.shape[-1])
    linear, nonlinear = (path(x).view(shape) for path in (head.linear_path, head.nonlinear_path))
    code = linear * keep[:, None, 0] + nonlinear * keep[:, None, 1]
    return functional.normalize(code, dim=-1, eps=_EPS)


def kept_channels(shape: tuple[int, ...], rate: float, generator: torch.Generator) -> torch.Tensor:
    """Draw dropout factors: 0 with probability `rate`, otherwise 1 / (1 - rate)."""
    return (torch.rand(shape, generator=generator) >= rate).float() / (1 - rate)


def cluster_loss(cosines: torch.Tensor) -> torch.Tensor:
    """Return minus the mean cosine of each vector to its nearest centre, (..., n) cosines."""
    return -cosines.amax(dim=-1).mean()


def probe_loss(logits: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Return the cross-entropy of (..., n) logits and (...) labels; -1 is ignored.

    Without any label it is 0.
    """
    total = functional.cross_entropy(
        logits.flatten(0, -2), target.flatten(), ignore_index=-1, reduction="sum"
    )
    return total / (target >= 0).sum().clamp(min=1)
