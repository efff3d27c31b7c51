# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""The folded network against the plain one: the same numbers from less work."""

import dataclasses

import pytest
import torch
from models import TINY, lively_checkpoint
from torch.nn import functional

from scenedino_ros.checkpoints.checkpoint import build_model
from scenedino_ros.core.model_config import PREDICTION_MODES, ModelConfig
from scenedino_ros.inference.engines.engine import points_on_rays
from scenedino_ros.inference.engines.graph_export import map_size
from scenedino_ros.inference.engines.torch_engine import TorchEngine
from scenedino_ros.inference.grid_view import encode_depths, points_at
from scenedino_ros.network.field import sample_map
from scenedino_ros.network.folded import FoldedSceneDino, bilinear_taps
from scenedino_ros.network.folded_head import FoldedHead

pytestmark = pytest.mark.parity


@pytest.mark.parametrize("unread", [0.5, 1.0], ids=["half", "all"])
@pytest.mark.parametrize("mode", ["stego_kmeans", "stego_linear"])
def test_hidden_units_that_nothing_reads_are_not_computed(mode: str, unread: float) -> None:
    model = build_model(lively_checkpoint())
    second = model.semantics.stego_head.nonlinear_path[2]
    left = int(len(second.weight[0]) * (1 - unread))
    weight = second.weight.detach().clone()  # the model shares the checkpoint's
    weight[:, left:] = 0
    second.weight = torch.nn.Parameter(weight)
    feature = torch.randn(300, TINY.feature_dim, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        head = FoldedHead(model, mode)
        assert len(head.first) == TINY.code_dim + left
        expected = model.classify(feature, mode)[1]
        torch.testing.assert_close(head.scores(feature), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("mode", ["stego_kmeans", "stego_linear"])
def test_a_code_without_biases_needs_no_norm(mode: str) -> None:
    model = build_model(lively_checkpoint())
    assert FoldedHead(model, mode).needs_norm
    head = model.semantics.stego_head
    for conv in (head.linear_path[0], head.nonlinear_path[0], head.nonlinear_path[2]):
        conv.bias = torch.nn.Parameter(torch.zeros_like(conv.bias))
    feature = torch.randn(300, TINY.feature_dim, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        folded = FoldedHead(model, mode)
        assert not folded.needs_norm
        expected = model.classify(feature, mode)[1]
        torch.testing.assert_close(folded.scores(feature), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("mlp_probe", [False, True], ids=["linear", "mlp"])
@pytest.mark.parametrize("mode", PREDICTION_MODES)
def test_head_gives_the_same_scores_and_classes(mode: str, mlp_probe: bool) -> None:
    model = build_model(lively_checkpoint(dataclasses.replace(TINY, mlp_probe=mlp_probe)))
    feature = torch.randn(3000, TINY.feature_dim, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        label, scores = model.classify(feature, mode)
        folded_label, folded_scores = FoldedHead(model, mode).classify(feature)
    torch.testing.assert_close(folded_scores, scores, rtol=1e-4, atol=1e-5)
    best = scores.topk(2, dim=-1).values
    clear = best[:, 0] - best[:, 1] > 1e-4
    assert clear.float().mean() > 0.9
    assert torch.equal(folded_label[clear], label[clear])


@pytest.mark.parametrize(
    "config",
    [
        TINY,
        dataclasses.replace(TINY, hidden_dim=16),
        dataclasses.replace(TINY, upsample_tail=True),
        dataclasses.replace(TINY, upsample_fusion=False),
        dataclasses.replace(TINY, upsample_fusion=False, upsample_tail=True),
        dataclasses.replace(TINY, backbone="dino_vits8", image_size=(40, 72)),
    ],
    ids=[
        "half size",
        "half size, few hidden units",
        "full size",
        "quarter size",
        "half size, by the tail",
        "odd patch grid",
    ],
)
def test_hidden_map_is_the_first_layer_of_the_plain_map(config: ModelConfig) -> None:
    model = build_model(lively_checkpoint(config))
    height, width = config.image_size
    image = torch.rand(2, 3, height, width, generator=torch.Generator().manual_seed(1)) * 2 - 1
    lin_in = model.field.lin_in
    with torch.inference_mode():
        plain = model.encode(image)
        assert plain.shape[2:] == map_size(config)
        weight = lin_in.weight[:, : config.decoder_width, None, None]
        expected = functional.conv2d(plain, weight, lin_in.bias).permute(0, 2, 3, 1)
        folded = FoldedSceneDino(model, "stego_kmeans")
        assert (folded.tail.last is None) == (config.hidden_dim == 16 or config.upsample_tail)
        maps = folded.hidden_map(image), folded.hidden_map_in_strips(image)
    scale = expected.abs().max()
    for found in maps:
        torch.testing.assert_close(found / scale, expected / scale, rtol=1e-5, atol=1e-5)


def test_bilinear_taps_equal_grid_sample() -> None:
    generator = torch.Generator().manual_seed(2)
    feature_map = torch.rand(1, 5, 7, 11, generator=generator)
    uv_norm = torch.rand(500, 2, generator=generator) * 4 - 2
    uv_norm = torch.cat([uv_norm, torch.tensor([[-1.0, -1.0], [1.0, 1.0], [0.0, 0.0]])])
    index, weight = bilinear_taps(uv_norm, 7, 11)
    rows = feature_map[0].flatten(1).T
    ours = (rows[index.long()] * weight.unsqueeze(-1)).sum(dim=1)
    torch.testing.assert_close(ours, sample_map(feature_map, uv_norm[None])[0])
    torch.testing.assert_close(weight.sum(dim=1), torch.ones(503))


def test_points_on_rays_share_what_does_not_depend_on_their_depth() -> None:
    """Along each ray, and in float32: the answers at the same points one by one."""
    draws = torch.Generator().manual_seed(2)
    model = build_model(lively_checkpoint())
    engine = TorchEngine(model, torch.device("cpu"), "float32", "stego_kmeans")
    rows = torch.randn(6 * 20, TINY.hidden_dim, generator=draws)
    uv_norm = torch.rand(30, 2, generator=draws) * 2 - 1
    depth = torch.rand(30, 7, generator=draws) * 60 + 1
    at_any_depth = points_at(uv_norm, torch.full((30,), 5.0), (6, 20), model.code)
    depth_code = encode_depths(model.code, depth.flatten()).view(30, 7, -1)
    one_by_one = points_at(uv_norm.repeat_interleave(7, 0), depth.flatten(), (6, 20), model.code)
    for found, expected in zip(points_on_rays(at_any_depth, depth_code), one_by_one, strict=True):
        assert torch.equal(found, expected)
    density, hidden = engine.ray_samples(rows, at_any_depth, depth_code)
    expected_density, expected_hidden = engine.samples(rows, one_by_one)
    torch.testing.assert_close(density.flatten(), expected_density, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(hidden.flatten(0, 1), expected_hidden, rtol=1e-5, atol=1e-5)
    assert torch.equal(engine.ray_density(rows, at_any_depth, depth_code), density)
