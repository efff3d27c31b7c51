# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Simulates scans by the LiDAR on the roof: KITTI-360's Velodyne without noise."""

import functools

import numpy as np

from scenedino_ros.streets.raycast import SceneRenderer, rays_in_world

BEAMS = 64
_ELEVATIONS_DEG = (2.0, -24.8)  # of the highest and the lowest beam
COLUMNS = 1024  # directions around; the real one has twice as many at 10 turns per second
MAX_RANGE = 80.0  # metres


def scan_points(renderer: SceneRenderer, T_world_velo: np.ndarray) -> np.ndarray:
    """Return what the LiDAR sees of a scene at one moment: it does not turn while it scans.

    Args:
        renderer: The scene.
        T_world_velo: (4, 4) LiDAR (x forward, y left, z up) to world, metres.

    Returns:
        (N, 4) float32: x, y, z in the LiDAR's frame, metres, and a reflectance of 0, since the
        scene has none.
    """
    directions = _directions()
    ranges = renderer.ranges(rays_in_world(directions, T_world_velo))
    hit = ranges <= MAX_RANGE
    points = np.zeros((int(hit.sum()), 4), dtype=np.float32)
    points[:, :3] = directions[hit] * ranges[hit, None]
    return points


@functools.cache
def _directions() -> np.ndarray:
    """Return the (N, 3) float32 unit directions of all beams in the LiDAR's frame."""
    elevation = np.radians(np.linspace(*_ELEVATIONS_DEG, BEAMS))[:, None]
    azimuth = np.linspace(-np.pi, np.pi, COLUMNS, endpoint=False)
    x, y = np.cos(elevation) * np.cos(azimuth), np.cos(elevation) * np.sin(azimuth)
    z = np.broadcast_to(np.sin(elevation), x.shape)
    return np.stack([x, y, z], axis=-1).reshape(-1, 3).astype(np.float32)
