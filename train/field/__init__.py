# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Stage 1: geometry and features of the field. `train` has the reading order."""
