# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Clusters of the features of many images, and how they get names."""

import numpy as np
import torch
from torch.nn import functional

from scenedino_ros.core.metrics import assign_clusters
from scenedino_ros.network.semantics import StegoHead

_ROUNDS = 30
_RESTARTS = 3
_EPS = 1e-10
# A cluster with fewer labelled pixels than this fraction of the mean counts as unseen.
_UNSEEN_FRACTION = 0.01


def spherical_kmeans(
    vectors: torch.Tensor, n_clusters: int, generator: torch.Generator
) -> torch.Tensor:
    """Return (n_clusters, C) unit centres of (N, C) unit vectors: the best of several runs.

    Args:
        vectors: The vectors, more than there are clusters.
        n_clusters: Number of centres.
        generator: Source of the draws.

    Source: Dhillon and Modha 2001, with the start of Arthur and Vassilvitskii 2007 (k-means++).
    """
    best, best_cosine = vectors[:n_clusters], -1.0
    for _ in range(_RESTARTS):
        centers = _spread_start(vectors, n_clusters, generator)
        for _ in range(_ROUNDS):
            centers = _recentre(vectors, centers)
        cosine = float((vectors @ centers.T).amax(dim=1).mean())
        if cosine > best_cosine:
            best, best_cosine = centers, cosine
    return best


def _spread_start(
    vectors: torch.Tensor, n_clusters: int, generator: torch.Generator
) -> torch.Tensor:
    """Draw vectors as centres, each with a probability that grows with its distance to them."""
    chosen = [int(torch.randint(len(vectors), (), generator=generator))]
    distance = 1 - vectors @ vectors[chosen[0]]
    while len(chosen) < n_clusters:
        cumulative = distance.clamp(min=0).double().cumsum(0)
        drawn = torch.rand((), generator=generator, dtype=torch.float64) * cumulative[-1].cpu()
        place = torch.searchsorted(cumulative, drawn.to(cumulative.device))
        chosen.append(min(int(place), len(vectors) - 1))
        distance = torch.minimum(distance, 1 - vectors @ vectors[chosen[-1]])
    return vectors[chosen]


def _recentre(vectors: torch.Tensor, centers: torch.Tensor) -> torch.Tensor:
    """Move each centre to the mean direction of its vectors; a centre without vectors stays."""
    nearest = (vectors @ centers.T).argmax(dim=1)
    sums = torch.zeros_like(centers).index_add_(0, nearest, vectors)
    moved = functional.normalize(sums, dim=-1, eps=_EPS)
    return torch.where(sums.norm(dim=-1, keepdim=True) > _EPS, moved, centers)


def start_whitened(head: StegoHead, features: torch.Tensor) -> None:
    """Initialise the code: features without the direction of their mean, strong ones weakened.

    The code becomes the leading principal components of what is left of the features, each divided
    by the root of its standard deviation. Whitening would divide by the standard deviation itself.
    Without biases, its direction does not depend on the length of a feature, which then nobody
    has to compute.

    Args:
        head: Its linear path is set, the output of its non-linear path and biases are set to zero.
        features: (N, C) unit features.
    """
    code_dim = head.linear_path[0].out_channels
    mean = functional.normalize(features.double().mean(dim=0), dim=0)
    centred = features.double() - torch.outer(features.double() @ mean, mean)
    variance, directions = torch.linalg.eigh(centred.T @ centred / len(features))
    variance, directions = variance.flip(0)[:code_dim], directions.flip(1)[:, :code_dim]
    # The sign of an eigenvector is arbitrary: make its largest entry positive.
    largest = directions.abs().argmax(dim=0, keepdim=True)
    directions = directions * directions.gather(0, largest).sign()
    weight = directions.T / variance.clamp(min=1e-12).pow(0.25)[:, None]
    weight = weight / (centred @ weight.T).norm(dim=-1).mean()  # codes of length 1 on average
    with torch.no_grad():
        linear, last = head.linear_path[0], head.nonlinear_path[2]
        linear.weight.copy_(weight[:, :, None, None])
        linear.bias.zero_()
        last.weight.zero_()
        last.bias.zero_()


def count_clusters(
    cluster: np.ndarray, label: np.ndarray, n_clusters: int, n_classes: int
) -> np.ndarray:
    """Return (n_classes, n_clusters) counts of labelled pixels; labels below 0 are left out."""
    known = label >= 0
    pairs = label[known].astype(np.int64) * n_clusters + cluster[known]
    counts = np.bincount(pairs, minlength=n_classes * n_clusters)
    return counts.reshape(n_classes, n_clusters)


def name_clusters(counts: np.ndarray, cover: str) -> np.ndarray:
    """Return the (n,) class of each cluster that maximises the correctly labelled pixels.

    Args:
        counts: (L, n) labelled pixels, row = class, column = cluster.
        cover: Which classes get a cluster in any case: ``all``, as published; those that are
            ``labelled``; or ``none``.

    Raises:
        InputError: If there are fewer clusters than such classes.
    """
    if cover == "none":
        return counts.argmax(axis=0)
    covered = np.flatnonzero((counts.sum(axis=1) > 0) | (cover == "all"))
    return covered[assign_clusters(counts[covered])]


def cluster_offsets(
    code: torch.Tensor, cluster: torch.Tensor, drive: torch.Tensor, n_clusters: int
) -> np.ndarray:
    """Return the directions of clusters from the mean of the drives they occur in.

    Subtracting the mean removes what a whole drive has in common, such as weather or rendering.

    Args:
        code: (N, D) codes of pixels.
        cluster: (N,) their clusters.
        drive: (N,) numbers of their drives, from 0.
        n_clusters: Number of clusters n.

    Returns:
        (n, D) unit vectors; zero for clusters without pixels.
    """
    n_drives = int(drive.max()) + 1
    totals = code.new_zeros(n_drives, code.shape[1]).index_add_(0, drive, code)
    means = totals / torch.bincount(drive, minlength=n_drives).clamp(min=1)[:, None]
    sums = code.new_zeros(n_clusters, code.shape[1])
    sums.index_add_(0, cluster, code - means[drive])
    return functional.normalize(sums, dim=-1, eps=_EPS).cpu().numpy()


def name_unseen(
    assignment: np.ndarray, counts: np.ndarray, labelled: np.ndarray, others: np.ndarray
) -> np.ndarray:
    """Name clusters that no labelled image shows after the most similar labelled cluster.

    Args:
        assignment: (n,) class of each cluster; a new array is returned.
        counts: (L, n) labelled pixels.
        labelled: (n, D) `cluster_offsets` in labelled images.
        others: (n, D) the same in other images.
    """
    pixels = counts.sum(axis=0)
    unseen = pixels < _UNSEEN_FRACTION * pixels.mean()
    if unseen.all():
        return assignment
    cosine = np.where(unseen, -np.inf, others @ labelled.T)
    return np.where(unseen, assignment[cosine.argmax(axis=1)], assignment)
