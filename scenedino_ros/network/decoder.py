# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""The DPT decoder: four token maps in, one dense feature map out.

Source: Ranftl et al., Vision Transformers for Dense Prediction, arXiv:2103.13413, in the variant
SceneDINO was published with (no batch norm, a tail without non-linearity).
"""

import torch
from torch import nn
from torch.nn import functional


def doubled(small: torch.Tensor) -> torch.Tensor:
    """Return a (B, C, H, W) map at twice the resolution, bilinear with aligned corners."""
    return functional.interpolate(small, scale_factor=2, mode="bilinear", align_corners=True)


class ReassembleBlocks(nn.Module):
    """Project the four taps to their widths; resize them to 4, 2, 1 and 1/2 times the grid."""

    def __init__(self, width: int, channels: tuple[int, ...]) -> None:
        """Build the layers.

        Args:
            width: Channels of the taps.
            channels: Four output widths, fine to coarse.
        """
        super().__init__()
        self.projects = nn.ModuleList(nn.Conv2d(width, c, 1) for c in channels)
        self.resize_layers = nn.ModuleList(
            [
                nn.ConvTranspose2d(channels[0], channels[0], 4, stride=4),
                nn.ConvTranspose2d(channels[1], channels[1], 2, stride=2),
                nn.Identity(),
                nn.Conv2d(channels[3], channels[3], 3, stride=2, padding=1),
            ]
        )

    def forward(self, taps: list[torch.Tensor]) -> list[torch.Tensor]:
        """Project and resize each of the four (B, C, rows, columns) taps."""
        layers = zip(taps, self.projects, self.resize_layers, strict=True)
        return [resize(project(tap)) for tap, project, resize in layers]


class ResidualConvUnit(nn.Module):
    """x + conv2(relu(conv1(relu(x))))."""

    def __init__(self, width: int) -> None:
        """Build the two convolutions."""
        super().__init__()
        self.conv1 = nn.Conv2d(width, width, 3, padding=1)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (B, C, H, W) to the same shape."""
        return x + self.conv2(functional.relu_(self.conv1(functional.relu(x))))


class FusionBlock(nn.Module):
    """Add a finer map to the running one, refine, and double the resolution."""

    def __init__(self, width: int, has_skip: bool, doubles: bool) -> None:
        """Build the block.

        Args:
            width: Channels of all maps.
            has_skip: Whether there is a finer map to add; the coarsest block has none.
            doubles: Whether the block doubles the resolution.
        """
        super().__init__()
        self.doubles = doubles
        if has_skip:
            self.res_conv_unit1 = ResidualConvUnit(width)
        self.res_conv_unit2 = ResidualConvUnit(width)
        self.project = nn.Conv2d(width, width, 1)

    def merge(self, running: torch.Tensor, skip: torch.Tensor | None) -> torch.Tensor:
        """Return the refined sum of the running (B, C, H, W) map and the skip, at its size."""
        if skip is not None:
            running = running + self.refine(skip, running.shape[-2:])
        return self.res_conv_unit2(running)

    def refine(self, skip: torch.Tensor, size: tuple[int, ...]) -> torch.Tensor:
        """Return the refined skip, (B, C, H, W), at the running map's size (H, W)."""
        if skip.shape[-2:] != size:
            skip = functional.interpolate(skip, size, mode="bilinear", align_corners=False)
        return self.res_conv_unit1(skip)

    def forward(self, running: torch.Tensor, skip: torch.Tensor | None) -> torch.Tensor:
        """Return the (B, C, 2H, 2W) map from the running map and the skip (None at first).

        It is (B, C, H, W) where the block does not double.
        """
        fused = self.merge(running, skip)
        return self.project(doubled(fused) if self.doubles else fused)


class OutputHead(nn.Module):
    """Two 3x3 convolutions, with an optional doubling of the resolution between; all linear."""

    def __init__(self, width: int, upsample: bool) -> None:
        """Build the layers; without upsampling the middle one is the identity."""
        super().__init__()
        double = nn.ConvTranspose2d(width, width, 2, stride=2) if upsample else nn.Identity()
        self.head_modules = nn.Sequential(
            nn.Conv2d(width, width, 3, padding=1), double, nn.Conv2d(width, width, 3, padding=1)
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (B, C, H, W) to (B, C, 2H, 2W), or to the same size without upsampling."""
        return self.head_modules(x)


class Decoder(nn.Module):
    """DPT decoder from ViT taps to one feature map."""

    def __init__(
        self,
        tap_width: int,
        width: int,
        channels: tuple[int, ...],
        upsample_fusion: bool,
        upsample_tail: bool,
    ) -> None:
        """Build the decoder.

        Args:
            tap_width: Channels C of the taps.
            width: Channels of the decoder and of its output.
            channels: Reassemble widths, fine to coarse; each is clipped to ``width``.
            upsample_fusion: Whether the last fusion block doubles the resolution, too.
            upsample_tail: Whether the output head doubles the resolution.
        """
        super().__init__()
        channels = tuple(min(c, width) for c in channels)
        self.reassemble_blocks = ReassembleBlocks(tap_width, channels)
        self.convs = nn.ModuleList(nn.Conv2d(c, width, 3, padding=1, bias=False) for c in channels)
        self.fusion_blocks = nn.ModuleList(
            FusionBlock(width, j > 0, j < 3 or upsample_fusion) for j in range(4)
        )
        self.project = nn.Conv2d(width, width, 3, padding=1)
        self.output_head = OutputHead(width, upsample_tail)

    def fuse(self, taps: list[torch.Tensor]) -> torch.Tensor:
        """Return the map before the linear tail, eight times the (even) patch grid.

        It is four times as large where the last block does not double.
        """
        maps = self.reassemble_blocks(taps)
        maps = [conv(m) for conv, m in zip(self.convs, maps, strict=True)]
        running = self.fusion_blocks[0](maps[3], None)
        for block, skip in zip(self.fusion_blocks[1:], maps[2::-1], strict=True):
            running = block(running, skip)
        return running

    def forward(self, taps: list[torch.Tensor]) -> torch.Tensor:
        """Decode four (B, C, rows, columns) taps.

        Returns:
            (B, width, H', W') with H' = 32 * ceil(rows / 2), W' likewise; half of that without
            the upsampling tail, and half again without that of the last fusion block.
        """
        return self.output_head(self.project(self.fuse(taps)))
