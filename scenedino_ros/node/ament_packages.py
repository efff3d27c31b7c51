# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Where the ROS packages are installed that the launch files in launch/examples start."""

import os
from pathlib import Path


def package_share(name: str, remedy: str = "") -> Path:
    """Return the folder share/NAME of an installed ROS package.

    Args:
        name: Name of the package.
        remedy: How to install it; empty: with apt.

    Raises:
        RuntimeError: If no sourced workspace has the package, with the remedy.
    """
    for prefix in filter(None, os.environ.get("AMENT_PREFIX_PATH", "").split(os.pathsep)):
        if Path(prefix, "share/ament_index/resource_index/packages", name).is_file():
            return Path(prefix, "share", name)
    distribution = os.environ.get("ROS_DISTRO", "$ROS_DISTRO")
    remedy = remedy or f"sudo apt install ros-{distribution}-{name.replace('_', '-')}"
    raise RuntimeError(f"the package {name} is not installed: {remedy}")
