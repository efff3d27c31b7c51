# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Private names of rclpy, for what it offers no public way to do.

No other module uses one. Each was seen in rclpy 7.1.6 (Jazzy) and 9.1.2 (Kilted).
"""

from collections.abc import Callable
from functools import partial
from typing import Any

from rclpy.lifecycle import LifecycleNode
from rclpy.node import Node
from rclpy.parameter import Parameter

from scenedino_ros.core.errors import SceneDinoError

try:
    from rclpy.impl.implementation_singleton import rclpy_implementation

    RCLError: type[Exception] = rclpy_implementation.RCLError
except (ImportError, AttributeError):  # the base class
    RCLError = RuntimeError


def parameter_overrides(node: Node) -> dict[str, Parameter]:
    """Return the parameters that the user gave to a node, by name.

    The public way, `automatically_declare_parameters_from_overrides`, fails on empty arrays.

    Raises:
        SceneDinoError: If this version of rclpy keeps them elsewhere.
    """
    try:
        overrides: dict[str, Parameter] = node._parameter_overrides
    except AttributeError as error:
        raise SceneDinoError(
            "the node's parameters cannot be read: Node._parameter_overrides must be there, as in "
            "rclpy 7.1.6 and 9.1.2, and this rclpy has none"
        ) from error
    return overrides


def answer_change_state(node: LifecycleNode, answer: Callable[..., Any]) -> None:
    """Let a function answer the service ~/change_state.

    A version of rclpy that keeps the service under another name answers it itself.

    Args:
        node: The node that has the service.
        answer: Takes rclpy's own callback, the request and the response; returns the response.
    """
    service = getattr(node, "_service_change_state", None)
    if service is not None:
        service.callback = partial(answer, service.callback)
