# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""The rotated transformer: the same answers, from tokens without outstanding channels."""

from dataclasses import replace

import pytest
import torch
from models import TINY, lively_checkpoint

from scenedino_ros.checkpoints.checkpoint import build_model
from scenedino_ros.core.model_config import FIELD_MODE
from scenedino_ros.inference.engines.shared_weights import shared_copy
from scenedino_ros.network.model import SceneDino
from scenedino_ros.network.rotated import rotate

pytestmark = pytest.mark.parity

OUTSTANDING = 30.0  # of one channel of the tokens


def lively(backbone: str) -> SceneDino:
    """Return a network whose factors differ, and one of whose channels outweighs the others."""
    model = build_model(lively_checkpoint(replace(TINY, backbone=backbone, image_size=(32, 64))))
    draws = torch.Generator().manual_seed(3)
    for name, values in model.encoder.vit.named_parameters():
        if "norm" in name or "gamma" in name:
            values.data = values.data + 0.5 * torch.rand(values.shape, generator=draws)
        elif name == "pos_embed":
            values.data = values.data.clone()
            values.data[..., 5] += OUTSTANDING
    return model


@pytest.mark.parametrize("backbone", ["dino_vits16", "dinov2_vits14", "dinov2reg_vits14"])
def test_a_rotated_network_gives_the_same_answers(backbone: str) -> None:
    model = lively(backbone)
    state = {name: values.clone() for name, values in model.state_dict().items()}
    rotated = shared_copy(model)
    rotate(rotated, 64)
    image = torch.rand(2, 3, 32, 64, generator=torch.Generator().manual_seed(1)) * 2 - 1
    with torch.inference_mode():
        expected, found = model.encode(image), rotated.encode(image)
        taps, turned = model.encoder(image), rotated.encoder(image)
    scale = expected.abs().max()
    torch.testing.assert_close(found / scale, expected / scale, rtol=0, atol=2e-5)
    # Tapped tokens are in other coordinates. The channel that outweighs the others is spread over
    # the last block; those of the other blocks have nothing of it.
    for tap, other in zip(taps[:3], turned[:3], strict=True):
        size, other_size = (t.square().mean(dim=(0, 2, 3)).sqrt() for t in (tap, other))
        assert size.max() > 2.5 * other_size.max()
        assert other_size[:-64].max() <= size.sort().values[-2] * 1.5
        torch.testing.assert_close(other.norm(dim=1), tap.norm(dim=1), rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(turned[3], taps[3], rtol=0, atol=2e-5)
    # Networks share their tensors with others.
    assert all(torch.equal(values, state[name]) for name, values in model.state_dict().items())


def test_a_convolutional_encoder_is_left_as_it_is() -> None:
    config = replace(
        TINY,
        backbone="resnet50",
        heads=(FIELD_MODE,),
        feature_dim=19,
        n_clusters=0,
        image_size=(64, 64),
    )
    model = build_model(lively_checkpoint(config))
    before = {name: id(values) for name, values in model.named_parameters()}
    rotate(model, 64)
    assert {name: id(values) for name, values in model.named_parameters()} == before
