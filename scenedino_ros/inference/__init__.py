# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""A checkpoint and images in, voxels and rendered views out; `network_choice` is the entrance."""
