# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Clusters and their names: k-means on directions, the whitened code, and who gets which class."""

import numpy as np
import pytest
import torch
from torch.nn import functional

from scenedino_ros.core.errors import InputError
from scenedino_ros.network.semantics import StegoHead
from train.semantics.clustering import (
    cluster_offsets,
    count_clusters,
    name_clusters,
    name_unseen,
    spherical_kmeans,
    start_whitened,
)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def blobs(n: int = 60) -> tuple[torch.Tensor, torch.Tensor]:
    """Return unit vectors around five axes, and which axis each belongs to."""
    group = torch.arange(n) % 5
    noise = 0.1 * torch.randn(n, 8, generator=generator())
    return functional.normalize(torch.eye(8)[group] + noise, dim=-1), group


def test_kmeans_finds_separate_groups():
    vectors, group = blobs()
    centers = spherical_kmeans(vectors, 5, generator())
    torch.testing.assert_close(centers.norm(dim=1), torch.ones(5))
    nearest = (vectors @ centers.T).argmax(dim=1)
    assert sorted(nearest[:5].tolist()) == list(range(5))
    assert torch.equal(nearest, nearest[:5][group])


def test_kmeans_is_the_same_for_the_same_draws():
    vectors = functional.normalize(torch.randn(200, 6, generator=generator(1)), dim=-1)
    a, b = (spherical_kmeans(vectors, 7, generator(2)) for _ in range(2))
    assert torch.equal(a, b)
    assert not torch.equal(a, spherical_kmeans(vectors, 7, generator(3)))


def test_whitened_code_has_no_mean_no_biases_and_roots_of_deviations():
    scales = torch.tensor([2.0, 1.0, 0.5, 0.25, 0.01, 0.01])
    features = torch.randn(4000, 6, generator=generator()) * scales
    features[:, 5] += 5  # the direction of the mean, but for the little that 4000 draws leave
    head = StegoHead(6, 3)
    start_whitened(head, features)
    x = features[:, :, None, None]
    raw = (head.linear_path(x) + head.nonlinear_path(x))[..., 0, 0].detach()
    assert not head.linear_path[0].bias.any()
    torch.testing.assert_close(raw.mean(dim=0), torch.zeros(3), atol=1e-5, rtol=0)
    deviation = raw.std(dim=0)
    torch.testing.assert_close(
        deviation / deviation[0], (scales[:3] / 2).sqrt(), rtol=0.05, atol=0
    )
    covariance = raw.T @ raw / len(raw)
    assert (covariance - covariance.diag().diag()).abs().max() < 1e-4
    assert raw.norm(dim=1).mean() == pytest.approx(1, rel=1e-4)


def test_whitened_code_starts_from_which_it_can_learn():
    head = StegoHead(6, 3)
    start_whitened(head, torch.rand(50, 6))
    head(torch.rand(4, 6)).square().cumsum(0).sum().backward()
    assert head.nonlinear_path[2].weight.grad.abs().sum() > 0


def test_counts_leave_unknown_labels_out():
    counts = count_clusters(np.array([0, 1, 1, 2]), np.array([1, 1, -1, 0]), 3, 2)
    assert counts.tolist() == [[0, 0, 1], [1, 1, 0]]


def test_classes_get_a_cluster_where_they_are_to_be_covered():
    counts = np.array([[9, 8, 0, 5], [0, 0, 0, 0], [0, 1, 7, 0], [0, 0, 0, 1]])
    assert sorted(name_clusters(counts, "all")) == [0, 1, 2, 3]
    assert name_clusters(counts, "labelled").tolist() == [0, 0, 2, 3]
    assert name_clusters(counts, "none").tolist() == [0, 0, 2, 0]
    with pytest.raises(InputError, match="4 classes need as many clusters, got 2"):
        name_clusters(counts[:, :2], "all")


def test_offsets_leave_out_what_a_drive_has_in_common():
    vectors = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    code = torch.cat([vectors, vectors + torch.tensor([7.0, -3.0])])
    cluster = torch.tensor([0, 1, 2, 3])
    offsets = cluster_offsets(code, cluster, torch.tensor([0, 0, 1, 1]), 5)
    np.testing.assert_allclose(offsets[0], offsets[2], atol=1e-6)
    np.testing.assert_allclose(offsets[1], offsets[3], atol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(offsets, axis=1), [1, 1, 1, 1, 0], atol=1e-6)


def test_unseen_clusters_are_named_after_the_one_most_like_them():
    counts = np.array([[500, 0, 0, 0], [0, 500, 0, 1]])
    names = np.array([0, 1, 0, 0])
    labelled = np.array([[1.0, 0], [0, 1.0], [0, 0], [0, 0]])
    others = np.array([[0, 0], [0, 0], [0.1, 0.9], [0.8, -0.2]])
    assert name_unseen(names, counts, labelled, others).tolist() == [0, 1, 1, 0]
    assert name_unseen(names, np.zeros_like(counts), labelled, others).tolist() == names.tolist()
    rare = np.array([[50_000, 0, 0, 0], [0, 400, 0, 0]])  # fewer than 1 % of the most, yet seen
    like_the_first = others.copy()
    like_the_first[1] = labelled[0]
    assert name_unseen(names, rare, labelled, like_the_first).tolist() == [0, 1, 1, 0]
