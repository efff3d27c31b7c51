# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""The vision transformer agrees with timm's: names, values, gradients, and weights of a seed."""

import pytest
import timm
import torch

from scenedino_ros.core.backbones import BACKBONES, BackboneSpec
from scenedino_ros.network import transformer
from scenedino_ros.network.transformer import VisionTransformer

GRID = (2, 3)  # patches


def of_timm(spec: BackboneSpec) -> torch.nn.Module:
    size = tuple(spec.patch * edge for edge in GRID)
    return timm.create_model(spec.timm_name, pretrained=False, num_classes=0, img_size=size)


@pytest.mark.parametrize("name", BACKBONES)
def test_it_has_the_parameters_of_timm_in_their_order(name: str) -> None:
    spec = BACKBONES[name]
    with torch.device("meta"):
        ours, theirs = VisionTransformer(spec, GRID), of_timm(spec)
    expected = [(key, value.shape) for key, value in theirs.named_parameters()]
    assert [(key, value.shape) for key, value in ours.named_parameters()] == expected
    assert list(ours.state_dict()) == list(theirs.state_dict())


@pytest.mark.parametrize("name", ["dino_vits16", "dinov2_vits14", "dinov2reg_vits14"])
def test_it_agrees_with_timm(name: str) -> None:
    spec = BACKBONES[name]
    torch.manual_seed(0)
    theirs = of_timm(spec)
    torch.manual_seed(0)
    ours = VisionTransformer(spec, GRID)
    state = ours.state_dict()
    for key, value in theirs.state_dict().items():
        assert torch.equal(state[key], value), key
    for value in state.values():  # so large that every part matters
        scale = 1.0 if value.ndim == 1 or value.shape[0] == 1 else 0.05
        value.add_(scale * torch.randn(value.shape))
    theirs.load_state_dict(state)
    image = torch.randn(2, 3, *(spec.patch * edge for edge in GRID))
    expected, taps = theirs.forward_intermediates(
        image, indices=list(spec.tapped_blocks), output_fmt="NLC"
    )
    final, tapped = ours(image, spec.tapped_blocks)
    torch.testing.assert_close(final, expected)
    for got, wanted in zip(tapped, taps, strict=True):
        torch.testing.assert_close(got[:, spec.prefix_tokens :], wanted)
    weight = torch.randn(final.shape)
    (final * weight).sum().backward()
    (expected * weight).sum().backward()
    for (key, got), wanted in zip(ours.named_parameters(), theirs.parameters(), strict=True):
        error = (got.grad - wanted.grad).abs().max()
        assert error <= 1e-4 * wanted.grad.abs().max(), key
        assert wanted.grad.any(), key


def test_two_products_replace_fused_attention_where_scores_are_few_and_nothing_is_trained(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    torch.manual_seed(0)
    layer = transformer.Attention(64, 2).bfloat16()
    x = torch.randn(1, 5, 64).bfloat16()
    trained = layer(x)
    with torch.no_grad():
        products = layer(x)
        monkeypatch.setattr(transformer, "_FEW_SCORES", 2 * 5**2 - 1)
        fused = layer(x)
        exact = layer.float()(x.float())
    assert torch.equal(trained, fused)
    assert not torch.equal(products, fused)
    for rounded in (products, fused):
        torch.testing.assert_close(rounded.float(), exact, rtol=0, atol=0.01)
