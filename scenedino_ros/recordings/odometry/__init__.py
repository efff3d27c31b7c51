# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Poses by visual odometry with a calibrated stereo pair, and errors of trajectories."""
