# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Checkpoints of the published code, and of training runs with it, turned into our format."""
