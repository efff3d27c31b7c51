# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""A drive played through the node in separate processes, with a report at the end."""
