# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Synthetic drives down procedural streets, with ground truth.

Read in this order:

1. `scene`: a street as labelled triangle meshes. `plan` draws its kind from a seed, `street` puts
   it together, the other modules make its objects and materials.
2. `drive` and `rig`: the motion of the car, and its cameras, which are those of KITTI-360.
3. `raycast`, with `pixel_rays`: what a camera sees (image, depth and classes). `lidar` makes a
   scan, and `voxels` the ground truth of SSCBench's grid. `render` works in several processes.
4. `dataset`: many drives in one folder, resumable. `record` writes a drive as a recording,
   `drive_folders` as the folders of KITTI-360 and SSCBench-KITTI-360.
"""
