# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Checkpoints: our file format, the published ones by name, and conversion of official ones."""
