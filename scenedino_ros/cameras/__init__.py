"""Calibrations, lenses, and images on their way to the network. Knows no ROS."""
