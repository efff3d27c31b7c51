# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""The semantic head: classes from features, by clusters or by linear probes.

Source: Hamilton et al., Unsupervised Semantic Segmentation by Distilling Feature Correspondences
(STEGO), arXiv:2203.08414, as SceneDINO uses it in 3D.
"""

import torch
from torch import nn
from torch.nn import functional

from scenedino_ros.core.model_config import PREDICTION_MODES

_EPS = 1e-10


class StegoHead(nn.Module):
    """Distilled code: a linear and a non-linear projection, summed, with unit length."""

    def __init__(self, width: int, code_dim: int) -> None:
        """Build the projections as 1x1 convolutions, which is how checkpoints store them."""
        super().__init__()
        self.linear_path = nn.Sequential(nn.Conv2d(width, code_dim, 1))
        self.nonlinear_path = nn.Sequential(
            nn.Conv2d(width, width, 1), nn.ReLU(), nn.Conv2d(width, code_dim, 1)
        )

    def forward(self, feature: torch.Tensor) -> torch.Tensor:
        """Map (..., C) unit features to (..., code_dim) unit codes."""
        x = feature.reshape(-1, feature.shape[-1], 1, 1)
        code = (self.linear_path(x) + self.nonlinear_path(x)).flatten(1)
        return functional.normalize(code, dim=-1, eps=_EPS).view(
            *feature.shape[:-1], code.shape[1]
        )


class ClusterHead(nn.Module):
    """Nearest centre by cosine, and the table from pseudo classes to classes."""

    def __init__(self, width: int, n_clusters: int, n_classes: int) -> None:
        """Draw random centres; assign pseudo class k to class k modulo the number of classes."""
        super().__init__()
        # On the CPU even where the module is built without storage: on the meta device these two
        # lines would import PyTorch's compiler, which takes seconds.
        self.cluster_centers = nn.Parameter(torch.randn(n_clusters, width, device="cpu"))
        assignment = torch.arange(n_clusters, device="cpu") % n_classes
        self.register_buffer("pseudo_assignment", assignment)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the (..., n_clusters) cosines between (..., width) vectors and the centres."""
        centers = functional.normalize(self.cluster_centers, dim=-1, eps=1e-12)
        return functional.normalize(x, dim=-1, eps=1e-12) @ centers.T


class LinearHead(nn.Module):
    """A supervised probe: it is trained with labels."""

    def __init__(self, width: int, n_classes: int, mlp: bool) -> None:
        """Build a linear layer, or one hidden layer of twice the width."""
        super().__init__()
        self.linear = (
            nn.Sequential(nn.Linear(width, 2 * width), nn.ReLU(), nn.Linear(2 * width, n_classes))
            if mlp
            else nn.Linear(width, n_classes)
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the (..., n_classes) logits of (..., width) vectors."""
        return self.linear(x)


class SemanticHead(nn.Module):
    """Clusters and probes on the full feature (direct) and on the distilled code (stego)."""

    def __init__(
        self,
        width: int,
        code_dim: int,
        n_clusters: int,
        n_classes: int,
        mlp_probe: bool,
        heads: tuple[str, ...] = PREDICTION_MODES,
    ) -> None:
        """Build the classifiers, and the distilled code if one of them reads it.

        Args:
            width: Channels C of the full feature.
            code_dim: Width of the distilled code.
            n_clusters: Pseudo classes.
            n_classes: Classes.
            mlp_probe: Whether the probes have a hidden layer.
            heads: Prediction modes to build a classifier for.
        """
        super().__init__()
        if "direct_kmeans" in heads:
            self.direct_cluster_head = ClusterHead(width, n_clusters, n_classes)
        if "stego_kmeans" in heads or "stego_linear" in heads:
            self.stego_head = StegoHead(width, code_dim)
        if "stego_kmeans" in heads:
            self.stego_cluster_head = ClusterHead(code_dim, n_clusters, n_classes)
        if "direct_linear" in heads:
            self.direct_linear_head = LinearHead(width, n_classes, mlp_probe)
        if "stego_linear" in heads:
            self.stego_linear_head = LinearHead(code_dim, n_classes, mlp_probe)

    def scores(self, feature: torch.Tensor, mode: str) -> torch.Tensor:
        """Score full features.

        Args:
            feature: (..., C) full features.
            mode: One of ``model_config.PREDICTION_MODES``.

        Returns:
            (..., n) cosines to the centres (k-means modes, before the assignment) or logits.
        """
        source, kind = mode.split("_")
        x = functional.normalize(feature, dim=-1, eps=_EPS)
        if source == "stego":
            x = self.stego_head(x)
        head = "cluster" if kind == "kmeans" else "linear"
        return getattr(self, f"{source}_{head}_head")(x)

    def labels(self, scores: torch.Tensor, mode: str) -> torch.Tensor:
        """Return the (...) int64 class ids of (..., n) scores."""
        return self.classes(scores.argmax(dim=-1), mode)

    def classes(self, winner: torch.Tensor, mode: str) -> torch.Tensor:
        """Return the (...) int64 class ids of the (...) int64 places of the highest scores."""
        if mode.endswith("_kmeans"):
            source = mode.split("_")[0]
            return getattr(self, f"{source}_cluster_head").pseudo_assignment[winner]
        return winner
