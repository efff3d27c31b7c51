# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Where KITTI-360's Velodyne is on the vehicle."""

import numpy as np

from scenedino_ros.recordings.datasets.kitti360_calibration import Kitti360Calibration
from scenedino_ros.recordings.transforms import inverse


def velodyne_pose(rig: Kitti360Calibration) -> np.ndarray:
    """Return T_base_velo, (4, 4), from camera 00's two poses."""
    return rig.T_base_image("image_00") @ inverse(rig.T_velo_rect)
