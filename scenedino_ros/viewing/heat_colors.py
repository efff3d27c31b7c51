# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Colours of similarities: dark where nothing is alike, bright yellow where all is."""

import cv2
import numpy as np


def heat_palette() -> np.ndarray:
    """Return the (256, 3) uint8 RGB colours of similarities 0 to 1."""
    ramp = np.arange(256, dtype=np.uint8)[:, None]
    return np.ascontiguousarray(cv2.applyColorMap(ramp, cv2.COLORMAP_INFERNO)[:, 0, ::-1])


def color_similarity(similarity: np.ndarray) -> np.ndarray:
    """Return the (..., 3) uint8 RGB colours of (...) similarities; below 0 as at 0."""
    return heat_palette()[(np.clip(similarity, 0, 1) * 255).round().astype(np.uint8)]
