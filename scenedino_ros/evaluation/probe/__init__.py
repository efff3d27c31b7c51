# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Probes of the features of a frozen network, fitted to labels."""
