# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Tables of the paper as chains of the package's own commands, from recordings to scores."""
