# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""The rolling map: many images of a moving robot, fused in a bounded box of a fixed frame.

In the order in which to read it:

    box             which voxels the box has, and how it moves with the robot
    in_view         the voxels of the box that a camera sees
    pose_guard      which poses and stamps are refused, and when the map starts anew
    rolling_map     the evidence in each voxel, and how one image changes it
    map_voxels      the occupied voxels of the map
    ground          the ground under the robot, and what stands on it
    map_file        saves a map as PLY and NPZ
"""
