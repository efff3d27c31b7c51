# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Pixels of a fisheye image, and of a virtual pinhole picture in it, by true geometry."""

import numpy as np

from scenedino_ros.cameras.fisheye import MeiCamera


def exact_virtual_grid(
    camera: MeiCamera,
    K_norm: np.ndarray,
    image_size: tuple[int, int],
    R_cam_virtual: np.ndarray,
) -> np.ndarray:
    """Return what the published `fisheye.virtual_grid` is half a pixel off.

    Arguments and result are those of `virtual_grid`; 3 (outside) where the lens sees nothing.
    """
    rows, columns = image_size
    x = (2 * np.arange(columns) + 1) / columns - 1
    y = (2 * np.arange(rows) + 1) / rows - 1
    position = np.stack([*np.meshgrid(x, y), np.ones((rows, columns))], axis=-1)
    uv = camera.project(position @ (R_cam_virtual @ np.linalg.inv(K_norm)).T)
    grid = 2 * uv / (camera.width - 1, camera.height - 1) - 1
    return np.nan_to_num(grid, nan=3.0).astype(np.float32)


def rays_of_pixels(camera: MeiCamera) -> tuple[np.ndarray, np.ndarray]:
    """Return `MeiCamera.rays` of all pixels: (height, width, 3), and the (height, width) mask."""
    u, v = np.meshgrid(np.arange(camera.width), np.arange(camera.height))
    return camera.rays(np.stack([u, v], axis=-1))
