# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Dense conditional random field: pulls class borders to the edges of the image.

Source: Krähenbühl and Koltun, Efficient Inference in Fully Connected CRFs with Gaussian Edge
Potentials, 2011, with the parameters of the published 2D evaluation.
"""

from dataclasses import dataclass

import numpy as np
from scipy.special import softmax

from scenedino_ros.core.errors import InputError
from scenedino_ros.evaluation.segmentation.permutohedral import GaussianFilter


@dataclass(frozen=True)
class CrfSettings:
    """Strength and reach of the two kernels.

    Attributes:
        iterations: Steps of mean-field inference.
        smooth_weight: Weight of the kernel of positions alone.
        smooth_xy: Its standard deviation, pixels.
        edge_weight: Weight of the kernel of positions and colours.
        edge_xy: Its standard deviation over positions, pixels.
        edge_rgb: Its standard deviation over colours, of 255.
    """

    iterations: int = 10
    smooth_weight: float = 3.0
    smooth_xy: float = 0.3
    edge_weight: float = 4.0
    edge_xy: float = 20.0
    edge_rgb: float = 3.0


def refine_labels(
    label: np.ndarray,
    rgb: np.ndarray,
    settings: CrfSettings = CrfSettings(),  # noqa: B008 (frozen)
) -> np.ndarray:
    """Refine a map of classes.

    The predicted class of a pixel gets the probability e / (e + C - 1), where C is the largest
    class in the map plus one, and the others share the rest.

    Args:
        label: (H, W) uint8 classes.
        rgb: (H, W, 3) uint8 image.
        settings: The two kernels.

    Returns:
        (H, W) uint8 classes.

    Raises:
        InputError: If map and image differ in size.
    """
    if rgb.shape != (*label.shape, 3):
        raise InputError(f"classes {label.shape} and image {rgb.shape} must have one size")
    one_hot = np.eye(int(label.max()) + 1, dtype=np.float32)[label.reshape(-1)]
    # The lattice is not the same along all axes: their order, x y b g r, is the published one.
    position = np.indices(label.shape)[::-1].reshape(2, -1).T.astype(np.float32)
    color = rgb[..., ::-1].reshape(-1, 3).astype(np.float32)
    edge = np.concatenate([position / settings.edge_xy, color / settings.edge_rgb], axis=1)
    kernels = (
        (settings.smooth_weight, GaussianFilter(position / settings.smooth_xy)),
        (settings.edge_weight, GaussianFilter(edge)),
    )
    log_unary = np.log(softmax(one_hot, axis=1))
    probability = softmax(log_unary, axis=1)
    for _ in range(settings.iterations):
        messages = sum(weight * kernel(probability) for weight, kernel in kernels)
        probability = softmax(log_unary + messages, axis=1)
    return probability.argmax(axis=1).astype(np.uint8).reshape(label.shape)
