# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Points of a rectified stereo frame, and where another frame shows them.

Corners (Shi-Tomasi) get their disparity from semi-global matching, refined by Lucas-Kanade
tracking from the left to the right image. The same tracking finds them in other frames. Every
track is followed back, and must return to where it began.
"""

from dataclasses import dataclass

import cv2
import numpy as np

_MOST_POINTS = 1500
_QUALITY = 0.005  # of the best corner
_APART_PX = 5
_CELLS = 8  # columns of a grid whose cells have equally many points
_WINDOW, _LEVELS = 11, 3  # of Lucas-Kanade tracking: pixels, levels of the image pyramid
_RETURN_PX = 0.5  # how near a track followed back must come to its beginning
_ROW_PX = 0.8  # how far the row in the right image may be from that in the left one
_LEAST_DISPARITY = 0.8  # pixels
_MATCHED_WIDTH = 640  # columns of the images for semi-global matching, at most
_WIDEST = 6  # disparities up to this fraction of the width (1 / 6)


@dataclass(frozen=True, eq=False)
class StereoPoints:
    """A stereo frame and its points.

    Attributes:
        left: (H, W) uint8 rectified image.
        positions: (N, 3) float64 u, v and disparity, pixels.
    """

    left: np.ndarray
    positions: np.ndarray


def find_points(left: np.ndarray, right: np.ndarray) -> StereoPoints:
    """Return the points of a frame whose disparity is known.

    Args:
        left: (H, W) uint8 rectified image.
        right: (H, W) uint8 its partner.
    """
    uv = _corners(left)
    first = _matched(left, right, uv)
    known = first > 0
    uv, first = uv[known], first[known]
    disparity = right_disparity(left, right, uv, first)
    kept = disparity >= _LEAST_DISPARITY
    return StereoPoints(left, np.column_stack([uv, disparity])[kept].astype(np.float64))


def track_points(points: StereoPoints, image: np.ndarray, guess: np.ndarray) -> np.ndarray:
    """Return (N, 2) float32 positions of points in another image, NaN where they are lost.

    Args:
        points: The points.
        image: (H, W) uint8 left image of another frame.
        guess: (N, 2) where they may be, pixels.
    """
    return _tracked(points.left, image, points.positions[:, :2], guess)


def right_disparity(
    left: np.ndarray, right: np.ndarray, uv: np.ndarray, guess: np.ndarray
) -> np.ndarray:
    """Return (N,) disparities of positions in the left image, NaN where they are unknown.

    Args:
        left: (H, W) uint8 rectified image.
        right: (H, W) uint8 its partner.
        uv: (N, 2) positions, pixels.
        guess: (N,) disparities to begin with, pixels.
    """
    start = np.column_stack([uv[:, 0] - guess, uv[:, 1]])
    found = _tracked(left, right, uv, start)
    level = np.abs(found[:, 1] - uv[:, 1]) <= _ROW_PX
    return np.where(level, uv[:, 0] - found[:, 0], np.nan)


def _corners(image: np.ndarray) -> np.ndarray:
    """Return (N, 2) float32 corners, spread over the image."""
    height, width = image.shape
    rows = max(round(_CELLS * height / width), 1)
    most = _MOST_POINTS // (_CELLS * rows)
    found = []
    for y0, y1 in zip(*_edges(height, rows), strict=True):
        for x0, x1 in zip(*_edges(width, _CELLS), strict=True):
            corners = cv2.goodFeaturesToTrack(image[y0:y1, x0:x1], most, _QUALITY, _APART_PX)
            if corners is not None:
                found.append(corners[:, 0] + (x0, y0))
    return np.concatenate(found).astype(np.float32) if found else np.zeros((0, 2), np.float32)


def _edges(size: int, count: int) -> tuple[np.ndarray, np.ndarray]:
    edges = np.linspace(0, size, count + 1).astype(int)
    return edges[:-1], edges[1:]


def _matched(left: np.ndarray, right: np.ndarray, uv: np.ndarray) -> np.ndarray:
    """Return (N,) disparities of positions by semi-global matching, pixels; 0 where unknown."""
    scale = min(_MATCHED_WIDTH / left.shape[1], 1.0)
    if scale < 1:
        size = (round(left.shape[1] * scale), round(left.shape[0] * scale))
        left, right = (cv2.resize(i, size, interpolation=cv2.INTER_AREA) for i in (left, right))
    block = 5
    count = int(np.ceil(left.shape[1] / _WIDEST / 16)) * 16
    matcher = cv2.StereoSGBM.create(
        minDisparity=0,
        numDisparities=count,
        blockSize=block,
        P1=8 * block**2,
        P2=32 * block**2,
        disp12MaxDiff=1,
        preFilterCap=31,
        uniquenessRatio=10,
        speckleWindowSize=100,
        speckleRange=2,
    )
    # Columns on the left keep their matches when the images are wider there.
    padded = [cv2.copyMakeBorder(i, 0, 0, count, 0, cv2.BORDER_REPLICATE) for i in (left, right)]
    disparity = matcher.compute(*padded)[:, count:].astype(np.float32) / 16
    x, y = np.rint(uv * scale).astype(int).T
    height, width = left.shape
    return np.maximum(disparity[y.clip(0, height - 1), x.clip(0, width - 1)], 0) / scale


def _tracked(
    source: np.ndarray, target: np.ndarray, uv: np.ndarray, guess: np.ndarray
) -> np.ndarray:
    """Return (N, 2) float32 positions in the target image, NaN where they are lost."""
    if not len(uv):
        return np.zeros((0, 2), np.float32)
    start = uv.astype(np.float32)[:, None]
    guess = guess.astype(np.float32)[:, None]
    settings = {
        "winSize": (_WINDOW, _WINDOW),
        "maxLevel": _LEVELS,
        "criteria": (cv2.TERM_CRITERIA_EPS + cv2.TERM_CRITERIA_COUNT, 30, 0.01),
        "flags": cv2.OPTFLOW_USE_INITIAL_FLOW,
    }
    found, ok, _ = cv2.calcOpticalFlowPyrLK(source, target, start, guess.copy(), **settings)
    # From as far away as the way there began: the answer would be no check.
    back, returned, _ = cv2.calcOpticalFlowPyrLK(
        target, source, found, found + start - guess, **settings
    )
    near = np.linalg.norm((back - start)[:, 0], axis=1) < _RETURN_PX
    height, width = target.shape
    x, y = found[:, 0].T
    inside = (x >= 0) & (y >= 0) & (x <= width - 1) & (y <= height - 1)
    kept = (ok[:, 0] == 1) & (returned[:, 0] == 1) & near & inside
    return np.where(kept[:, None], found[:, 0], np.nan)
