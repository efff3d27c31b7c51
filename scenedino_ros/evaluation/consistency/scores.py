# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""How alike the features of the same surface are in two frames, after aligning them by flow.

Source: the protocol of SceneDINO's supplement; see `compare` for the formulas.
"""

from collections.abc import Callable, Iterator, Sequence

import torch
from torch.nn import functional

_CHUNK = 64  # channels at a time: a map of 768 at full resolution would be 0.4 GB
_EPS = 1e-12


class Features:
    """Unit-length features of every pixel, computed some channels at a time."""

    def __init__(
        self,
        channels: int,
        raw: Callable[[slice], torch.Tensor],
        common: torch.Tensor | None = None,
    ) -> None:
        """Take a map of any length.

        Args:
            channels: Number of channels C.
            raw: Returns some of the channels of the map, (C', H, W) float32.
            common: (C,) vector; with it there is a second version of the features, from whose
                unit vectors it is taken off and whose length is made 1 again.
        """
        self._channels, self._raw, self._common = channels, raw, common
        square, along = torch.zeros(()), torch.zeros(())
        for part in _parts(channels):
            values = raw(part)
            square = square + values.square().sum(dim=0)
            if common is not None:
                along = along + torch.einsum("chw,c->hw", values, common[part])
        self._norm = square.sqrt().clamp(min=_EPS)
        if common is not None:
            rest = 1 - 2 * along / self._norm + common.square().sum()
            self._rest_norm = rest.clamp(min=_EPS).sqrt()

    def parts(self) -> Iterator[torch.Tensor]:
        """Yield the channels in order, (V, C', H, W) at a time, V versions."""
        for part in _parts(self._channels):
            unit = self._raw(part) / self._norm
            versions = [unit]
            if self._common is not None:
                versions.append((unit - self._common[part, None, None]) / self._rest_norm)
            yield torch.stack(versions)

    def mean(self) -> torch.Tensor:
        """Return the (C,) mean of the unit vectors over all pixels."""
        return torch.cat([part[0].mean(dim=(1, 2)) for part in self.parts()])


def _parts(channels: int) -> Iterator[slice]:
    return (slice(start, min(start + _CHUNK, channels)) for start in range(0, channels, _CHUNK))


def token_features(
    tokens: torch.Tensor, size: tuple[int, int], common: torch.Tensor | None = None
) -> Features:
    """Return tokens enlarged to the size of the image, bilinearly, half-pixel centres.

    Args:
        tokens: (C, rows, columns) of a vision transformer.
        size: (height, width) of the image, pixels.
        common: See `Features`.
    """

    def raw(part: slice) -> torch.Tensor:
        return functional.interpolate(
            tokens[None, part], size, mode="bilinear", align_corners=False
        )[0]

    return Features(len(tokens), raw, common)


def warp(values: torch.Tensor, flow: torch.Tensor) -> torch.Tensor:
    """Look a (C, H, W) map up at p + flow(p), bilinearly, zero outside.

    Args:
        values: The map of the second frame.
        flow: (2, H, W) displacement x, y from the first frame to the second, pixels.

    Returns:
        (C, H, W) in the first frame.
    """
    x, y = _targets(flow)
    return _look_up(values, x.flatten(), y.flatten()).unflatten(1, flow.shape[1:])


def _look_up(values: torch.Tensor, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """Return the (C, N) values of a (C, H, W) map at pixel positions, zero outside."""
    height, width = values.shape[1:]
    grid = torch.stack([2 * x / (width - 1) - 1, 2 * y / (height - 1) - 1], dim=-1)
    return functional.grid_sample(
        values[None], grid[None, None], padding_mode="zeros", align_corners=True
    )[0, :, 0]


def valid_pixels(forward: torch.Tensor, backward: torch.Tensor) -> torch.Tensor:
    """Return where flow stays inside the image and comes back to where it began.

    Args:
        forward: (2, H, W) flow from the first frame to the second, pixels; not a number where it
            is not known.
        backward: (2, H, W) flow from the second frame to the first.

    Returns:
        (H, W) bool.

    Source: Sundaram, Brox and Keutzer, Dense Point Trajectories, ECCV 2010.
    """
    x, y = _targets(forward)
    height, width = forward.shape[1:]
    inside = (x >= 0) & (x <= width - 1) & (y >= 0) & (y <= height - 1)
    back = warp(backward, torch.nan_to_num(forward, nan=2.0 * width))
    gap = (forward + back).square().sum(dim=0)
    length = forward.square().sum(dim=0) + back.square().sum(dim=0)
    return inside & (gap <= 0.01 * length + 0.5)  # comparisons with NaN are false


def _targets(flow: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    height, width = flow.shape[1:]
    y, x = torch.meshgrid(
        torch.arange(height, device=flow.device),
        torch.arange(width, device=flow.device),
        indexing="ij",
    )
    return x + flow[0], y + flow[1]


CONSISTENCY_MEASURES = {"l1": "L1", "l2": "L2", "cosine": "cosine"}  # keys, and words of tables


def compare(
    first: Sequence[Features], second: Sequence[Features], flow: torch.Tensor, valid: torch.Tensor
) -> torch.Tensor:
    """Compare the features of two frames.

    Per valid pixel, with d = f1 - f2 at the end of the flow: the sum of abs(d) over channels, the
    root of the sum of d², and the cosine.

    Args:
        first: Features of the first frame; several stand side by side, and the whole is not
            normalised again.
        second: The same of the second frame.
        flow: (2, H, W) flow from the first frame to the second, pixels.
        valid: (H, W) bool, the pixels that count.

    Returns:
        (V, 3, N) float64 for the V versions of the features and the N valid pixels, in the order
        of `CONSISTENCY_MEASURES`.
    """
    x, y = (target[valid] for target in _targets(flow))
    pairs = (
        (f1[..., valid], _look_up(f2.flatten(0, 1), x, y).unflatten(0, f2.shape[:2]))
        for one, other in zip(first, second, strict=True)
        for f1, f2 in zip(one.parts(), other.parts(), strict=True)
    )
    l1 = l2 = dot = square1 = square2 = torch.zeros(1, len(x), device=flow.device)
    for f1, f2 in pairs:
        difference = f1 - f2
        l1 = l1 + difference.abs().sum(dim=1)
        l2 = l2 + difference.square().sum(dim=1)
        dot = dot + (f1 * f2).sum(dim=1)
        square1 = square1 + f1.square().sum(dim=1)
        square2 = square2 + f2.square().sum(dim=1)
    cosine = dot / (square1 * square2).sqrt().clamp(min=_EPS)
    return torch.stack([l1, l2.sqrt(), cosine], dim=1).double()
