# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Calibrations, lens models, and images up to the network input image; without ROS."""
