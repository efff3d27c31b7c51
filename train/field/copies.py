# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Changed copies of encoded images: mirrored, cropped, without colours.

The intrinsics change with the image, so that the network learns to read geometry from the
calibration rather than from the place in the image. Copies are drawn once, by image and number, so
that features of a frozen encoder can be cached.
"""

import math
from dataclasses import dataclass

import torch
from torch.nn import functional

from train.field.items import View
from train.runs.randomness import copy_generator

_ASPECT = 0.1  # standard deviation of the logarithm of a crop's aspect ratio
GRAY = (0.299, 0.587, 0.114)  # ITU-R BT.601


@dataclass(frozen=True)
class PatchWindow:
    """Pixels at which patches may begin: `rows` from `top` on, `columns` from `left` on."""

    top: int
    left: int
    rows: int
    columns: int


@dataclass(frozen=True)
class ImageCopy:
    """How an image is changed before it is encoded: mirrored, then cropped, then made grey.

    Attributes:
        ending: Part of the name of files with its features.
        mirrored: Whether the image is mirrored.
        gray: Whether its colours are removed.
        center: (x, y) centre of the crop in the mirrored image, in [-1, 1].
        zoom: (x, y) factors by which the crop is enlarged, at least 1.
    """

    ending: str = ""
    mirrored: bool = False
    gray: bool = False
    center: tuple[float, float] = (0.0, 0.0)
    zoom: tuple[float, float] = (1.0, 1.0)

    def image(self, pixels: torch.Tensor) -> torch.Tensor:
        """Return the copy of (3, H, W) float32 pixels, with the same size."""
        if self.mirrored:
            pixels = pixels.flip(-1)
        if self.zoom != (1.0, 1.0):
            (x, y), (zoom_x, zoom_y) = self.center, self.zoom
            crop = torch.tensor([[[1 / zoom_x, 0, x], [0, 1 / zoom_y, y]]])
            grid = functional.affine_grid(crop, [1, *pixels.shape], align_corners=False)
            pixels = functional.grid_sample(
                pixels[None], grid, padding_mode="border", align_corners=False
            )[0]
        if self.gray:
            weights = pixels.new_tensor(GRAY).view(3, 1, 1)
            pixels = (pixels * weights).sum(dim=0, keepdim=True).expand_as(pixels)
        return pixels

    def K_norm(self, K_norm: torch.Tensor) -> torch.Tensor:
        """Return the (3, 3) intrinsics of the copy, given those of the image."""
        result = K_norm.clone()
        if self.mirrored:
            result[0, 2] *= -1
        result[:2, 2] -= result.new_tensor(self.center)
        result[:2] *= result.new_tensor(self.zoom).unsqueeze(-1)
        return result

    def window(self, height: int, width: int, patch: int) -> PatchWindow:
        """Return where patches of `patch` x `patch` pixels lie inside the crop.

        Args:
            height: Rows of the mirrored image.
            width: Its columns.
            patch: Edge of a patch, pixels.
        """
        (left, columns), (top, rows) = (
            _starts(size, patch, center, zoom)
            for size, center, zoom in zip((width, height), self.center, self.zoom, strict=True)
        )
        return PatchWindow(top, left, rows, columns)


WHOLE = ImageCopy()
MIRRORED = ImageCopy("_mirrored", mirrored=True)


def drawn_copy(view: View, number: int, zoom: float, *, mirror: bool) -> ImageCopy:
    """Return a cropped copy of an image; the same for the same arguments.

    Args:
        view: The image.
        number: Of the copy, from 0 on.
        zoom: Largest zoom.
        mirror: Whether copies may be mirrored.
    """
    generator = copy_generator(view.camera, view.frame, number)
    draws = torch.rand(5, generator=generator, dtype=torch.float64).tolist()
    normal = torch.randn((), generator=generator, dtype=torch.float64)
    aspect = math.exp(_ASPECT * float(normal))
    both = zoom ** draws[0]
    zooms = max(1.0, both * aspect), max(1.0, both / aspect)
    center = tuple((2 * draw - 1) * (1 - 1 / z) for draw, z in zip(draws[1:3], zooms, strict=True))
    mirrored = mirror and draws[3] < 0.5
    return ImageCopy(
        # No name of a camera has a % of its own in files.
        f"%crop{number}_{zoom:g}" + ("_mirrored" if mirrored else ""),
        mirrored=mirrored,
        gray=draws[4] < 0.5,
        center=(center[0], center[1]),
        zoom=zooms,
    )


def _starts(size: int, patch: int, center: float, zoom: float) -> tuple[int, int]:
    """Return the first place at which a patch lies inside a crop, and how many there are."""
    first, end = ((center + side / zoom + 1) / 2 * size for side in (-1, 1))
    start = min(math.ceil(first), size - patch)
    return start, max(math.floor(end) - patch - start, 0) + 1
