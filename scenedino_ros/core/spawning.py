# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Worker processes that can be started from a command, a script or a notebook.

A spawned process runs the main script of its parent again, as ``__mp_main__``, to define what the
script defines. A script without a guard (``if __name__ == "__main__"``) would repeat its own work
in each of them. The work of this package is defined in its modules, so the main script is not
needed.
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
    """A spawned process that does not run its parent's main script."""

    def start(self) -> None:
        """Start the process while the main script appears to have no file."""
        with _STARTING, _main_without_file():
            super().start()


class WorkerContext(SpawnContext):
    """The `multiprocessing` context for this package's worker processes.

    They are spawned: a forked process cannot use a GPU. Their functions, arguments and results are
    defined in modules, not in the main script.
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
