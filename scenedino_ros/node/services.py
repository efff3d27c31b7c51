# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""The node's services, which exist while it is active; each answers in words what was done."""

from collections.abc import Callable

from rclpy.node import Node
from std_srvs.srv import SetBool


class Services:
    """Services below the node's own name: those of `core.outputs.SERVICES`."""

    def __init__(self, node: Node, *, pause: Callable[[bool], str]) -> None:
        """Open them.

        Args:
            node: The node; its thread calls the functions.
            pause: Pauses (True) or continues (False); returns what was done, in words.
        """
        self._node = node
        self._pause = pause
        self._services = [node.create_service(SetBool, "~/pause", self._on_pause)]

    def close(self) -> None:
        """Close them."""
        for service in self._services:
            self._node.destroy_service(service)
        self._services.clear()

    def _on_pause(self, request: SetBool.Request, response: SetBool.Response) -> SetBool.Response:
        response.success, response.message = True, self._pause(request.data)
        return response
