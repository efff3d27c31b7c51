# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Depth of the images of one moving camera by plane sweep: the depth with the best match.

Sources: Collins, A Space-Sweep Approach to True Multi-Image Matching, 1996; Hirschmueller, Stereo
Processing by Semiglobal Matching and Mutual Information, 2008, for what neighbours agree on.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

N_PLANES = 128
_WINDOW = (5, 5)
_FLAT = 1e-4  # added to variances: where both images are flat, they match
_UNSEEN_COST = 1.2  # of 0 .. 2; 1 is what unrelated patches have
_WORST_COST = 0.6
_MIN_SOURCES = 2
_SMALL_STEP, _LARGE_STEP = 0.15, 0.9  # penalties between neighbours: one plane apart, or more
_AGREEMENT = 0.08  # relative difference of depths


@dataclass(frozen=True, eq=False)
class GrayView:
    """An image of the camera.

    Attributes:
        gray: (H, W) float32 brightness, 0 to 1.
        T_world_cam: (4, 4) pose, metres.
    """

    gray: np.ndarray
    T_world_cam: np.ndarray


def pixel_directions(K_norm: np.ndarray, height: int, width: int) -> np.ndarray:
    """Return the (height, width, 3) directions of pixels, with z = 1, in the optical frame."""
    x = (np.arange(width) + 0.5) / width * 2 - 1
    y = (np.arange(height) + 0.5) / height * 2 - 1
    columns, rows = np.meshgrid(
        (x - K_norm[0, 2]) / K_norm[0, 0], (y - K_norm[1, 2]) / K_norm[1, 1]
    )
    return np.stack([columns, rows, np.ones_like(columns)], axis=-1)


def plane_sweep(
    view: GrayView,
    sources: Sequence[GrayView],
    K_norm: np.ndarray,
    depth_range: tuple[float, float],
) -> np.ndarray:
    """Return the (H, W) float32 z-depth of a view, metres; 0 where it is not known.

    The depth is unknown where fewer than two sources see a point at the nearest depth: near
    surfaces could not be matched there, and a wrong, farther depth would be found.

    Args:
        view: The image.
        sources: Other images of the same camera; each pixel is matched with the better half.
        K_norm: (3, 3) intrinsics for coordinates in [-1, 1].
        depth_range: Nearest and farthest depth, metres.
    """
    if len(sources) < _MIN_SOURCES:
        return np.zeros(view.gray.shape, np.float32)
    inverse = np.linspace(1 / depth_range[0], 1 / depth_range[1], N_PLANES)
    costs, n_seen = _matching_costs(view, sources, K_norm, inverse)
    total = _aggregated(costs)
    best = total.argmin(axis=-1)
    rows, columns = np.indices(best.shape)
    # The parabola through the best plane and its neighbours has its minimum between them.
    middle = best.clip(1, N_PLANES - 2)
    before, at, after = (total[rows, columns, middle + step] for step in (-1, 0, 1))
    shift = ((before - after) / (2 * (before - 2 * at + after) + 1e-9)).clip(-0.5, 0.5)
    depth = 1 / np.interp(middle + shift, np.arange(N_PLANES), inverse)
    unknown = costs[rows, columns, best] > _WORST_COST
    unknown |= (best >= N_PLANES - 2) | (n_seen < _MIN_SOURCES)
    return np.where(unknown, 0, depth).astype(np.float32)


def agreeing_depth(
    depth: np.ndarray,
    T_world_cam: np.ndarray,
    others: Sequence[tuple[np.ndarray, np.ndarray]],
    K_norm: np.ndarray,
) -> np.ndarray:
    """Return the depth of a view where the depth of at least one other view agrees, else 0.

    Args:
        depth: (H, W) z-depth, metres; 0 where unknown.
        T_world_cam: (4, 4) pose of the view.
        others: Depth and pose of other views of the same camera.
        K_norm: (3, 3) intrinsics for coordinates in [-1, 1].
    """
    height, width = depth.shape
    points = pixel_directions(K_norm, height, width) * depth[..., None]
    agrees = np.zeros(depth.shape, bool)
    for other, T_world_other in others:
        T = np.linalg.inv(T_world_other) @ T_world_cam
        column, row, z = _project(points @ T[:3, :3].T + T[:3, 3], K_norm, height, width)
        column, row = np.round(column).astype(int), np.round(row).astype(int)
        inside = (column >= 0) & (column < width) & (row >= 0) & (row < height) & (z > 0)
        found = np.where(inside, other[row.clip(0, height - 1), column.clip(0, width - 1)], 0)
        agrees |= (found > 0) & (np.abs(found - z) < _AGREEMENT * z)
    return np.where(agrees & (depth > 0), depth, 0)


def _matching_costs(
    view: GrayView, sources: Sequence[GrayView], K_norm: np.ndarray, inverse: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return (H, W, planes) costs, and how many sources see each pixel at the nearest plane."""
    height, width = view.gray.shape
    # From here on in single precision: an error of 1e-4 px, in half the time.
    K_norm = K_norm.astype(np.float32)
    directions = pixel_directions(K_norm, height, width).astype(np.float32)
    relative = [
        (np.linalg.inv(source.T_world_cam) @ view.T_world_cam).astype(np.float32)
        for source in sources
    ]
    turned = [(directions @ T[:3, :3].T, T[:3, 3]) for T in relative]
    better_half = max(_MIN_SOURCES, (len(sources) + 1) // 2)
    mean, deviation = _local_statistics(view.gray)
    costs = np.empty((height, width, len(inverse)), np.float32)
    n_seen = np.zeros((height, width), int)
    for plane, inverse_depth in enumerate(inverse.astype(np.float32)):
        found = np.empty((len(sources), height, width), np.float32)
        for cost, source, (turn, shift) in zip(found, sources, turned, strict=True):
            column, row, z = _project(turn + shift * inverse_depth, K_norm, height, width)
            seen = (z > 0) & (column >= 0) & (column <= width - 1)
            seen &= (row >= 0) & (row <= height - 1)
            moved = cv2.remap(
                source.gray, column.astype(np.float32), row.astype(np.float32), cv2.INTER_LINEAR
            )
            moved_mean, moved_deviation = _local_statistics(moved)
            together = cv2.boxFilter(view.gray * moved, -1, _WINDOW) - mean * moved_mean
            cost[:] = 1 - (together + _FLAT) / (deviation * moved_deviation)
            cost[~seen] = _UNSEEN_COST
            if plane == 0:
                n_seen += seen
        # In the other half, the point may be occluded.
        found.sort(axis=0)
        costs[..., plane] = found[:better_half].mean(axis=0)
    return costs, n_seen


def _project(
    points: np.ndarray, K_norm: np.ndarray, height: int, width: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return column and row in pixels, counted from the first pixel's centre, and depth."""
    z = np.where(np.abs(points[..., 2]) > 1e-6, points[..., 2], 1e-6)
    column = ((points[..., 0] / z * K_norm[0, 0] + K_norm[0, 2] + 1) * width - 1) / 2
    row = ((points[..., 1] / z * K_norm[1, 1] + K_norm[1, 2] + 1) * height - 1) / 2
    return column, row, points[..., 2]


def _local_statistics(gray: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return mean and standard deviation around each pixel."""
    mean = cv2.boxFilter(gray, -1, _WINDOW)
    variance = cv2.boxFilter(gray * gray, -1, _WINDOW) - mean * mean
    return mean, np.sqrt(variance.clip(min=0) + _FLAT)


def _aggregated(costs: np.ndarray) -> np.ndarray:
    """Return the sum of (H, W, planes) costs along paths from above, below, left and right."""
    total = _path(costs) + _path(costs[::-1])[::-1]
    across = np.ascontiguousarray(costs.swapaxes(0, 1))
    total += (_path(across) + _path(across[::-1])[::-1]).swapaxes(0, 1)
    return total


def _path(costs: np.ndarray) -> np.ndarray:
    """Return the least costs of reaching each plane along paths over the first axis."""
    reached = np.empty_like(costs)
    reached[0] = costs[0]
    for i in range(1, len(costs)):
        last = reached[i - 1]
        least = last.min(axis=-1, keepdims=True)
        come = np.minimum(last, least + _LARGE_STEP)
        np.minimum(come[..., 1:], last[..., :-1] + _SMALL_STEP, out=come[..., 1:])
        np.minimum(come[..., :-1], last[..., 1:] + _SMALL_STEP, out=come[..., :-1])
        reached[i] = costs[i] + come - least
    return reached
