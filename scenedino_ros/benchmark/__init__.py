# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Measures what the package costs, the plain network beside the folded one."""
