# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""What a predictor takes and returns: voxel queries, encoded images and rendered views."""

from dataclasses import dataclass

import numpy as np
import torch

from scenedino_ros.cameras.camera import PinholeCamera


@dataclass(frozen=True)
class VoxelQuery:
    """Which voxels count as occupied, and which of those are wanted.

    Attributes:
        density_threshold: A voxel is occupied at this density or more, 1/m; None: at
            the checkpoint's threshold.
        grow: Decide on the maximum density of the 3x3x3 neighbourhood, as SSCBench does; a voxel
            switched on by a neighbour keeps the class at its own centre, and class 0 where its
            own opacity is exactly zero.
        out_of_view: Also voxels whose centre the camera does not see.
        hidden: Class ids that are left out.
        exposed_only: Only occupied voxels of which at least one of the six face neighbours is not
            occupied; one that is out of view or outside the grid is not. Hidden voxels are
            occupied. A voxel all of whose neighbours are hidden or occupied is left out.
        coarse_to_fine: Ask every second voxel of each axis first, and of the others only those
            that it leaves open (see `coarse_grid`): faster, and now and then a voxel is missed.
            What is returned of a voxel is exact. Without effect where `grow` is set, and on a GPU.
    """

    density_threshold: float | None = None
    grow: bool = False
    out_of_view: bool = False
    hidden: tuple[int, ...] = ()
    exposed_only: bool = False
    coarse_to_fine: bool = False

    def threshold(self, default: float) -> float:
        """Return the density threshold, 1/m, given the checkpoint's."""
        return default if self.density_threshold is None else self.density_threshold


@dataclass(frozen=True, eq=False)
class EncodedImage:
    """One image after the encoder, ready for any number of queries.

    Attributes:
        rgb: (H, W, 3) uint8, the network input image.
        camera: Camera of that image.
        rows: (H' * W', hidden) map on the device.
        map_size: (H', W').
        kept: Fraction of the camera image's area that the network input image shows, 0 to 1.
    """

    rgb: np.ndarray
    camera: PinholeCamera
    rows: torch.Tensor
    map_size: tuple[int, int]
    kept: float = 1.0


@dataclass(frozen=True, eq=False)
class RenderedView:
    """The field seen from the camera; None for images that were not asked for.

    Attributes:
        camera: Camera of the rendered images, (h, w) pixels.
        depth: (h, w) float32 depth along the optical axis, metres; +Inf where there is no surface,
            if that was asked for.
        label: (h, w) uint8 class ids.
        colors: (h, w, 3) uint8, three principal components of the features as RGB.
    """

    camera: PinholeCamera
    depth: np.ndarray | None
    label: np.ndarray | None
    colors: np.ndarray | None
