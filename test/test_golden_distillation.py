# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Parity of the parts of a stage-2 step with the published ones, gradients included."""

import numpy as np
import pytest
import torch
from golden_arrays import close, same_winner

from scenedino_ros.core.errors import InputError
from scenedino_ros.core.labels import kitti360_train_ids
from scenedino_ros.core.metrics import assign_clusters, class_iou, merge_clusters
from scenedino_ros.network.render import pixel_rays
from scenedino_ros.network.semantics import ClusterHead, LinearHead, StegoHead
from train.semantics.crops import (
    BallDraws,
    ball_points,
    distance_bins,
    solid_points,
    surface_points,
)
from train.semantics.distillation import (
    NEIGHBOUR,
    RANDOM,
    SELF,
    cluster_loss,
    correlation_loss,
    probe_loss,
)

pytestmark = pytest.mark.parity


def test_correlation_losses(golden) -> None:
    a = golden("stego_loss")
    for i, kind in enumerate((RANDOM, NEIGHBOUR, SELF)):
        np.testing.assert_allclose(a["weights_shifts"][i], [kind.weight, kind.shift], rtol=1e-6)
        close(correlation_loss(a["feature_corr"], a["code_corr"], kind), a[f"loss_w{i}"])


def test_cluster_head(golden) -> None:
    a = golden("heads")
    n_clusters, width = a["kmeans_centers"].shape
    head = ClusterHead(width, n_clusters, int(a["kmeans_assignment"].max()) + 1)
    with torch.no_grad():
        head.cluster_centers.copy_(a["kmeans_centers"])
    cosines = head(a["kmeans_in"])
    same_winner(cosines, a["kmeans_labels"])
    assert torch.equal(a["kmeans_assignment"][a["kmeans_labels"]], a["kmeans_assigned"])
    loss = cluster_loss(cosines)
    close(loss, a["kmeans_loss"])
    loss.backward()
    close(head.cluster_centers.grad, a["kmeans_grad_centers"])


def test_code_head(golden) -> None:
    a = golden("heads")
    code_dim, width = a["stego_linear_path_0_weight"].shape[:2]
    head = StegoHead(width, code_dim)
    names = ("linear_path.0", "nonlinear_path.0", "nonlinear_path.2")
    head.load_state_dict(
        {
            f"{name}.{part}": a[f"stego_{name.replace('.', '_')}_{part}"]
            for name in names
            for part in ("weight", "bias")
        }
    )
    close(head(a["stego_in"]), a["stego_out"])


@pytest.mark.parametrize("kind", ["linear", "mlp"])
def test_probes(golden, kind: str) -> None:
    a = golden("heads")
    n_classes, width = a["linear_w"].shape
    head = LinearHead(width, n_classes, mlp=kind == "mlp")
    keys = {"linear.weight": "linear_w", "linear.bias": "linear_b"}
    if kind == "mlp":
        keys = {
            "linear.0.weight": "mlp_w1",
            "linear.0.bias": "mlp_b1",
            "linear.2.weight": "mlp_w2",
            "linear.2.bias": "mlp_b2",
        }
    head.load_state_dict({key: a[name] for key, name in keys.items()})
    logits = head(a["probe_in"])
    close(probe_loss(logits, a["probe_target"]), a[f"{kind}_loss"])
    same_winner(logits, a[f"{kind}_pred"])


def test_surface_crops(golden) -> None:
    a = golden("sample_3d")
    n_points = int(a["n_samples"])

    def field(points: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        x, y, z = points.unbind(-1)
        density = 1 + torch.sin(1.3 * x) + torch.cos(0.7 * z) * torch.cos(2 * y)
        feature = [
            torch.sin(x + 0.5),
            torch.cos(2 * y),
            torch.sin(0.3 * z),
            torch.cos(0.1 * z + x),
        ]
        return density, torch.stack(feature, dim=-1)

    rays = pixel_rays(a["K"], *a["depth"].shape[-2:])
    features, alphas = [], []
    for item, distance in enumerate(a["depth"].squeeze(1)):
        close(distance_bins(distance), a["quantiles"][item])
        picks = a["pixel_pick"][item]
        draws = BallDraws(a["randn"][item], a["rand"][item])
        for i, centre in surface_points(distance, rays, lambda i, _, picks=picks: int(picks[i])):
            points = ball_points(centre, float(a["radius"]), draws, i)
            close(points, a["points"][item, i], atol=1e-4)
            kept = solid_points(points, field, n_points)
            if kept is not None:
                alphas.append(1 - torch.exp(-kept[0]))
                features.append(kept[1])
    close(torch.stack(features), a["out_features"][0], atol=1e-4)
    close(torch.stack(alphas), a["out_alpha"][0, ..., 0], atol=1e-4)


@pytest.mark.parametrize("kind", ["square", "over"])
def test_cluster_assignment(golden, kind: str) -> None:
    a = golden("assignment")
    confusion = a[f"{kind}_confusion"].numpy()
    assignment = assign_clusters(confusion)
    objective = confusion[assignment, np.arange(len(assignment))].sum()
    assert objective == int(a[f"{kind}_objective"])
    assert set(assignment) == set(range(len(confusion)))
    merged = merge_clusters(confusion, a[f"{kind}_assignment"].numpy())
    np.testing.assert_array_equal(merged, a[f"{kind}_merged"])
    iou = class_iou(merged)
    np.testing.assert_allclose(iou, a[f"{kind}_iou"], atol=1e-6)
    np.testing.assert_allclose(iou.mean(), a[f"{kind}_miou"], atol=1e-6)
    weights = a["class_weights"].numpy()
    weighted = (iou * weights / weights.mean()).mean()
    np.testing.assert_allclose(weighted, a[f"{kind}_weighted_miou"], atol=1e-5)
    accuracy = np.trace(merged) / merged.sum()
    np.testing.assert_allclose(accuracy, a[f"{kind}_acc"], atol=1e-6)


def test_too_few_clusters_are_refused() -> None:
    with pytest.raises(InputError, match="19 classes need as many clusters, got 7"):
        assign_clusters(np.zeros((19, 7), np.int64))


def test_kitti_360_labels(golden) -> None:
    a = golden("label_map")
    ids = a["kitti_id"].numpy()
    expected = a["train_id"].numpy().copy()
    expected[ids > 44] = -1  # the reference calls unknown ids road; they are ignored here
    np.testing.assert_array_equal(kitti360_train_ids(ids), expected)
