# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Why a grid has no occupied voxels, in a sentence."""

import numpy as np

from scenedino_ros.cameras.plausibility import pitch_down_deg
from scenedino_ros.core.voxels import SemanticVoxels


def why_empty(voxels: SemanticVoxels, threshold: float, T_grid_cam: np.ndarray | None) -> str:
    """Return in words why a grid has no voxel.

    Args:
        voxels: The empty grid; it knows the highest density in view.
        threshold: Density from which on a voxel is occupied, 1/m.
        T_grid_cam: (4, 4) camera pose in the grid's frame, metres; None: in the optical frame.
    """
    highest = voxels.highest_density
    if highest is None:
        found = "no voxel of the grid is in view"
    elif highest >= threshold:
        found = (
            f"what is dense enough is of hidden classes: the highest density in view is "
            f"{highest:.3g} 1/m, the threshold {threshold:.3g} 1/m"
        )
    else:
        found = (
            f"the highest density in view is {highest:.3g} 1/m, below the threshold of "
            f"{threshold:.3g} 1/m"
        )
    if T_grid_cam is None:
        return f"{found}; the grid lies in the camera's optical frame"
    x, y, z = T_grid_cam[:3, 3]
    ahead = ", ".join(f"{value:.2f}" for value in T_grid_cam[:3, 2])
    floor = voxels.grid.origin[2]
    return (
        f"{found}; in the grid's frame the camera is at ({x:.2f}, {y:.2f}, {z:.2f}) m, "
        f"{z - floor:.2f} m above the grid's floor, and looks along ({ahead}), "
        f"{pitch_down_deg(T_grid_cam):.1f} degrees down"
    )
