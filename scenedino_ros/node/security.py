# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""SROS 2: sentences on why the client library does not start with security."""

from collections.abc import Mapping

_ENABLED, _KEYSTORE = "ROS_SECURITY_ENABLE", "ROS_SECURITY_KEYSTORE"
_STRATEGY, _ENFORCE = "ROS_SECURITY_STRATEGY", "Enforce"


def gap(environment: Mapping[str, str]) -> str:
    """Return a warning if ROS may start without the security that was asked for; else nothing.

    Args:
        environment: Variables of the process.
    """
    strategy = environment.get(_STRATEGY) or "unset"
    if environment.get(_ENABLED) != "true" or strategy == _ENFORCE:
        return ""
    return (
        f"{_ENABLED} is true, but {_STRATEGY} is {strategy}: where ROS finds no keys for this "
        f"node, it runs without security and says nothing; set {_STRATEGY} to {_ENFORCE}"
    )


def why_not_secure(error: Exception, environment: Mapping[str, str]) -> str:
    """Return why ROS cannot start with security; empty where the error has another cause.

    Args:
        error: What rclpy raised when ROS or a node was to start.
        environment: Variables of the process.
    """
    if environment.get(_ENABLED) != "true":
        return ""
    lines = str(error).splitlines() or [""]
    reason = lines[0].split(", at ")[0]
    if "security libraries" in reason or "security plugin" in reason:
        return (
            f"{_ENABLED} is true, but the middleware of this installation has no security plugins "
            f"({reason}): install a ROS 2 that has them, or unset {_ENABLED}"
        )
    if not environment.get(_KEYSTORE):
        return f"{_ENABLED} is true, so {_KEYSTORE} must name the folder of the keys; it is unset"
    if "security" in reason.lower():
        return (
            f"{_ENABLED} is true, but the keys in {_KEYSTORE} cannot be used ({reason}): create "
            "them with ros2 security, and name the enclave with --ros-args --enclave /scenedino"
        )
    return ""
