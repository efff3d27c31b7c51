# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Finds, names and scores the clusters of a semantic head during training."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from scenedino_ros.core.labels import CITYSCAPES19
from scenedino_ros.core.metrics import class_iou, merge_clusters
from scenedino_ros.evaluation.segmentation.scores import CLASS_WEIGHTS
from scenedino_ros.network.semantics import ClusterHead, SemanticHead
from train.semantics.clustering import (
    cluster_offsets,
    count_clusters,
    name_clusters,
    name_unseen,
    spherical_kmeans,
)
from train.semantics.rendered_pixels import RenderedPixels
from train.semantics.settings import NamingSettings

_N_CLASSES = len(CITYSCAPES19)
# What the classifiers of a semantic head read, as in the names of its parts.
_SOURCES = ("direct", "stego")


@dataclass(frozen=True)
class Scored:
    """Scores of a semantic head.

    Attributes:
        scores: Scores by name, 0 to 1.
        classes: (images, pixels) int64 classes by clusters of codes.
    """

    scores: dict[str, float]
    classes: torch.Tensor

    @property
    def best(self) -> float:
        """Weighted mean IoU of the code's clusters, by which the published model was chosen."""
        return self.scores["code_clusters/weighted_miou"]


@torch.no_grad()
def find_clusters(
    head: SemanticHead, sample: RenderedPixels, expansion: nn.Module, generator: torch.Generator
) -> None:
    """Set the centres of both cluster heads by spherical k-means on a sample of pixels."""
    for source in _SOURCES:
        clusters = _clusters(head, source)
        vectors = _vectors(head, source, sample, expansion)
        n_clusters = len(clusters.cluster_centers)
        clusters.cluster_centers.copy_(spherical_kmeans(vectors, n_clusters, generator))


@torch.no_grad()
def name_and_score(
    head: SemanticHead,
    pixels: RenderedPixels,
    sample: RenderedPixels | None,
    expansion: nn.Module,
    settings: NamingSettings,
) -> Scored:
    """Name the clusters of a head by labels, and score clusters and probes.

    Args:
        head: Its assignments are set.
        pixels: Labelled images.
        sample: Pixels of the drives that are learned from, where unseen clusters are named.
        expansion: From rendered to full features.
        settings: How clusters get their names.
    """
    scores: dict[str, float] = {}
    label = pixels.label.flatten().numpy()
    classes = torch.zeros(0)
    for source, name in zip(_SOURCES, ("direct", "code"), strict=True):
        clusters = _clusters(head, source)
        vectors = _vectors(head, source, pixels, expansion)
        winner = clusters(vectors).argmax(dim=-1)
        counts = count_clusters(
            winner.cpu().numpy(), label, len(clusters.cluster_centers), _N_CLASSES
        )
        names = name_clusters(counts, settings.cover)
        if settings.unseen and sample is not None:
            others = _vectors(head, source, sample, expansion)
            names = name_unseen(
                names,
                counts,
                _offsets(clusters, vectors, pixels),
                _offsets(clusters, others, sample),
            )
        clusters.pseudo_assignment.copy_(torch.from_numpy(names))
        scores |= _scores(f"{name}_clusters", merge_clusters(counts, names))
        probe = getattr(head, f"{source}_linear_head")(vectors).argmax(dim=-1).cpu().numpy()
        scores |= _scores(f"{name}_probe", count_clusters(probe, label, _N_CLASSES, _N_CLASSES))
        classes = clusters.pseudo_assignment[winner].view(pixels.label.shape).cpu()
    return Scored(scores, classes)


@torch.no_grad()
def full_features(pixels: RenderedPixels, expansion: nn.Module) -> torch.Tensor:
    """Return the (images * pixels, C) unit features of rendered pixels."""
    return torch.cat([expansion(rendered) for rendered in pixels.feature])


def _clusters(head: SemanticHead, source: str) -> ClusterHead:
    clusters: ClusterHead = getattr(head, f"{source}_cluster_head")
    return clusters


def _vectors(
    head: SemanticHead, source: str, pixels: RenderedPixels, expansion: nn.Module
) -> torch.Tensor:
    """Return the (images * pixels, D) unit vectors that a source's classifiers read."""
    features = (expansion(rendered) for rendered in pixels.feature)
    read = head.stego_head if source == "stego" else nn.Identity()
    return torch.cat([read(feature) for feature in features])


def _offsets(clusters: ClusterHead, vectors: torch.Tensor, pixels: RenderedPixels) -> np.ndarray:
    drive = pixels.drive.repeat_interleave(pixels.label.shape[1]).to(vectors.device)
    winner = clusters(vectors).argmax(dim=-1)
    return cluster_offsets(vectors, winner, drive, len(clusters.cluster_centers))


def _scores(name: str, confusion: np.ndarray) -> dict[str, float]:
    """Return the scores of an (L, L) confusion (row = label), and the IoU of its classes."""
    iou = class_iou(confusion)
    present = np.flatnonzero(confusion.sum(axis=1))
    per_class = {f"{name}/iou_{CITYSCAPES19.names[i]}": float(iou[i]) for i in present}
    return {
        f"{name}/accuracy": float(np.trace(confusion) / max(confusion.sum(), 1)),
        f"{name}/miou": float(iou.mean()),
        f"{name}/weighted_miou": float((iou * CLASS_WEIGHTS / CLASS_WEIGHTS.mean()).mean()),
        **per_class,
    }
