"""How far predicted depth is off, by the measures of monocular depth estimation."""

import numpy as np

from scenedino_ros.core.errors import InputError

DEPTH_LIMITS = (1e-3, 80.0)  # metres; predictions are clamped to this
DEPTH_MEASURES = (
    "abs rel",
    "sq rel",
    "RMSE",
    "RMSE log",
    "d < 1.25",
    "d < 1.25²",
    "d < 1.25³",
)
SCALINGS = ("none", "median", "least squares")


def depth_scores(
    truth: np.ndarray, prediction: np.ndarray, scaling: str = "none"
) -> np.ndarray | None:
    """Score one depth image.

    Args:
        truth: Depth, metres, any shape; 0 where it is not known.
        prediction: Depth of the same shape, metres.
        scaling: ``none``; ``median`` multiplies by the ratio of the medians, ``least squares``
            applies the best a d + b, both over the known pixels and before clamping.

    Returns:
        (7,) float64 in the order of `DEPTH_MEASURES`; None if no pixel is known.

    Raises:
        InputError: If the shapes differ or the scaling is unknown.

    Source: Eigen et al., Depth Map Prediction from a Single Image, 2014. The published code of
    the reference takes an additional square root of the first two; the standard is meant here.
    """
    if truth.shape != prediction.shape:
        raise InputError(f"true depth {truth.shape} and predicted {prediction.shape} must agree")
    known = truth > 0
    if not known.any():
        return None
    true = truth[known].astype(np.float64)
    predicted = np.clip(
        _scaled(true, prediction[known].astype(np.float64), scaling), *DEPTH_LIMITS
    )
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


OCCUPANCY_MEASURES = ("O_acc", "O_prec", "O_rec", "IE_acc", "IE_prec", "IE_rec")


def occupancy_scores(
    occupied: np.ndarray, visible: np.ndarray, predicted: np.ndarray
) -> dict[str, float]:
    """Score the occupancy of points near the road against that seen by successive scans.

    Args:
        occupied: (N,) bool, occupied according to the scans.
        visible: (N,) bool, visible from the camera; such points do not count as occupied.
        predicted: (N,) bool, predicted as occupied.

    Returns:
        Accuracy, precision and recall of occupied points (``O_``), and of empty ones among the
        invisible (``IE_``); not a number where nothing is counted.

    Source: Wimbauer et al., Behind the Scenes, CVPR 2023.
    """
    occupied = occupied & ~visible
    hidden = ~visible
    empty = hidden & ~occupied
    right = predicted == occupied
    found = (predicted & occupied).sum()
    found_empty = (~predicted & empty).sum()
    values = (
        _share(right.sum(), right.size),
        _share(found, predicted.sum()),
        _share(found, occupied.sum()),
        _share((right & hidden).sum(), hidden.sum()),
        _share(found_empty, (~predicted & hidden).sum()),
        _share(found_empty, empty.sum()),
    )
    return dict(zip(OCCUPANCY_MEASURES, values, strict=True))


def _share(part: int, whole: int) -> float:
    return float(part / whole) if whole else float("nan")
