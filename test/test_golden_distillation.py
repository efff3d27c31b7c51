"""Parity of the stage-2 arithmetic with the published one, gradients included."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from golden_arrays import Arrays, close, relative_error
from torch.nn import functional

from scenedino_ros.core.errors import InputError
from scenedino_ros.core.labels import kitti360_train_ids
from scenedino_ros.core.metrics import assign_clusters, class_iou, merge_clusters
from scenedino_ros.core.render import pixel_rays
from scenedino_ros.core.semantics import ClusterHead, LinearHead, SemanticHead, StegoHead
from train.distillation import (
    NEIGHBOUR,
    RANDOM,
    SELF,
    CropMemory,
    PartnerDraws,
    cluster_loss,
    correlation_loss,
    describe_crops,
    distillation_losses,
    probe_loss,
)
from train.surface import BallDraws, ball_points, distance_bins, solid_points, surface_points


def test_correlation_losses(golden) -> None:
    a = golden("stego_loss")
    for i, kind in enumerate((RANDOM, NEIGHBOUR, SELF)):
        np.testing.assert_allclose(a["weights_shifts"][i], [kind.weight, kind.shift], rtol=1e-6)
        close(correlation_loss(a["feature_corr"], a["code_corr"], kind), a[f"loss_w{i}"])


def test_cluster_head(golden) -> None:
    a = golden("heads")
    head = ClusterHead(9, 7, 5)
    with torch.no_grad():
        head.cluster_centers.copy_(a["kmeans_centers"])
    cosines = head(a["kmeans_in"])
    assert torch.equal(cosines.argmax(-1), a["kmeans_labels"])
    assert torch.equal(a["kmeans_assignment"][cosines.argmax(-1)], a["kmeans_assigned"])
    loss = cluster_loss(cosines)
    close(loss, a["kmeans_loss"])
    loss.backward()
    close(head.cluster_centers.grad, a["kmeans_grad_centers"])


def test_code_head(golden) -> None:
    a = golden("heads")
    head = StegoHead(9, 4)
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
    head = LinearHead(9, 5, mlp=kind == "mlp")
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
    assert torch.equal(logits.argmax(-1), a[f"{kind}_pred"])


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

    rays = pixel_rays(a["K"], 12, 24)
    features, alphas = [], []
    for item in range(2):
        distance = a["depth"][item, 0]
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


def head_of(a: Arrays) -> SemanticHead:
    """Build the semantic head with golden weights."""
    head = SemanticHead(24, 8, 19, 19, mlp_probe=False)
    head.load_state_dict({key[3:]: value for key, value in a.items() if key.startswith("sd_")})
    return head


def test_four_training_steps(golden) -> None:
    a = golden("stage2_head")
    head = head_of(a)
    memory = CropMemory(int(a["buffer_size"]), 12, 24)
    for s in range(4):
        step = SimpleNamespace(
            **{key[3:]: value for key, value in a.items() if key.startswith(f"s{s}_")}
        )
        head.zero_grad()
        draws = PartnerDraws(step.knn_pick, step.random_pick)
        crops = functional.normalize(step.surface_features, dim=-1, eps=1e-10)
        descriptors = describe_crops(crops)
        memory.write(crops, descriptors)
        distilled = distillation_losses(
            head.stego_head, crops, descriptors, memory, draws, int(a["knn"])
        )
        assert int(memory.filled) == int(step.buffer_filled)
        for i, name in enumerate(("self", "nn", "random")):
            expected = getattr(step, f"dino_{name}_corr"), getattr(step, f"stego_{name}_corr")
            close(distilled.feature_correlations[i], expected[0])
            close(distilled.code_correlations[i], expected[1])
        close(distilled.own, step.loss_self_loss)
        close(distilled.neighbour, step.loss_knn_loss)
        close(distilled.random, step.loss_random_loss)
        direct = functional.normalize(step.rendered_features, dim=-1, eps=1e-10)
        code = head.stego_head(direct).detach()
        cosines = head.direct_cluster_head(direct), head.stego_cluster_head(code)
        assert torch.equal(cosines[0].argmax(-1), step.direct_cluster_labels)
        assert torch.equal(cosines[1].argmax(-1), step.stego_cluster_labels)
        losses = [cluster_loss(c) for c in cosines]
        close(losses[0], step.loss_direct_cluster_loss)
        close(losses[1], step.loss_stego_cluster_loss)
        if hasattr(step, "segs"):
            known = step.segs <= 44  # the reference calls unknown ids road
            ours = torch.from_numpy(kitti360_train_ids(step.segs.numpy()))
            assert torch.equal(ours[known], step.target[known])
            assert (ours[~known] == -1).all()
            losses.append(probe_loss(head.direct_linear_head(direct), step.target))
            losses.append(probe_loss(head.stego_linear_head(code), step.target))
            close(losses[2], step.loss_direct_linear_loss)
            close(losses[3], step.loss_stego_linear_loss)
        total = distilled.total + sum(losses)
        close(total, step.loss_total_loss)
        total.backward()
        for name, parameter in head.named_parameters():
            expected = a.get(f"s{s}_grad_{name}")
            if expected is not None:
                gradient = parameter.grad
                if gradient is None:
                    assert (expected == 0).all(), name
                else:
                    assert relative_error(gradient, expected) < 1e-3, name
    close(memory.descriptors, a["final_gap_buffer"])
    close(memory.crops, a["final_patch_buffer"])


@pytest.mark.parametrize("kind", ["square", "over"])
def test_cluster_assignment(golden, kind: str) -> None:
    a = golden("assignment")
    confusion = a[f"{kind}_confusion"].numpy()
    assignment = assign_clusters(confusion)
    objective = confusion[assignment, np.arange(len(assignment))].sum()
    assert objective == int(a[f"{kind}_objective"])
    assert set(assignment) == set(range(19))
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
