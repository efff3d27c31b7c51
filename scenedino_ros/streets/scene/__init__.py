# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""The content of a street: triangle meshes with classes and materials."""
