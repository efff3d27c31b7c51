"""Processes that work for this one, whatever started it: a command, a script, a notebook.

A spawned process runs the main script of its parent again, as ``__mp_main__``, to find what is
defined there. A script without a guard (``if __name__ == "__main__"``) would so begin its own work
again in every one of them. Work of this package is defined in its modules, so nothing of the main
script is needed.
"""

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.context import SpawnContext, SpawnProcess
from types import ModuleType

_MAIN = "__main__"
_STARTING = threading.Lock()  # one process at a time


class _Process(SpawnProcess):
    """A spawned process that knows nothing of its parent's main script."""

    def start(self) -> None:
        """Start the process, which is told of a main script that has no file."""
        with _STARTING, _main_without_file():
            super().start()


class WorkerContext(SpawnContext):
    """The context of `multiprocessing` to start processes in that do this package's work.

    They are spawned: a forked process cannot use a GPU. What they are given (functions, arguments,
    results) is defined in modules and not in the main script.
    """

    Process = _Process  # type: ignore[assignment]


@contextmanager
def _main_without_file() -> Iterator[None]:
    main = sys.modules[_MAIN]
    sys.modules[_MAIN] = ModuleType(_MAIN)
    try:
        yield
    finally:
        sys.modules[_MAIN] = main
