# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Colours of similarities: from dark, unlike, to bright yellow, alike.

Colours are spread over the angle between two features, so that high similarities stay apart: much
of what stands on a road has more than 0.8 in common.
"""

import cv2
import numpy as np

_DARK = np.arccos(0.5)  # angle from which on colours are darkest, radians


def heat_palette() -> np.ndarray:
    """Return the (256, 3) uint8 RGB colours, dark to bright."""
    ramp = np.arange(256, dtype=np.uint8)[:, None]
    return np.ascontiguousarray(cv2.applyColorMap(ramp, cv2.COLORMAP_INFERNO)[:, 0, ::-1])


def color_similarity(similarity: np.ndarray) -> np.ndarray:
    """Return the (..., 3) uint8 RGB colours of (...) similarities, -1 to 1."""
    return heat_palette()[(brightness(similarity) * 255).round().astype(np.uint8)]


def brightness(similarity: np.ndarray) -> np.ndarray:
    """Return where (...) similarities are on the scale of colours: 0 at 0.5 and less, 1 at 1."""
    return 1 - np.arccos(np.clip(similarity, 0.5, 1)) / _DARK
