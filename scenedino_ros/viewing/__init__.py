# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Images, meshes, plots and files for people and other programs to look at.

`pictures` and `plots` draw with NumPy and Matplotlib; `voxel_view` draws voxels, whose visible
faces `cubes` finds; `threshold_panel` compares density thresholds. `drive_map` collects what a
rolling map publishes, `map_view` draws it from above, and `map_panel` puts the pictures of a map
together. `voxel_files` writes PLY and NPZ, and `window` shows them with Open3D.
"""
