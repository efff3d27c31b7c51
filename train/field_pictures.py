"""Pictures of what a field has learned: the image, rendered depth and features, and errors."""

import numpy as np
import torch

from scenedino_ros.core.feature_colors import FeatureColors
from scenedino_ros.core.render import pixel_rays, render_rays, sample_distances
from scenedino_ros.pictures import color_depth
from train.field_batch import ItemTensors
from train.field_model import FieldTraining

_DOWNSCALE = 4
_SAMPLES = 64
_CHUNK = 4096  # rays at a time


@torch.no_grad()
def field_pictures(training: FieldTraining, item: ItemTensors) -> dict[str, np.ndarray]:
    """Render the encoded view of an item.

    Args:
        training: The network.
        item: Any item; only its encoded image is used.

    Returns:
        ``image``, ``depth`` and ``features``, each (h, w, 3) uint8 RGB.
    """
    network = training.network
    feature_map = training.plain_map(item)
    height, width = (edge // _DOWNSCALE for edge in item.image.shape[-2:])
    rays = pixel_rays(item.K_norm, height, width)
    near, far = network.code.depth_range
    distances = sample_distances(near, far, _SAMPLES).to(rays.device)

    def field(points: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        density, feature, _ = network.query(feature_map, points[None], item.K_norm[None])
        return density[0], feature[0]

    depths, features = [], []
    origin = torch.zeros(3, device=rays.device)
    for chunk in rays.view(-1, 3).split(_CHUNK):
        result, feature = render_rays(field, origin, chunk, distances, opaque_end=True)
        depths.append(result.distance * chunk[:, 2])
        features.append(network.expansion(feature))
    full = torch.cat(features).cpu()
    image = ((item.image.permute(1, 2, 0) + 1) * 127.5).round().clamp(0, 255)
    return {
        "image": image.to(torch.uint8).cpu().numpy(),
        "depth": color_depth(torch.cat(depths).view(height, width).cpu().numpy()),
        "features": FeatureColors(full)(full).view(height, width, 3).numpy(),
    }
