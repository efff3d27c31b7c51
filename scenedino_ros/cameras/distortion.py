# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Distortion models and coefficients, normalised from the names and counts that drivers use.

Brown's polynomial (4 or 5 coefficients), the rational one (8), thin prism (12) and tilted sensor
(14) are one family: each only adds coefficients to the one before, so trailing zeros mean nothing.
Sources: OpenCV's calib3d, sensor_msgs/distortion_models.hpp; image_geometry likewise takes
coefficients that are all zero as no distortion, of whatever model.
"""

import re
from typing import NamedTuple

import numpy as np

from scenedino_ros.core.errors import InputError
from scenedino_ros.core.limits import COEFFICIENTS, DISTORTION

BROWN, RATIONAL, EQUIDISTANT, MEI = "plumb_bob", "rational_polynomial", "equidistant", "mei"

# Names in use, without separators and in lower case. They come from sensor_msgs, OpenCV, Kalibr
# and the drivers of depth cameras. "mei" is ours, see cameras/fisheye.py.
_BROWN_NAMES = (
    *("plumbbob", "rationalpolynomial", "rational", "radtan", "radialtangential"),
    *("brownconrady", "brown"),
)
_EQUIDISTANT_NAMES = ("equidistant", "equi", "fisheye", "kannalabrandt", "kannalabrandt4")
_STRAIGHT_NAMES = ("", "none", "pinhole", "undistorted", "nodistortion")
_LONGEST_NAME = 100  # characters; longer ones are unknown
_BROWN_SIZES = (4, 5, 8, 12, 14)
_KNOWN = (
    "plumb_bob, rational_polynomial, radtan, brown_conrady (4, 5, 8, 12 or 14 coefficients), "
    "equidistant, fisheye, kannala_brandt (4), mei (5), none"
)


class Distortion(NamedTuple):
    """How a lens distorts.

    Attributes:
        model: ``plumb_bob``, ``rational_polynomial``, ``equidistant`` or ``mei``; empty: none.
        D: (N,) float64 coefficients in OpenCV's order; N is 5 (``plumb_bob``), 8, 12 or 14
            (``rational_polynomial``), 4 (``equidistant``), 5 (``mei``) or 0 (no distortion).
    """

    model: str
    D: np.ndarray


def distortion(model: str, coefficients: object) -> Distortion:
    """Return the normalised distortion of a model name and its coefficients.

    Args:
        model: Name of the model; case, spaces, hyphens and underscores do not matter.
        coefficients: Finite numbers. Zeros at the end may be missing or in excess.

    Raises:
        InputError: If a coefficient is not finite or absurd; or, unless all are zero, if the model
            is unknown or has another number of coefficients.
    """
    D = np.array(coefficients, dtype=np.float64).reshape(-1)
    if D.size > COEFFICIENTS:
        raise InputError(f"a distortion takes at most {COEFFICIENTS} numbers, got {D.size}")
    if not np.isfinite(D).all():
        raise InputError(f"distortion coefficients must be finite, got {D.tolist()}")
    if (np.abs(D) > DISTORTION).any():
        raise InputError(
            f"distortion coefficients must be within +-{DISTORTION:g}, got {D.tolist()}"
        )
    if not D.any():
        return Distortion("", np.zeros(0))
    key = re.sub(r"[\s_-]+", "", model[:_LONGEST_NAME]).lower()
    if key in _STRAIGHT_NAMES:
        raise InputError(
            f"distortion coefficients need a distortion model that has some, got '{model}' with "
            f"{D.tolist()}; known: {_KNOWN}"
        )
    if key in _BROWN_NAMES:
        D = _sized(model, D, _BROWN_SIZES)
        padded = np.pad(D, (0, max(0, 5 - D.size)))
        return Distortion(BROWN if padded.size == 5 else RATIONAL, padded)
    if key in _EQUIDISTANT_NAMES:
        return Distortion(EQUIDISTANT, _sized(model, D, (4,)))
    if key == MEI:
        return Distortion(MEI, _sized(model, D, (5,)))
    raise InputError(
        f"unknown distortion model '{model}' with coefficients {D.tolist()}; known: {_KNOWN}"
    )


def _sized(model: str, D: np.ndarray, sizes: tuple[int, ...]) -> np.ndarray:
    """Return the coefficients at the least of the sizes that holds all that are not zero."""
    used = int(D.nonzero()[0][-1]) + 1
    fits = [size for size in sizes if used <= size <= D.size]
    if not fits:
        raise InputError(
            f"distortion model {model} takes {' or '.join(map(str, sizes))} coefficients and "
            f"zeros after them, got {D.size}: {D.tolist()}"
        )
    return D[: fits[0]]
