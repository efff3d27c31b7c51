# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""The vision transformer of DINO and DINOv2, with the parameter names that timm gives them.

Source: Dosovitskiy et al., An Image is Worth 16x16 Words, ICLR 2021; layer scale of DINOv2:
Touvron et al., Going deeper with Image Transformers, ICCV 2021; register tokens: Darcet et al.,
Vision Transformers Need Registers, ICLR 2024.
"""

import math
from collections.abc import Collection

import torch
from torch import nn
from torch.nn import functional

from scenedino_ros.core.backbones import BackboneSpec

_DEPTH = 12  # blocks of the small and the base transformers
_MLP_RATIO = 4  # hidden layer of a block's MLP over its width
_EPS = 1e-6  # of layer normalisation
_LAYER_SCALE = 1e-5  # before training
_STD = 0.02  # of weights and position embedding before training
_TOKEN_STD = 1e-6  # of class and register tokens before training
# Scores of all heads that are few, at most: 16 MiB in float32.
_FEW_SCORES = 1 << 22


class VisionTransformer(nn.Module):
    """Tokens of the patches of an image, after the class token and any register tokens."""

    def __init__(self, spec: BackboneSpec, grid: tuple[int, int]) -> None:
        """Build the transformer with random weights: those that timm draws from the same seed.

        Args:
            spec: Its sizes.
            grid: Rows and columns of patches of the image.
        """
        super().__init__()
        width = spec.width
        self.patch_embed = PatchEmbedding(spec.patch, width)
        self.cls_token = nn.Parameter(torch.empty(1, 1, width))
        self.reg_token: nn.Parameter | None = None
        if spec.register_tokens:
            self.reg_token = nn.Parameter(torch.empty(1, spec.register_tokens, width))
        positions = spec.prefix_positions + grid[0] * grid[1]
        self.pos_embed = nn.Parameter(torch.empty(1, positions, width))
        self.blocks = nn.ModuleList(
            Block(width, spec.heads, spec.layer_scale) for _ in range(_DEPTH)
        )
        self.norm = nn.LayerNorm(width, eps=_EPS)
        self._positions_of_prefix = spec.prefix_positions
        if not self.pos_embed.is_meta:  # drawing on the meta device imports PyTorch's compiler
            self._draw_weights()

    @torch.no_grad()
    def _draw_weights(self) -> None:
        _draw_normal(self.pos_embed)
        self.cls_token.normal_(std=_TOKEN_STD)
        if self.reg_token is not None:
            self.reg_token.normal_(std=_TOKEN_STD)
        for layer in self.modules():
            if isinstance(layer, nn.Linear):
                _draw_normal(layer.weight)
                layer.bias.zero_()

    def forward(
        self, image: torch.Tensor, tapped: Collection[int] = ()
    ) -> tuple[torch.Tensor, list[torch.Tensor]]:
        """Encode images.

        Args:
            image: (B, 3, H, W), normalised; the patch grid the transformer is built for.
            tapped: Blocks, counted from 0, whose output is wanted.

        Returns:
            (B, T, C) final normalised tokens, and the (B, T, C) residual stream after each tapped
            block, in the order of the blocks.
        """
        x = self._with_positions(self.patch_embed(image))
        taps = []
        for index, block in enumerate(self.blocks):
            x = block(x)
            if index in tapped:
                taps.append(x)
        return self.norm(x), taps

    def _with_positions(self, patches: torch.Tensor) -> torch.Tensor:
        """Prepend class and register tokens to (B, N, C) patches, and add the positions."""
        tokens = [self.cls_token] if self.reg_token is None else [self.cls_token, self.reg_token]
        prefix = [token.expand(len(patches), -1, -1) for token in tokens]
        if self._positions_of_prefix:
            return torch.cat([*prefix, patches], dim=1) + self.pos_embed
        return torch.cat([*prefix, patches + self.pos_embed], dim=1)


class PatchEmbedding(nn.Module):
    """One token for each patch of an image."""

    def __init__(self, patch: int, width: int) -> None:
        """Build the layer for square patches of some edge, pixels."""
        super().__init__()
        self.proj = nn.Conv2d(3, width, patch, stride=patch)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """Map (B, 3, H, W) images to (B, N, C) tokens, row by row."""
        return self.proj(image).flatten(2).transpose(1, 2)


class Block(nn.Module):
    """Attention between the tokens, then an MLP on each; both add to the residual stream."""

    def __init__(self, width: int, heads: int, layer_scale: bool) -> None:
        """Build the block; with ``layer_scale``, each channel of what it adds is scaled."""
        super().__init__()
        self.norm1 = nn.LayerNorm(width, eps=_EPS)
        self.attn = Attention(width, heads)
        self.ls1 = LayerScale(width) if layer_scale else nn.Identity()
        self.norm2 = nn.LayerNorm(width, eps=_EPS)
        self.mlp = Mlp(width)
        self.ls2 = LayerScale(width) if layer_scale else nn.Identity()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (B, T, C) tokens to tokens."""
        x = x + self.ls1(self.attn(self.norm1(x)))
        return x + self.ls2(self.mlp(self.norm2(x)))


class Attention(nn.Module):
    """Self-attention of several heads."""

    def __init__(self, width: int, heads: int) -> None:
        """Build the layer; the heads divide the width among themselves."""
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (B, T, C) tokens to tokens."""
        qkv = self.qkv(x).unflatten(2, (3, self.heads, -1))  # (B, T, 3, heads, d)
        q, k, v = qkv.permute(2, 0, 3, 1, 4).unbind(0)
        if _prefers_products(q):
            scores = (q * q.shape[-1] ** -0.5) @ k.transpose(-2, -1)
            mixed = scores.softmax(dim=-1) @ v
        else:
            mixed = functional.scaled_dot_product_attention(q, k, v)
        return self.proj(mixed.transpose(1, 2).flatten(2))


def _prefers_products(q: torch.Tensor) -> bool:
    """Return whether two matrix products are faster than PyTorch's fused attention.

    On a CPU the fused attention multiplies bfloat16 at the speed of float32; but it needs no
    memory for the scores, and none for its backward pass.

    Args:
        q: (B, heads, T, d) queries.
    """
    is_few = q.shape[0] * q.shape[1] * q.shape[2] ** 2 <= _FEW_SCORES
    return q.device.type == "cpu" and q.dtype == torch.bfloat16 and is_few and not q.requires_grad


class Mlp(nn.Module):
    """Two layers with GELU between them, on each token."""

    def __init__(self, width: int) -> None:
        """Build the layers for tokens of some width."""
        super().__init__()
        self.fc1 = nn.Linear(width, _MLP_RATIO * width)
        self.fc2 = nn.Linear(_MLP_RATIO * width, width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (..., C) tokens to tokens."""
        return self.fc2(functional.gelu(self.fc1(x)))


class LayerScale(nn.Module):
    """A trained factor for each channel."""

    def __init__(self, width: int) -> None:
        """Build the layer for tokens of some width."""
        super().__init__()
        self.gamma = nn.Parameter(torch.full((width,), _LAYER_SCALE))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Scale (..., C) tokens."""
        return x * self.gamma


def _draw_normal(weight: torch.Tensor) -> None:
    """Draw weights from a normal distribution by its inverse.

    That is how timm draws them. `torch.nn.init` draws others, which depend on its version.
    """
    weight.uniform_(-1, 1).erfinv_().mul_(_STD * math.sqrt(2)).clamp_(-2, 2)


def resample_positions(
    positions: torch.Tensor, prefix: int, old_grid: tuple[int, int], new_grid: tuple[int, int]
) -> torch.Tensor:
    """Return a position embedding for another patch grid: bicubic with antialias, in float32.

    Args:
        positions: (1, prefix + N, C) embedding; N is the number of patches of the old grid.
        prefix: Entries before those of the patches; they are kept.
        old_grid: Rows and columns it is for.
        new_grid: Rows and columns wanted.

    Returns:
        (1, prefix + N', C) float32 embedding.
    """
    positions = positions.float()
    patches = positions[:, prefix:].unflatten(1, old_grid).permute(0, 3, 1, 2)
    resampled = functional.interpolate(
        patches, new_grid, mode="bicubic", antialias=True, align_corners=False
    )
    return torch.cat([positions[:, :prefix], resampled.flatten(2).transpose(1, 2)], dim=1)
