# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Folders of recorded data sets, turned into rosbag2 recordings."""
