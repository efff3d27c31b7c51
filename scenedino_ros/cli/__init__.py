# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""The command line ``scenedino``: one module per subcommand, registered in `cli.main`."""
