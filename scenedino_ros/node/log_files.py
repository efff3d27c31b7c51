# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Checks whether ROS can write its log files; where it cannot, rclpy does not start."""

import os
from collections.abc import Mapping
from pathlib import Path

# Arguments of `rclpy.init` with which the log goes to the console only.
WITHOUT = ("--ros-args", "--disable-external-lib-logs")


def obstacle(environment: Mapping[str, str]) -> str:
    """Return why the folder of ROS's log files cannot be used; empty if it can.

    Args:
        environment: Variables of the process.
    """
    folder = _folder(environment)
    if folder is None:
        return "no log files are written: HOME is not set; set ROS_LOG_DIR to a folder"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        usable, why = os.access(folder, os.W_OK | os.X_OK), "it is not writable"
    except OSError as error:
        usable, why = False, error.strerror or str(error)
    if usable:
        return ""
    return (
        f"no log files are written: {folder} cannot be used ({why}); set ROS_LOG_DIR to a "
        "folder that is writable"
    )


def _folder(environment: Mapping[str, str]) -> Path | None:
    """Return the folder by ROS's own rules; None where nothing names one."""
    home = environment.get("HOME", "")
    named = environment.get("ROS_LOG_DIR") or os.path.join(
        environment.get("ROS_HOME") or "~/.ros", "log"
    )
    if not named.startswith("~"):
        return Path(named)
    return Path(home + named[1:]) if home else None
