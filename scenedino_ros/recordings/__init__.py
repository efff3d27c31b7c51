# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Recorded drives: rosbag2 recordings read and written without ROS, poses, and frame stores.

To understand how a recording becomes data for training, read in this order:

1. `rosbag2`: the files. `reader` and `writer` are what others use; every storage format has a
   module below them.
2. `recording`: the cameras of a recording. `camera_topics` and `image_topics` find their topics,
   `bag_index` reads all messages once, `streams` holds the images of a topic in the order of time,
   `maps` decodes labels and depth.
3. `pose_source`: the trajectory of the vehicle, from transforms, odometry or a file (`poses`).
   `transforms` has the arithmetic, `transform_tree` the lookup between frames. `tf_cdr` and
   `header_cdr` read serialized messages.
4. `frame_store`: frames with all cameras and a pose, resampled to the network input. `build` makes
   a store, `store` reads one.

`datasets` turns KITTI-360, DGP and Argoverse, which are folders of files, into recordings.
"""
