# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""The image encoder: a DINO vision transformer tapped at four depths."""

import torch
from torch import nn
from torch.nn import functional

from scenedino_ros.core.backbones import backbone_spec, patch_grid
from scenedino_ros.core.errors import InputError
from scenedino_ros.network.transformer import VisionTransformer

# Mean and standard deviation of ImageNet, with which DINO was trained.
_MEAN = (0.485, 0.456, 0.406)
_STD = (0.229, 0.224, 0.225)


def require_size(image: torch.Tensor, size: tuple[int, int]) -> None:
    """Refuse (B, 3, H, W) images of another (height, width) than the encoder's.

    Raises:
        InputError: Naming both sizes.
    """
    if tuple(image.shape[-2:]) != tuple(size):
        raise InputError(
            f"the encoder is built for {size[0]} x {size[1]} px, "
            f"got {image.shape[-2]} x {image.shape[-1]}"
        )


class Encoder(nn.Module):
    """Vision transformer that returns the tokens of its tapped blocks and of its end.

    Attributes:
        part: Name of the module with the pretrained weights.
        input_size: (height, width) of the image that the module sees, pixels.
    """

    part = "vit"

    def __init__(self, backbone: str, image_size: tuple[int, int]) -> None:
        """Build the transformer without weights.

        Args:
            backbone: A key of `BACKBONES`.
            image_size: (height, width) of the input image, pixels; a whole patch grid.
        """
        super().__init__()
        self.spec = backbone_spec(backbone)
        self.image_size = image_size
        self.grid = patch_grid(backbone, image_size)
        rows, columns = self.grid
        self.input_size = (rows * self.spec.patch, columns * self.spec.patch)
        self.vit = VisionTransformer(self.spec, self.grid)
        # Created on the CPU even where the module is built without storage (meta device).
        for name, values in (("mean", _MEAN), ("std", _STD)):
            constant = torch.tensor(values, device="cpu").view(1, 3, 1, 1)
            self.register_buffer(name, constant, persistent=False)

    def normalise(self, image: torch.Tensor) -> torch.Tensor:
        """Normalise and resize images for the transformer.

        Args:
            image: (B, 3, H, W) RGB in [-1, 1].

        Returns:
            (B, 3, H', W') with ImageNet statistics; scaled by 14/16 for patch-14 transformers.
        """
        y = (image / 2 + 0.5 - self.mean) / self.std
        if y.shape[-2:] != self.input_size:
            y = functional.interpolate(
                y, self.input_size, mode="bilinear", antialias=True, align_corners=False
            )
        return y

    def forward(self, image: torch.Tensor) -> list[torch.Tensor]:
        """Encode images.

        Args:
            image: (B, 3, H, W) RGB in [-1, 1] of exactly `image_size`.

        Returns:
            Four (B, C, rows, columns) maps: the residual stream after each of the three tapped
            blocks, and the final normalised tokens with unit length.

        Raises:
            InputError: If the image has another size.
        """
        require_size(image, self.image_size)
        return self.taps(self.normalise(image))

    def taps(self, normalised: torch.Tensor) -> list[torch.Tensor]:
        """Return what `forward` returns, of images after `normalise`."""
        final, taps = self.vit(normalised, self.spec.tapped_blocks)
        last = functional.normalize(self._map(final), dim=1, eps=1e-12)
        return [*(self._map(tokens).contiguous() for tokens in taps), last]

    def _map(self, tokens: torch.Tensor) -> torch.Tensor:
        """Return (B, T, C) tokens as a (B, C, rows, columns) map of the patches."""
        patches = tokens[:, self.spec.prefix_tokens :].transpose(1, 2)
        return patches.unflatten(2, self.grid)
