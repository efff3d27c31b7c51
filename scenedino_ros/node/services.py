# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""The node's services, which exist while it is active; each answers in words what was done."""

from collections.abc import Callable
from functools import partial
from typing import Any

from rclpy.node import Node
from std_srvs.srv import SetBool, Trigger

from scenedino_ros.core.errors import SceneDinoError
from scenedino_ros.core.memory import is_out_of_memory
from scenedino_ros.core.printable import printable
from scenedino_ros.node.failures import Failures


class Services:
    """Services below the node's own name: those of `core.outputs.SERVICES`."""

    def __init__(
        self,
        node: Node,
        *,
        pause: Callable[[bool], str],
        reset: Callable[[], str],
        save_map: Callable[[], str],
        failures: Failures,
    ) -> None:
        """Open them.

        Args:
            node: The node; its thread calls the functions.
            pause: Pauses (True) or continues (False); returns what was done, in words.
            reset: Makes the whole map unknown; returns what was done, in words.
            save_map: Writes the map to files; returns their names, in words.
            failures: Counts exceptions that nobody foresaw.
        """
        self._node = node
        self._pause, self._failures = pause, failures
        self._services = [
            node.create_service(SetBool, "~/pause", self._on_pause),
            node.create_service(Trigger, "~/reset", partial(self._answer, reset)),
            node.create_service(Trigger, "~/save_map", partial(self._answer, save_map)),
        ]

    def close(self) -> None:
        """Close them."""
        for service in self._services:
            self._node.destroy_service(service)
        self._services.clear()

    def _on_pause(self, request: SetBool.Request, response: SetBool.Response) -> SetBool.Response:
        return self._answer(partial(self._pause, request.data), request, response)

    def _answer(self, act: Callable[[], str], _: Any, response: Any) -> Any:
        """Answer what was done; whatever is raised becomes an answer, too."""
        try:
            response.success, response.message = True, act()
        except (SceneDinoError, OSError) as error:
            response.success, response.message = False, printable(error)
        except Exception as error:  # nothing that comes may end the node
            response.success = False
            if is_out_of_memory(error):
                response.message = f"there is not enough memory: {printable(error)}"
                return response
            response.message = f"failed, see the log: {self._failures.note('a service', error)}"
        return response
