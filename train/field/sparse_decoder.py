# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""The end of a wide decoder, computed only at the pixels that a step reads.

A step of the published configuration reads a tenth of the map. The decoder ends in linear layers
with a small receptive field: the last doubling of the resolution, if there is one, four
convolutions, and the image part of the first layer of the point MLP. Each is evaluated only where
its output is needed. For maps with few channels, gathering pixels costs more than this saves.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from scenedino_ros.network.decoder import Decoder, doubled
from scenedino_ros.network.folded import bilinear_taps, phase_kernels
from scenedino_ros.network.model import SceneDino

# A map that is evaluated on demand: from (n,) row-major pixels to (n, C) values.
LazyMap = Callable[[torch.Tensor], torch.Tensor]
Grid = tuple[int, int]  # rows and columns

_AROUND = (-1, 0, 1)
_CORNER = (-1, 0)  # the four pixels around the corner before a pixel
# Which taps of a 3x3 kernel lie inside the map, at its first, any inner, and its last row.
_INSIDE = ((0.0, 1.0, 1.0), (1.0, 1.0, 1.0), (1.0, 1.0, 0.0))


def half_map(decoder: Decoder, taps: list[torch.Tensor]) -> torch.Tensor:
    """Return the decoder's (B, C, h, w) map before the last fusion block may double it.

    A 1x1 convolution commutes with bilinear upsampling, so it runs before it.
    """
    maps = decoder.reassemble_blocks(taps)
    maps = [conv(m) for conv, m in zip(decoder.convs, maps, strict=True)]
    coarsest, *blocks = decoder.fusion_blocks
    small: torch.Tensor = coarsest.project(coarsest.merge(maps[3], None))
    for block, skip in zip(blocks, maps[2::-1], strict=True):
        small = block.project(block.merge(doubled(small), skip))
    return small


def read_map(network: SceneDino, half: torch.Tensor, uv_norm: torch.Tensor) -> torch.Tensor:
    """Read the image part of the hidden layer at image positions, bilinearly, borders repeated.

    Args:
        network: The network whose decoder made the map.
        half: (C, h, w) from `half_map`; everything is computed in its type.
        uv_norm: (N, 2) positions in [-1, 1].

    Returns:
        (N, hidden) contribution of the map to the hidden layer of the point MLP.
    """
    decoder = network.decoder
    first, up, last = decoder.output_head.head_modules
    doubles = network.config.upsample_fusion
    height, width = half.shape[1:]
    grid = (2 * height, 2 * width) if doubles else (height, width)
    to_hidden = network.field.lin_in.weight[:, : network.config.decoder_width]
    weight, bias = torch.einsum("hc,cmyx->hmyx", to_hidden, last.weight), to_hidden @ last.bias
    values = _doubled(half) if doubles else _given(half)
    values = _convolved(values, grid, decoder.project.weight, decoder.project.bias)
    values = _convolved(values, grid, first.weight, first.bias)
    if isinstance(up, nn.ConvTranspose2d):
        values = _convolved_after(up, values, grid, weight, bias)
        grid = (2 * grid[0], 2 * grid[1])
    else:
        values = _convolved(values, grid, weight, bias)
    index, fraction = bilinear_taps(uv_norm, *grid)
    pixels, place = _distinct(index.long(), grid)
    rows = values(pixels)
    return functional.embedding_bag(
        place, rows, per_sample_weights=fraction.to(rows.dtype), mode="sum"
    )


def _given(small: torch.Tensor) -> LazyMap:
    """Return a (C, h, w) map as it is."""
    rows = small.permute(1, 2, 0).flatten(0, 1)
    return lambda pixels: rows[pixels]


def _doubled(small: torch.Tensor) -> LazyMap:
    """Return a (C, h, w) map at twice the resolution, bilinear with aligned corners."""
    height, width = small.shape[1:]
    rows = small.permute(1, 2, 0).reshape(height * width, -1)

    def at(pixels: torch.Tensor) -> torch.Tensor:
        row, column = pixels // (2 * width), pixels % (2 * width)
        y0, y1, fy = _between(row, height)
        x0, x1, fx = _between(column, width)
        index = torch.stack(
            [y0 * width + x0, y0 * width + x1, y1 * width + x0, y1 * width + x1], 1
        )
        fraction = torch.stack([(1 - fy) * (1 - fx), (1 - fy) * fx, fy * (1 - fx), fy * fx], dim=1)
        return functional.embedding_bag(
            index, rows, per_sample_weights=fraction.to(rows.dtype), mode="sum"
        )

    return at


def _between(place: torch.Tensor, size: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return the two entries of an axis that one of twice its size lies between, and how far."""
    position = place * ((size - 1) / (2 * size - 1))
    low = position.long()
    return low, (low + 1).clamp(max=size - 1), position - low


def _convolved(below: LazyMap, grid: Grid, weight: torch.Tensor, bias: torch.Tensor) -> LazyMap:
    """Return a map after a 3x3 convolution of stride 1, padded with zeros."""

    def at(pixels: torch.Tensor) -> torch.Tensor:
        wanted, place = _distinct(_neighbours(pixels, grid, grid[1], _AROUND), grid)
        values = below(wanted)
        kernel = weight.flatten(2).permute(2, 1, 0).to(values.dtype)
        return _Products.apply(values, kernel, place) + bias.to(values.dtype)

    return at


def _convolved_after(
    up: nn.ConvTranspose2d, below: LazyMap, grid: Grid, weight: torch.Tensor, bias: torch.Tensor
) -> LazyMap:
    """Return a map after a transposed convolution that doubles it, and a 3x3 one.

    The pixels of the doubled map that touch a corner of the small map read the same four pixels
    of it, each with a kernel of its own.
    """
    height, width = 2 * grid[0], 2 * grid[1]
    outputs, channels = weight.shape[:2]
    kernels = phase_kernels(weight, up.weight)  # (2, 2, O, C, 2, 2)
    kernel = kernels.permute(4, 5, 3, 0, 1, 2).reshape(4, channels, 4 * outputs)
    # The bias of the upsampling counts only where the 3x3 kernel lies inside the map.
    inside = weight.new_tensor(_INSIDE)
    added = torch.einsum("omyx,m->oyx", weight, up.bias)
    biases = (torch.einsum("ry,cx,oyx->rco", inside, inside, added) + bias).flatten(0, 1)

    def at(pixels: torch.Tensor) -> torch.Tensor:
        row, column = pixels // width, pixels % width
        n_corners = (grid[0] + 1, grid[1] + 1)
        corner = (row + 1) // 2 * n_corners[1] + (column + 1) // 2
        corners, owner = _distinct(corner, n_corners)
        wanted, place = _distinct(_neighbours(corners, grid, n_corners[1], _CORNER), grid)
        values = below(wanted)
        products = _Products.apply(values, kernel.to(values.dtype), place).view(-1, outputs)
        phase = 2 * (row % 2) + column % 2
        border = 3 * _border(row, height) + _border(column, width)
        return products[4 * owner + phase] + biases.to(values.dtype)[border]

    return at


def _border(place: torch.Tensor, size: int) -> torch.Tensor:
    """Return 0 for the first place of an axis, 2 for the last, 1 for those between."""
    return 1 - (place == 0).long() + (place == size - 1).long()


def _neighbours(
    pixels: torch.Tensor, grid: Grid, columns: int, offsets: tuple[int, ...]
) -> torch.Tensor:
    """Return the (n, k * k) pixels of a grid around some places; outside: the number of pixels.

    Args:
        pixels: (n,) places, counted in rows of `columns`.
        grid: The grid the neighbours are on.
        columns: See above.
        offsets: k offsets along each axis.
    """
    offset = torch.tensor(offsets, device=pixels.device)
    row = (pixels // columns).view(-1, 1, 1) + offset.view(-1, 1)
    column = (pixels % columns).view(-1, 1, 1) + offset
    inside = (row >= 0) & (row < grid[0]) & (column >= 0) & (column < grid[1])
    return torch.where(inside, row * grid[1] + column, grid[0] * grid[1]).flatten(1)


def _distinct(pixels: torch.Tensor, grid: Grid) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the (m,) distinct pixels inside a grid, and the place of each pixel among them.

    Pixels outside are given the place m.
    """
    size = grid[0] * grid[1]
    wanted = torch.zeros(size + 1, dtype=torch.bool, device=pixels.device)
    wanted[pixels.flatten()] = True
    wanted[size] = True
    place = wanted.cumsum(0) - 1
    return wanted[:size].nonzero().squeeze(1), place[pixels]


class _Products(torch.autograd.Function):
    """Sums of products of gathered rows and matrices, without keeping the gathered rows."""

    @staticmethod
    def forward(
        ctx: Any, values: torch.Tensor, kernel: torch.Tensor, place: torch.Tensor
    ) -> torch.Tensor:
        """Return the (m, O) sums over k.

        Args:
            ctx: Keeps what `backward` needs.
            values: (n, C).
            kernel: (k, C, O).
            place: (m, k) rows of the values; n stands for zeros.
        """
        values = functional.pad(values, (0, 0, 0, 1))
        ctx.save_for_backward(values, kernel, place)
        out = values[place[:, 0]] @ kernel[0]
        for k in range(1, len(kernel)):
            out.addmm_(values[place[:, k]], kernel[k])
        return out

    @staticmethod
    def backward(ctx: Any, grad: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, None]:
        """Return the gradients of values and kernel."""
        values, kernel, place = ctx.saved_tensors
        grad_values = torch.zeros_like(values, dtype=torch.float32)
        grad_kernel = torch.empty_like(kernel)
        for k in range(len(kernel)):
            grad_kernel[k] = values[place[:, k]].T @ grad
            grad_values.index_add_(0, place[:, k], (grad @ kernel[k].T).float())
        return grad_values[:-1].to(values.dtype), grad_kernel, None
