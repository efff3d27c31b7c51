# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""One image against the rolling map of many, on drives with poses and occupancy grids."""
