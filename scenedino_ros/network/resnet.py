# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""A ResNet-50 as image encoder, with the decoder that S4C reads it with.

Sources: He et al., Deep Residual Learning for Image Recognition, CVPR 2016; Godard et al., Digging
into Self-Supervised Monocular Depth Estimation, ICCV 2019, whose depth decoder Behind the Scenes
(Wimbauer et al., CVPR 2023) and S4C (Hayler et al., 3DV 2024) give their feature map.
"""

import torch
from torch import nn
from torch.nn import functional

from scenedino_ros.core.backbones import backbone_spec, patch_grid
from scenedino_ros.network.encoder import require_size

# One mean and standard deviation for all channels of RGB in [0, 1], as published.
_MEAN, _STD = 0.45, 0.225
_BLOCKS = (3, 4, 6, 3)  # of each stage
_WIDTHS = (64, 256, 512, 1024, 2048)  # of the taps, fine to coarse
_DECODER_WIDTHS = (32, 32, 64, 128, 256)  # fine to coarse; at least the width of the map


class Bottleneck(nn.Module):
    """1x1, 3x3 and 1x1 convolutions around a shortcut; the 3x3 one may halve the resolution."""

    def __init__(self, channels: int, width: int, stride: int) -> None:
        """Build the layers, by the names that pretrained weights have.

        Args:
            channels: Channels of the input.
            width: Channels in the middle; the output has four times as many.
            stride: 1, or 2 to halve the resolution.
        """
        super().__init__()
        self.conv1 = nn.Conv2d(channels, width, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, stride=stride, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, 4 * width, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(4 * width)
        if stride > 1 or channels != 4 * width:
            self.downsample = nn.Sequential(
                nn.Conv2d(channels, 4 * width, 1, stride=stride, bias=False),
                nn.BatchNorm2d(4 * width),
            )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (B, channels, H, W) to (B, 4 * width, H / stride, W / stride)."""
        y = functional.relu(self.bn1(self.conv1(x)))
        y = functional.relu(self.bn2(self.conv2(y)))
        shortcut = self.downsample(x) if hasattr(self, "downsample") else x
        return functional.relu(self.bn3(self.conv3(y)) + shortcut)


class ResNet50(nn.Module):
    """The network without its classifier."""

    def __init__(self) -> None:
        """Build the layers, by the names that pretrained weights have."""
        super().__init__()
        self.conv1 = nn.Conv2d(3, 64, 7, stride=2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        channels = 64
        for number, n_blocks in enumerate(_BLOCKS):
            width = 64 << number
            stage = nn.Sequential()
            for block in range(n_blocks):
                stride = 2 if number and not block else 1
                stage.append(Bottleneck(channels, width, stride))
                channels = 4 * width
            setattr(self, f"layer{number + 1}", stage)

    def forward(self, x: torch.Tensor) -> list[torch.Tensor]:
        """Map (B, 3, H, W) to maps of 1/2, 1/4, 1/8, 1/16 and 1/32 of the size."""
        maps = [functional.relu(self.bn1(self.conv1(x)))]
        y = functional.max_pool2d(maps[0], 3, stride=2, padding=1)
        for stage in (self.layer1, self.layer2, self.layer3, self.layer4):
            y = stage(y)
            maps.append(y)
        return maps


class ConvEncoder(nn.Module):
    """ResNet-50 that returns the maps of its stages; it has the interface of `Encoder`."""

    part = "resnet"

    def __init__(self, backbone: str, image_size: tuple[int, int]) -> None:
        """Build the network without weights.

        Args:
            backbone: A key of ``backbones.CONVOLUTIONAL``.
            image_size: (height, width) of the input image, pixels; multiples of 32.
        """
        super().__init__()
        self.spec = backbone_spec(backbone)
        self.image_size = self.input_size = image_size
        self.grid = patch_grid(backbone, image_size)
        self.resnet = ResNet50()
        # Where the encoder is, as in `Encoder`.
        self.register_buffer("mean", torch.tensor(_MEAN, device="cpu"), persistent=False)

    def normalise(self, image: torch.Tensor) -> torch.Tensor:
        """Normalise (B, 3, H, W) RGB in [-1, 1]."""
        return (image / 2 + 0.5 - _MEAN) / _STD

    def forward(self, image: torch.Tensor) -> list[torch.Tensor]:
        """Encode images.

        Args:
            image: (B, 3, H, W) RGB in [-1, 1] of exactly `image_size`.

        Returns:
            Five maps, fine to coarse, of 1/2 to 1/32 of the size.

        Raises:
            InputError: If the image has another size.
        """
        require_size(image, self.image_size)
        return self.taps(self.normalise(image))

    def taps(self, normalised: torch.Tensor) -> list[torch.Tensor]:
        """Return what `forward` returns, of images after `normalise`."""
        maps: list[torch.Tensor] = self.resnet(normalised)
        return maps


class _Conv(nn.Module):
    """A 3x3 convolution that continues the image by reflection."""

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, width, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.conv(reflected(x))


def reflected(x: torch.Tensor) -> torch.Tensor:
    """Return (B, C, H, W) maps with a border of one pixel, by reflection."""
    return functional.pad(x, (1, 1, 1, 1), mode="reflect")


class SkipDecoder(nn.Module):
    """Doubles the coarsest map five times, and adds the finer maps on the way."""

    def __init__(self, width: int) -> None:
        """Build the layers.

        Args:
            width: Channels of the decoder's output.
        """
        super().__init__()
        widths = [max(width, w) for w in _DECODER_WIDTHS]
        inputs = [*widths[1:], _WIDTHS[-1]]
        skips = [0, *_WIDTHS[:-1]]
        self.before = nn.ModuleList(_Conv(i, w) for i, w in zip(inputs, widths, strict=True))
        self.after = nn.ModuleList(_Conv(w + s, w) for w, s in zip(widths, skips, strict=True))
        self.last = nn.Conv2d(widths[0], width, 3)

    def fuse(self, taps: list[torch.Tensor]) -> torch.Tensor:
        """Return the (B, C, H, W) map before the last layer, of the five maps of `ConvEncoder`."""
        x = taps[-1]
        for level in range(4, -1, -1):
            x = functional.elu(self.before[level](x))
            x = functional.interpolate(x, scale_factor=2.0, mode="nearest")
            if level:
                x = torch.cat([x, taps[level - 1]], dim=1)
            x = functional.elu(self.after[level](x))
        return x

    def forward(self, taps: list[torch.Tensor]) -> torch.Tensor:
        """Return the (B, width, H, W) map, of the size of the image."""
        return self.last(reflected(self.fuse(taps)))
