"""Folders of recorded data sets, turned into rosbag2 recordings."""
