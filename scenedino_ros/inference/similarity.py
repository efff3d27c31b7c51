# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""How similar the voxels and pixels of a frame are to one of them, by their features.

Features are compared by the cosine of the rendered 64-d features, after the mean over the occupied
voxels is taken off. On synthetic streets this separates the classes of voxels better than the same
features with their mean, and better than the full features with and without it.
"""

import numpy as np
import torch
from torch.nn import functional

from scenedino_ros.core.errors import InputError
from scenedino_ros.core.voxels import SemanticVoxels
from scenedino_ros.inference.predictor import Predictor
from scenedino_ros.inference.query import EncodedImage


class VoxelFeatures:
    """The features of the occupied voxels of one frame.

    Attributes:
        voxels: The voxels, M of them.
        feature: (M, F) float32 rendered features, on the predictor's device.
        mean: (F,) their mean.
    """

    def __init__(
        self,
        predictor: Predictor,
        encoded: EncodedImage,
        voxels: SemanticVoxels,
        T_grid_cam: np.ndarray | None = None,
    ) -> None:
        """Ask the field for the features.

        Args:
            predictor: The network.
            encoded: The encoded image.
            voxels: Occupied voxels that `Predictor.voxels` found in it.
            T_grid_cam: (4, 4) camera pose in the grid frame, metres; None: the grid lies in the
                optical frame.

        Raises:
            InputError: If there is no voxel.
            OutOfMemoryError: If even the smallest chunk does not fit.
        """
        if not len(voxels):
            raise InputError("a comparison of features needs occupied voxels, got none")
        T_grid_cam = np.eye(4) if T_grid_cam is None else np.asarray(T_grid_cam, np.float64)
        points = (voxels.centers() - T_grid_cam[:3, 3]) @ T_grid_cam[:3, :3]
        self.voxels = voxels
        self.feature = predictor.features_at(encoded, points.astype(np.float32))
        self.mean = self.feature.mean(dim=0)

    def nearest(self, point_grid: np.ndarray) -> tuple[int, float]:
        """Return the row of the voxel whose centre is nearest to a point, and its distance.

        Args:
            point_grid: (3,) point in the grid frame, metres.

        Returns:
            The row, 0 to M - 1, and the distance, metres.
        """
        distances = np.linalg.norm(self.voxels.centers() - point_grid, axis=1)
        row = int(distances.argmin())
        return row, float(distances[row])

    @torch.inference_mode()
    def similarity(self, query: torch.Tensor, feature: torch.Tensor | None = None) -> np.ndarray:
        """Compare features with one of them.

        Args:
            query: (F,) rendered feature, of a voxel or of a pixel.
            feature: (..., F) rendered features that are compared with it; None: those of the
                voxels.

        Returns:
            (...) float32 similarity, -1 to 1; (M,) for voxels. It is 0 for a feature that equals
            the mean.
        """
        feature = self.feature if feature is None else feature
        cosines = functional.cosine_similarity(feature - self.mean, query - self.mean, dim=-1)
        return cosines.cpu().numpy()
