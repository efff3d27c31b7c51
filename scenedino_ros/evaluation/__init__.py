# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Evaluations as functions, see `evaluate`: a room for each, and what all of them share."""
