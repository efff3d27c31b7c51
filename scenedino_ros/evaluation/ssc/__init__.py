# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Semantic scene completion on SSCBench-KITTI-360."""
