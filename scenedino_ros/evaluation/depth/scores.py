# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Errors of predicted depth, by the usual measures of monocular depth estimation."""

import numpy as np

from scenedino_ros.core.errors import InputError

DEPTH_LIMITS = (1e-3, 80.0)  # metres of z-depth; predictions are clamped to this
DEPTH_MEASURES = (
    "abs rel",
    "sq rel",
    "RMSE",
    "RMSE log",
    "d < 1.25",
    "d < 1.25²",
    "d < 1.25³",
)
DEPTH_KEYS = ("abs_rel", "sq_rel", "rmse", "rmse_log", "d1", "d2", "d3")  # the same, for programs
SCALINGS = ("none", "median", "least squares")


def depth_scores(
    truth: np.ndarray,
    prediction: np.ndarray,
    scaling: str = "none",
    per_depth: np.ndarray | float = 1.0,
) -> np.ndarray | None:
    """Score one depth image.

    Args:
        truth: Depth, metres, any shape; 0 where it is not known.
        prediction: Depth of the same shape, metres.
        scaling: ``none``; ``median`` multiplies by the ratio of the medians, ``least squares``
            applies the best a d + b, both over the known pixels and before clamping.
        per_depth: The scored quantity per metre of z-depth, in which predictions are clamped: 1,
            or the length of each pixel's ray at a z-depth of 1 m where distances are scored.

    Returns:
        (7,) float64 in the order of `DEPTH_MEASURES`; None if no pixel is known.

    Raises:
        InputError: If the shapes differ or the scaling is unknown.

    Source: Eigen et al., Depth Map Prediction from a Single Image, 2014. The reference code takes
    an additional square root of the first two; these are the standard ones.
    """
    if truth.shape != prediction.shape:
        raise InputError(f"true depth {truth.shape} and predicted {prediction.shape} must agree")
    known = truth > 0
    if not known.any():
        return None
    true = truth[known].astype(np.float64)
    low, high = (limit * np.broadcast_to(per_depth, truth.shape)[known] for limit in DEPTH_LIMITS)
    predicted = np.clip(_scaled(true, prediction[known].astype(np.float64), scaling), low, high)
    error = predicted - true
    ratio = np.maximum(predicted / true, true / predicted)
    return np.array(
        [
            np.mean(np.abs(error) / true),
            np.mean(error**2 / true),
            np.sqrt(np.mean(error**2)),
            np.sqrt(np.mean(np.log(predicted / true) ** 2)),
            *(np.mean(ratio < 1.25**power) for power in (1, 2, 3)),
        ]
    )


def _scaled(true: np.ndarray, predicted: np.ndarray, scaling: str) -> np.ndarray:
    if scaling == "none":
        return predicted
    if scaling == "median":
        return predicted * (np.median(true) / np.median(predicted))
    if scaling == "least squares":
        basis = np.stack([predicted, np.ones_like(predicted)], axis=1)
        return basis @ np.linalg.lstsq(basis, true, rcond=None)[0]
    raise InputError(f"scaling must be one of {', '.join(SCALINGS)}, got '{scaling}'")
