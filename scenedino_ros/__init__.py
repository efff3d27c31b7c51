# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Semantic voxels from one camera image: the SceneDINO model and its ROS 2 node."""

__version__ = "0.1.0"
