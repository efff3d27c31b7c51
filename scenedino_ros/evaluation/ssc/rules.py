# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""The SSCBench-KITTI-360 benchmark: its geometry, and its rules for predictions and labels.

Source: Li et al., SSCBench, arXiv:2306.09001, as scored by the published SceneDINO evaluation.
"""

import numpy as np
from scipy.ndimage import maximum_filter

from scenedino_ros.cameras.camera import PinholeCamera
from scenedino_ros.checkpoints.card import DENSITY_THRESHOLD
from scenedino_ros.core.errors import InputError
from scenedino_ros.core.labels import IGNORE, ClassTable
from scenedino_ros.core.voxels import GRID_PRESETS, VoxelGrid

GRID = GRID_PRESETS["sscbench"]
RANGES = (12.8, 25.6, 51.2)
CAMERA = PinholeCamera.from_focal(552.554261, 552.554261, 682.049453, 238.769549, 1408, 376)
# Pose of the unrectified camera 0 in the lidar frame. The image is the rectified one all the same:
# the benchmark leaves the rectifying rotation out, and so must every evaluation comparable to it.
T_VELO_CAM = np.array(
    [
        [0.04307104361, -0.08829286498, 0.995162929, 0.8043914418],
        [-0.999004371, 0.007784614041, 0.04392796942, 0.2993489574],
        [-0.01162548558, -0.9960641394, -0.08786966659, -0.1770225824],
        [0.0, 0.0, 0.0, 1.0],
    ]
)
# From the 20 classes of the label files to the 16 that are scored; 255 is not scored.
_SSC20_TO_EVAL16 = (0, 1, 2, 3, 4, 5, 6, 7, 8, 8, 12, 9, 10, 11, 12, 13, 14, 9, 15, 0)
_BELOW_STREET = 6  # highest z index at which empty voxels under everything are not scored


def view_mask(
    grid: VoxelGrid = GRID, T_grid_cam: np.ndarray = T_VELO_CAM, camera: PinholeCamera = CAMERA
) -> np.ndarray:
    """Return which voxel centres fall on a pixel of the image.

    Args:
        grid: The grid.
        T_grid_cam: (4, 4) camera pose in the grid frame, metres.
        camera: The camera, with intrinsics in pixels of the original image.

    Returns:
        (X, Y, Z) bool. Pixel positions are rounded to the nearest integer, ties to even.
    """
    T_cam_grid = np.linalg.inv(np.asarray(T_grid_cam, dtype=np.float64))
    centers = grid.centers().reshape(-1, 3).astype(np.float64)
    points = centers @ T_cam_grid[:3, :3].T + T_cam_grid[:3, 3]
    in_front = points[:, 2] > 0
    inside = np.zeros(len(points), dtype=bool)
    pixels = np.rint(camera.project(points[in_front]))
    inside[in_front] = (
        (pixels[:, 0] >= 0)
        & (pixels[:, 0] < camera.width)
        & (pixels[:, 1] >= 0)
        & (pixels[:, 1] < camera.height)
    )
    return inside.reshape(grid.shape)


def grow_densities(density: np.ndarray) -> np.ndarray:
    """Return the maximum of each voxel's 3x3x3 neighbourhood, (X, Y, Z) as it came."""
    return maximum_filter(density, size=3, mode="nearest")


def combine_samples(
    label: np.ndarray, density: np.ndarray, spacing: float
) -> tuple[np.ndarray, np.ndarray]:
    """Combine several samples of each voxel into one class and one density.

    Args:
        label: (N, S) uint8 class ids of S samples per voxel, x slowest, z fastest.
        density: (N, S) float32 densities of the samples, 1/m.
        spacing: Distance between samples, metres; the length over which opacity is taken.

    Returns:
        (N,) uint8 class with the largest sum of opacities, the first one if several are equal: so
        class 0 where every opacity is zero. (N,) float32 largest density.
    """
    # Rounded from float64: float32's own exponential differs in its last digit from machine to
    # machine, and that digit decides whether a small opacity is zero.
    exponent = -np.float32(spacing) * density
    opacity = 1 - np.exp(exponent.astype(np.float64)).astype(np.float32)
    weights = np.zeros((len(label), int(label.max(initial=0)) + 1), np.float32)
    rows = np.arange(len(label))
    for sample in range(label.shape[1]):
        weights[rows, label[:, sample]] += opacity[:, sample]
    return weights.argmax(axis=1).astype(np.uint8), density.max(axis=1)


def evaluated_prediction(
    label: np.ndarray,
    density: np.ndarray,
    classes: ClassTable,
    threshold: float = DENSITY_THRESHOLD,
) -> np.ndarray:
    """Return predicted benchmark classes.

    Args:
        label: (X, Y, Z) uint8 predicted class ids.
        density: (X, Y, Z) grown density, 1/m.
        classes: Class table of the labels.
        threshold: Density from which a voxel is occupied.

    Returns:
        (X, Y, Z) uint8 in 0..15, 0 where the voxel counts as empty.
    """
    return np.where(density < threshold, 0, classes.ssc_lookup[label]).astype(np.uint8)


def evaluated_target(labels: np.ndarray) -> np.ndarray:
    """Return the ground truth in scored classes, with the extra ignored voxels.

    Besides the labels' own 255, an empty voxel with z index <= 6 is ignored unless something is
    occupied strictly below it in its column.

    Args:
        labels: (X, Y, Z) benchmark labels 0..19 or 255.

    Returns:
        (X, Y, Z) uint8 in 0..15, or 255.

    Raises:
        InputError: If a label is neither 0..19 nor 255.
    """
    lookup = np.full(256, -1, dtype=np.int16)
    lookup[: len(_SSC20_TO_EVAL16)] = _SSC20_TO_EVAL16
    lookup[IGNORE] = IGNORE
    target = lookup[np.asarray(labels).astype(np.uint8)]
    if (target < 0).any():
        wrong = np.unique(np.asarray(labels)[target < 0])
        raise InputError(f"benchmark labels must be 0..19 or 255, got {wrong.tolist()}")
    target = target.astype(np.uint8)
    occupied = (target != 0) & (target != IGNORE)
    below = np.zeros_like(occupied)
    below[..., 1:] = np.logical_or.accumulate(occupied, axis=-1)[..., :-1]
    under_street = (target == 0) & ~below
    under_street[..., _BELOW_STREET + 1 :] = False
    target[under_street] = IGNORE
    return target


def range_crop(metres: float) -> tuple[slice, slice, slice]:
    """Return the index ranges of the nested box that reaches this far ahead and to both sides."""
    n = int(metres // GRID.voxel_size)
    if metres not in RANGES:
        raise InputError(f"range must be one of {RANGES} m, got {metres}")
    half = GRID.shape[1] // 2
    return slice(0, n), slice(half - n // 2, half + n // 2), slice(None)
