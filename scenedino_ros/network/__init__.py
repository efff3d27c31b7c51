# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""The published model, its folded form, its heads and volume rendering: plain PyTorch."""
