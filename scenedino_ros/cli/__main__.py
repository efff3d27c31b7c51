# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Lets ``python -m scenedino_ros.cli`` do what the console script ``scenedino`` does."""

import sys

from scenedino_ros.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
