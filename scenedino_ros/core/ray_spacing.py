# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""How samples are spaced along rays, see `network.render.sample_distances`."""

INVERSE = "inverse"  # in inverse depth, as published
LOGARITHMIC = "logarithmic"  # finer beyond 10 m, coarser before
