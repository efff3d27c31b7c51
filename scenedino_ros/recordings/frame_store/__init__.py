# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Frame stores: drives resampled to the network input, in arrays that are read at once."""
