# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Renderings of the encoded view, and the errors of their depth."""

from dataclasses import dataclass

import numpy as np
import torch
from lightning_fabric import Fabric

from scenedino_ros.evaluation.depth.scores import DEPTH_MEASURES, depth_scores
from scenedino_ros.network.render import pixel_rays, render_rays, sample_distances
from train.field.data import ItemTensors
from train.field.model import FieldTraining

_SAMPLES = 64
_CHUNK = 4096  # rays at a time
_STRIDE = 8  # every n-th pixel of both axes is compared with ground truth
_LOGGED = {"abs rel": "depth_abs_rel", "RMSE": "depth_rmse", "d < 1.25": "depth_within_1.25"}


@dataclass(frozen=True)
class EncodedView:
    """Rendered pixels of an encoded image.

    Attributes:
        depth: (h, w) along the optical axis, metres.
        feature: (h, w, C) full features.
    """

    depth: torch.Tensor
    feature: torch.Tensor


def every_nth(pixels: torch.Tensor, stride: int) -> torch.Tensor:
    """Return every n-th row and column of (H, W, ...) pixels, from the middle of the first n."""
    return pixels[stride // 2 :: stride, stride // 2 :: stride]


@torch.no_grad()
def render_encoded(training: FieldTraining, item: ItemTensors, stride: int) -> EncodedView:
    """Render every n-th pixel of the encoded image of an item.

    Args:
        training: The network.
        item: Any item; only its encoded image is used.
        stride: n, of both axes.
    """
    network = training.network
    feature_map = training.whole_map(item)
    rays = every_nth(pixel_rays(item.K_norm, *item.image.shape[-2:]), stride)
    near, far = network.code.depth_range
    distances = sample_distances(near, far, _SAMPLES).to(rays.device)

    def field(points: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        density, feature, _ = network.query(feature_map, points[None], item.K_norm[None])
        return density[0], feature[0]

    depths, features = [], []
    origin = torch.zeros(3, device=rays.device)
    for chunk in rays.reshape(-1, 3).split(_CHUNK):
        result, feature = render_rays(field, origin, chunk, distances, opaque_end=True)
        depths.append(result.distance * chunk[:, 2])
        features.append(network.expansion(feature))
    size = rays.shape[:2]
    return EncodedView(torch.cat(depths).view(size), torch.cat(features).view(*size, -1))


class DepthErrors:
    """Errors of rendered depth over the items with ground-truth depth."""

    def __init__(self) -> None:
        self._rows: list[np.ndarray] = []

    def add(self, training: FieldTraining, item: ItemTensors) -> None:
        """Compare the rendered depth of an encoded image with its ground truth, if it has any."""
        if not item.depth.numel():
            return
        truth = every_nth(item.depth, _STRIDE).cpu().numpy()
        rendered = render_encoded(training, item, _STRIDE).depth.cpu().numpy()
        row = depth_scores(truth, rendered)
        if row is not None:
            self._rows.append(row)

    def means(self, fabric: Fabric) -> dict[str, float]:
        """Return the means over the images of all processes by name; empty without any."""
        total = np.sum(self._rows, axis=0) if self._rows else np.zeros(len(DEPTH_MEASURES))
        own = torch.tensor([*total, len(self._rows)], dtype=torch.float64, device=fabric.device)
        sum_over_processes: torch.Tensor = fabric.all_reduce(own, reduce_op="sum")
        *sums, count = sum_over_processes.tolist()
        if not count:
            return {}
        means = dict(zip(DEPTH_MEASURES, (value / count for value in sums), strict=True))
        return {name: means[measure] for measure, name in _LOGGED.items()}
