# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""A vision transformer in other coordinates: the same answers, from values that round better.

In a few channels the tokens of a transformer are many times larger than in all others. Numbers
that share a scale with them are rounded coarsely. So the channels are sorted by the size of what
is written to them, and every block of them that share a scale is rotated within itself, which
spreads the size of one over all of the block. All channels in one block would spread it even more,
but what is written to an ordinary channel would be rounded like what is written to the largest.
The matrix of it all, orthogonal, multiplies into the weights:

* layer normalisation without its factors commutes with it, as each rotation keeps the vector of
  ones, and so mean and norm of a token; the factors belong to the layer that reads it;
* what a block adds to the tokens, layer scale included, is written in the new coordinates;
* attention mixes values of different tokens, not of different channels, so the values of a head
  are rotated among themselves and rotated back by the layer that reads them;
* the layers that read tapped tokens rotate them back.

Source: Ashkboos et al., QuaRot, NeurIPS 2024, for the idea.
"""

import torch
from torch import nn
from torch.nn import functional

from scenedino_ros.network.encoder import Encoder
from scenedino_ros.network.model import SceneDino
from scenedino_ros.network.transformer import Attention, LayerScale, VisionTransformer

_SEED = 0


@torch.no_grad()
def rotate(model: SceneDino, together: int) -> None:
    """Rotate the tokens of a network whose encoder is a transformer; its answers stay the same.

    Args:
        model: The network; the tensors that change are replaced, not written to. It must not be
            trained afterwards. One with a convolutional encoder is left as it is.
        together: Number of channels that share a scale.
    """
    if not isinstance(model.encoder, Encoder):
        return
    vit = model.encoder.vit
    rotation = _rotation_in_blocks(_sizes(vit), together)
    _rotate_embedding(vit, rotation)
    for block in vit.blocks:
        block.norm1 = _read(block.attn.qkv, block.norm1, rotation)
        _rotate_values(block.attn)
        block.ls1 = _write(block.attn.proj, block.ls1, rotation)
        block.norm2 = _read(block.mlp.fc1, block.norm2, rotation)
        block.ls2 = _write(block.mlp.fc2, block.ls2, rotation)
    # The last tap is normalised again, so it is rotated back here.
    back = nn.Linear(len(rotation), len(rotation))
    nn.init.eye_(back.weight)
    nn.init.zeros_(back.bias)
    vit.norm = nn.Sequential(_read(back, vit.norm, rotation), back)
    for project in model.decoder.reassemble_blocks.projects[:-1]:
        weight = project.weight.flatten(1).double() @ rotation
        project.weight = _parameter(weight.view_as(project.weight))


def _sizes(vit: VisionTransformer) -> torch.Tensor:
    """Return the (C,) float64 size of what is written to each channel of the tokens."""
    proj = vit.patch_embed.proj
    squares = vit.pos_embed[0].double().square().mean(dim=0)
    squares += proj.weight.flatten(1).double().square().sum(dim=1) + proj.bias.double().square()
    for block in vit.blocks:
        for layer, scale in ((block.attn.proj, block.ls1), (block.mlp.fc2, block.ls2)):
            written = layer.weight.double().square().sum(dim=1) + layer.bias.double().square()
            squares += _factors(scale, len(written)).square() * written
    return squares.sqrt()


def _rotation_in_blocks(sizes: torch.Tensor, together: int) -> torch.Tensor:
    """Return the (C, C) float64 matrix that sorts channels, and rotates blocks of them."""
    matrix = torch.zeros(len(sizes), len(sizes), dtype=torch.float64)
    first = 0
    for channels in sizes.argsort().split(together):
        matrix[channels, first : first + len(channels)] = _rotation(len(channels))
        first += len(channels)
    return matrix


def _rotation(width: int, keeps_ones: bool = True) -> torch.Tensor:
    """Return a random (C, C) float64 orthogonal matrix.

    Args:
        width: Its size C.
        keeps_ones: Whether it maps the vector of ones to itself.
    """
    draws = torch.randn(width, width, generator=torch.Generator().manual_seed(_SEED))
    matrix = torch.linalg.qr(draws.double()).Q
    if keeps_ones:
        ones = torch.full((width,), width**-0.5, dtype=torch.float64)
        # The reflection that swaps where the ones go and the ones.
        across = functional.normalize(matrix @ ones - ones, dim=0)
        matrix -= 2 * torch.outer(across, across @ matrix)
    return matrix


def _rotate_embedding(vit: VisionTransformer, rotation: torch.Tensor) -> None:
    """Rotate all that the tokens consist of before the first block."""
    proj = vit.patch_embed.proj
    weight = rotation.T @ proj.weight.flatten(1).double()
    proj.weight = _parameter(weight.view_as(proj.weight))
    proj.bias = _parameter(proj.bias.double() @ rotation)
    vit.cls_token = _parameter(vit.cls_token.double() @ rotation)
    vit.pos_embed = _parameter(vit.pos_embed.double() @ rotation)
    if vit.reg_token is not None:
        vit.reg_token = _parameter(vit.reg_token.double() @ rotation)


def _read(layer: nn.Linear, norm: nn.LayerNorm, rotation: torch.Tensor) -> nn.LayerNorm:
    """Let a layer read rotated tokens; return their normalisation, whose factors it takes over."""
    weight, bias = layer.weight.double(), layer.bias.double()
    layer.weight = _parameter((weight * norm.weight.double()) @ rotation)
    layer.bias = _parameter(bias + weight @ norm.bias.double())
    return nn.LayerNorm(len(rotation), norm.eps, elementwise_affine=False)


def _write(layer: nn.Linear, scale: nn.Module, rotation: torch.Tensor) -> nn.Identity:
    """Let a layer write rotated tokens; return what is left of the scale it takes over."""
    factors = _factors(scale, len(rotation))
    layer.weight = _parameter(rotation.T @ (layer.weight.double() * factors[:, None]))
    layer.bias = _parameter((layer.bias.double() * factors) @ rotation)
    return nn.Identity()


def _factors(scale: nn.Module, width: int) -> torch.Tensor:
    """Return the (C,) float64 factors of a layer scale, ones where there is none."""
    if isinstance(scale, LayerScale):
        return scale.gamma.double()
    return torch.ones(width, dtype=torch.float64)


def _rotate_values(attention: Attention) -> None:
    """Rotate the values of each head."""
    qkv, proj, heads = attention.qkv, attention.proj, attention.heads
    width = proj.in_features // heads
    rotation = _rotation(width, keeps_ones=False)
    others, values = qkv.weight.double().tensor_split([2 * proj.in_features])
    turned = torch.einsum("ij,hic->hjc", rotation, values.unflatten(0, (heads, width)))
    qkv.weight = _parameter(torch.cat([others, turned.flatten(0, 1)]))
    of_others, of_values = qkv.bias.double().tensor_split([2 * proj.in_features])
    turned = of_values.unflatten(0, (heads, width)) @ rotation
    qkv.bias = _parameter(torch.cat([of_others, turned.flatten()]))
    read = proj.weight.double().unflatten(1, (heads, width)) @ rotation
    proj.weight = _parameter(read.flatten(1))


def _parameter(values: torch.Tensor) -> nn.Parameter:
    return nn.Parameter(values.float(), requires_grad=False)
