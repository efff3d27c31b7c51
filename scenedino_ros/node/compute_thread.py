# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""The one thread that computes with tensors, from loading the network to its last frame."""

import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")


class ComputeThread:
    """Runs functions one after the other, all in the same thread.

    OpenMP gives every thread that starts a parallel loop helper threads of its own, and keeps
    them. As soon as there are more of them than processors, all of them sleep at the end of each
    loop instead of waiting for the next one, and a network of some thousand short loops takes
    twice as long. So no other thread of the node computes with tensors.
    """

    def __init__(self) -> None:
        """Prepare the thread; it starts with the first function."""
        self._pool = ThreadPoolExecutor(1, "compute", initializer=self._begin)
        self._thread: threading.Thread | None = None
        self._closed = False

    def _begin(self) -> None:
        self._thread = threading.current_thread()

    def is_alive(self) -> bool:
        """Return whether the thread takes functions, unless it was closed."""
        return self._closed or self._thread is None or self._thread.is_alive()

    def submit(self, function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> Future[R]:
        """Run a function after those that were submitted before; return at once."""
        return self._pool.submit(function, *args, **kwargs)

    def run(self, function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """Run a function after those that were submitted before; return or raise as it does.

        It must not be called from the thread itself.
        """
        return self.submit(function, *args, **kwargs).result()

    def close(self) -> None:
        """End the thread once its functions are done; do not wait for that."""
        self._closed = True
        self._pool.shutdown(wait=False)
