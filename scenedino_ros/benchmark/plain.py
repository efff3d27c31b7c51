# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""The straightforward evaluation of the network: everything for every voxel, then thresholded."""

import numpy as np
import torch

from scenedino_ros.cameras.camera import CalibratedCamera
from scenedino_ros.cameras.image import ImagePreprocessor, image_tensor
from scenedino_ros.checkpoints.checkpoint import Checkpoint, build_model
from scenedino_ros.core.ray_spacing import LOGARITHMIC
from scenedino_ros.core.voxels import VoxelGrid
from scenedino_ros.inference.device import choose_device
from scenedino_ros.inference.grid_view import camera_points, max_3x3x3
from scenedino_ros.inference.query import VoxelQuery
from scenedino_ros.network.render import pixel_rays, render_rays, sample_distances

_CHUNK = 65536  # points, as published


class PlainPredictor:
    """What `Predictor` is compared with: the definition of the network, in chunks of points."""

    def __init__(self, checkpoint: Checkpoint, device: str, mode: str) -> None:
        """Build the network on a device."""
        self._device = choose_device(device)
        self._model = build_model(checkpoint).to(self._device)
        self._config = checkpoint.config
        self._preprocess = ImagePreprocessor(checkpoint.config.image_size)
        self._density_threshold = checkpoint.density_threshold
        self._mode = mode

    @torch.inference_mode()
    def encode(
        self, rgb: np.ndarray, camera: CalibratedCamera
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the feature map and the normalised intrinsics of an image."""
        picture = self._preprocess(rgb, camera)
        K_norm = torch.from_numpy(picture.camera.K_norm).float().to(self._device)
        return self._model.encode(image_tensor(picture.rgb, self._device)), K_norm

    @torch.inference_mode()
    def voxels(
        self,
        encoded: tuple[torch.Tensor, torch.Tensor],
        grid: VoxelGrid,
        T_grid_cam: np.ndarray,
        query: VoxelQuery,
    ) -> np.ndarray:
        """Return the (X, Y, Z) int64 classes of occupied voxels in view, -1 elsewhere."""
        feature_map, K_norm = encoded
        points = torch.from_numpy(camera_points(grid, T_grid_cam)).to(self._device)
        densities, labels, visibles = [], [], []
        for part in points.split(_CHUNK):
            density, feature, visible = self._model.query(feature_map, part[None], K_norm[None])
            label, _ = self._model.classify(feature[0], self._mode)
            densities.append(density[0])
            labels.append(label)
            visibles.append(visible[0])
        density, label = torch.cat(densities), torch.cat(labels)
        grown = max_3x3x3(density, grid.shape) if query.grow else density
        if query.grow:
            label[torch.exp(-grid.voxel_size * density) == 1] = 0
        occupied = grown >= query.threshold(self._density_threshold)
        if not query.out_of_view:
            occupied &= torch.cat(visibles)
        return torch.where(occupied, label, -1).view(grid.shape).cpu().numpy()

    @torch.inference_mode()
    def render(
        self,
        encoded: tuple[torch.Tensor, torch.Tensor],
        *,
        downscale: int,
        n_samples: int,
        semantic: bool,
    ) -> tuple[np.ndarray, np.ndarray | None]:
        """Return (h, w) depth along the optical axis, metres, and (h, w) classes if wanted.

        Arguments mean what they mean for `Predictor.render`.
        """
        feature_map, K_norm = encoded
        height, width = (n // downscale for n in self._config.image_size)
        rays = pixel_rays(K_norm, height, width).view(-1, 3)
        near, far = self._config.depth_range
        distances = sample_distances(near, far, n_samples, spacing=LOGARITHMIC).to(self._device)

        def field(points: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            density, feature, _ = self._model.query(feature_map, points[None], K_norm[None])
            return density[0], feature[0]

        depths, labels = [], []
        for part in rays.split(max(1, _CHUNK // n_samples)):
            ray, feature = render_rays(field, torch.zeros_like(part), part, distances)
            depths.append(ray.distance * part[:, 2])
            if semantic:
                labels.append(self._model.classify(feature, self._mode)[0])
        depth = torch.cat(depths).view(height, width).cpu().numpy()
        if not semantic:
            return depth, None
        return depth, torch.cat(labels).view(height, width).cpu().numpy()
