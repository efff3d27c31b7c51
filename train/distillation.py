"""Distilling feature correspondences into codes: the STEGO losses over 3D neighbourhoods.

Source: Hamilton et al., arXiv:2203.08414, with the weights SceneDINO was published with.
"""

from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional

from scenedino_ros.core.semantics import StegoHead

_EPS = 1e-10


@dataclass(frozen=True)
class Correlation:
    """How one kind of partner counts.

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
    """Return the scalar loss of (crops, n, n) correlations."""
    pull = feature_correlation - kind.shift
    return -kind.weight * (code_correlation.clamp(min=0) * pull).mean()


def correlate(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """Return the (crops, n, m) cosines of (crops, n, C) and (crops, m, C) vectors."""
    a, b = (functional.normalize(x, dim=-1, eps=_EPS) for x in (a, b))
    return a @ b.transpose(1, 2)


class CropMemory(nn.Module):
    """The most recent crops, from which partners are drawn. Its state is saved with the run."""

    def __init__(self, size: int, points: int, width: int) -> None:
        """Start empty.

        Args:
            size: Crops kept.
            points: Points of a crop.
            width: Channels C.
        """
        super().__init__()
        self.register_buffer("crops", torch.zeros(size, points, width))
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
    """Which partners a step uses.

    Attributes:
        neighbour: (crops,) which of the nearest, 0 being the best besides itself.
        random: (crops,) which stored crop.
    """

    neighbour: torch.Tensor
    random: torch.Tensor


@dataclass(frozen=True)
class DistillationLosses:
    """The three terms, scalars, and the correlations they come from."""

    own: torch.Tensor
    neighbour: torch.Tensor
    random: torch.Tensor
    feature_correlations: tuple[torch.Tensor, torch.Tensor, torch.Tensor]
    code_correlations: tuple[torch.Tensor, torch.Tensor, torch.Tensor]

    @property
    def total(self) -> torch.Tensor:
        """Sum that is minimised."""
        return self.own + self.neighbour + self.random


def distillation_losses(
    head: StegoHead,
    crops: torch.Tensor,
    memory: CropMemory,
    draws: PartnerDraws,
    n_neighbours: int,
) -> DistillationLosses:
    """Compare the codes of crops with those of their partners.

    Args:
        head: The head that is trained; gradients flow through both sides of each comparison.
        crops: (crops, points, C) full features around surface points; no gradients.
        memory: Stored crops; these are written first, then partners are read.
        draws: Which partners to use.
        n_neighbours: How many nearest crops the neighbour is drawn from.
    """
    feature = functional.normalize(crops, dim=-1, eps=_EPS)
    descriptor = functional.normalize(feature.mean(dim=1), dim=-1, eps=_EPS)
    memory.write(feature, descriptor)
    nearest = memory.neighbours(descriptor, n_neighbours)
    neighbour = nearest.gather(1, draws.neighbour.unsqueeze(1)).squeeze(1)
    partners = [feature, memory.crops[neighbour], memory.crops[draws.random]]
    code = head(feature)
    features = tuple(correlate(feature, partner) for partner in partners)
    codes = tuple(
        correlate(code, code if i == 0 else head(partner)) for i, partner in enumerate(partners)
    )
    terms = [
        correlation_loss(f, c, kind)
        for f, c, kind in zip(features, codes, (SELF, NEIGHBOUR, RANDOM), strict=True)
    ]
    return DistillationLosses(*terms, features, codes)


def cluster_loss(cosines: torch.Tensor) -> torch.Tensor:
    """Return minus the mean cosine of each vector to its nearest centre, (..., n) cosines."""
    return -cosines.amax(dim=-1).mean()


def probe_loss(logits: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Return the cross-entropy of (..., n) logits and (...) labels; -1 is ignored."""
    return functional.cross_entropy(logits.flatten(0, -2), target.flatten(), ignore_index=-1)
