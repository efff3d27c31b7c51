# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""What runs of both stages share: settings, folders, processes, states, records."""
