# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Ends a process after Ctrl-C or SIGTERM: between callbacks, never in the middle of one."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interrupt:
    """Handles the signals that ask a process to end.

    They may arrive twice (from the terminal and from a launch system). The second one changes
    nothing, so it cannot interrupt the clean-up that the first one started.

    Attributes:
        requested: Whether the process has been asked to end.
    """

    def __init__(self) -> None:
        """Handle them from now on. Call this in the main thread."""
        self.requested = False
        self._raising = False
        for number in _SIGNALS:
            signal.signal(number, self._on_signal)

    @contextmanager
    def raising(self) -> Iterator[None]:
        """Let a signal end the body, which may take long, with a `KeyboardInterrupt`.

        Raises:
            KeyboardInterrupt: When a signal arrives, or has arrived before.
        """
        self._raising = True
        try:
            if self.requested:
                raise KeyboardInterrupt
            yield
        finally:
            self._raising = False

    def ignore(self) -> None:
        """Ignore the signals from now on, also while the interpreter shuts down."""
        for number in _SIGNALS:
            signal.signal(number, signal.SIG_IGN)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        first, self.requested = not self.requested, True
        if self._raising and first:
            raise KeyboardInterrupt
