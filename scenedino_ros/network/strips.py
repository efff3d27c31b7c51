# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Convolutions of large maps in strips of a few rows, so that only the last map exists whole.

A map is an iterator of strips from top to bottom, each (B, C, rows, W). The result equals that of
the whole map; no row is computed twice.
"""

from collections.abc import Iterator

import torch
from torch import nn
from torch.nn import functional


def doubled_rows(small: torch.Tensor, rows: int) -> Iterator[torch.Tensor]:
    """Yield a map in strips, doubled bilinearly with aligned corners.

    Args:
        small: (B, C, H, W) map.
        rows: Rows of a strip of the doubled map.
    """
    height, width = small.shape[-2:]
    lines = small.permute(0, 2, 3, 1)  # (B, H, W, C)
    step = (height - 1) / (2 * height - 1)
    positions = torch.arange(2 * height, device=small.device, dtype=torch.float32) * step
    for position in positions.split(rows):
        low = position.long().clamp(max=height - 1)
        high = (low + 1).clamp(max=height - 1)
        fraction = (position - low).view(-1, 1, 1)
        strip = lines[:, low].float().lerp(lines[:, high].float(), fraction)
        yield functional.interpolate(
            strip.permute(0, 3, 1, 2),
            (len(low), 2 * width),
            mode="bilinear",
            align_corners=True,
        )


def padded_windows(strips: Iterator[torch.Tensor]) -> Iterator[torch.Tensor]:
    """Yield the zero-padded input windows of a 3x3 convolution of a map, strip by strip.

    Args:
        strips: The map.

    Yields:
        (B, C, rows + 2, W + 2) windows for ``rows`` rows of the convolution's output.
    """
    kept = None
    for strip in strips:
        # Channels last while rows are concatenated: the layout that the convolution needs.
        lines = functional.pad(strip.permute(0, 2, 3, 1), (0, 0, 1, 1))  # (B, rows, W + 2, C)
        kept = torch.zeros_like(lines[:, :1]) if kept is None else kept
        window = torch.cat([kept, lines], dim=1)
        kept = window[:, -2:].clone()  # a copy, so that the rest of the window is freed
        if window.shape[1] > 2:
            yield window.permute(0, 3, 1, 2)
    if kept is not None:
        yield functional.pad(kept, (0, 0, 0, 0, 0, 1)).permute(0, 3, 1, 2)


def convolved(strips: Iterator[torch.Tensor], conv: nn.Conv2d) -> Iterator[torch.Tensor]:
    """Yield a 3x3 convolution of a map with zero padding, in strips.

    Args:
        strips: The map.
        conv: The convolution, with padding 1.
    """
    for window in padded_windows(strips):
        yield functional.conv2d(window, conv.weight, conv.bias)
