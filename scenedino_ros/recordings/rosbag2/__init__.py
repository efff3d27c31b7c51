# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""rosbag2 recordings, sqlite3 and MCAP, read and written without ROS."""
