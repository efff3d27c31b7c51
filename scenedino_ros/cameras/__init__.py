"""Calibrations, lens models, and images up to the network input image; without ROS."""
