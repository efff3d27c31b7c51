# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Rendered depth against ground truth from LiDAR or stored depth maps."""
