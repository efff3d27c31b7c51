# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""The node's services, which exist while it is active; each answers in words what was done."""

from collections.abc import Callable
from functools import partial

from rclpy.node import Node
from std_srvs.srv import SetBool, Trigger

from scenedino_ros.core.errors import SceneDinoError


class Services:
    """Services below the node's own name: those of `core.outputs.SERVICES`."""

    def __init__(
        self,
        node: Node,
        *,
        pause: Callable[[bool], str],
        reset: Callable[[], str],
        save_map: Callable[[], str],
    ) -> None:
        """Open them.

        Args:
            node: The node; its thread calls the functions.
            pause: Pauses (True) or continues (False); returns what was done, in words.
            reset: Makes the whole map unknown; returns what was done, in words.
            save_map: Writes the map to files; returns their names, in words.
        """
        self._node = node
        self._pause = pause
        self._services = [
            node.create_service(SetBool, "~/pause", self._on_pause),
            node.create_service(Trigger, "~/reset", partial(_answer, reset)),
            node.create_service(Trigger, "~/save_map", partial(_answer, save_map)),
        ]

    def close(self) -> None:
        """Close them."""
        for service in self._services:
            self._node.destroy_service(service)
        self._services.clear()

    def _on_pause(self, request: SetBool.Request, response: SetBool.Response) -> SetBool.Response:
        response.success, response.message = True, self._pause(request.data)
        return response


def _answer(
    act: Callable[[], str], _: Trigger.Request, response: Trigger.Response
) -> Trigger.Response:
    try:
        response.success, response.message = True, act()
    except (SceneDinoError, OSError) as error:
        response.success, response.message = False, str(error)
    return response
