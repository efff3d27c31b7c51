# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Stage 2: a semantic head on the frozen field. `train` has the reading order."""
