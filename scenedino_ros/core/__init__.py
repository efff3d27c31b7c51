# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""What every room shares: errors, settings, classes, voxels, metrics, files, memory."""
