# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Exceptions that nobody foresaw: they are counted and logged, and the node goes on."""

import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from scenedino_ros.core.printable import printable

_MOST_CAUSES = 20  # whose tracebacks are logged
_LONGEST = 300  # characters of an exception's own text in a sentence
_LONGEST_TRACEBACK = 8000  # characters


class Failures:
    """Counts exceptions, and logs the traceback of each distinct cause once.

    A cause is a type of exception and the line that raised it. Methods may be called from any
    thread.
    """

    def __init__(self, log: Callable[[str], object]) -> None:
        """Start without any.

        Args:
            log: Logs an error.
        """
        self._log = log
        self._lock = threading.Lock()
        self._causes: set[tuple[type[Exception], str, int]] = set()
        self._count, self._last = 0, ""

    def note(self, work: str, error: Exception) -> str:
        """Count an exception, and log its traceback if its cause is new.

        Args:
            work: What failed, such as ``an image``.
            error: The exception.

        Returns:
            A sentence that names it, safe to log and to publish.
        """
        words = "".join(traceback.format_exception_only(error))  # also if its `str` fails
        sentence = printable(words.strip(), _LONGEST)
        frames = traceback.extract_tb(error.__traceback__)
        place = (frames[-1].filename, frames[-1].lineno or 0) if frames else ("", 0)
        cause = (type(error), *place)
        with self._lock:
            self._count += 1
            self._last = f"{work}: {sentence}"
            new = cause not in self._causes and len(self._causes) < _MOST_CAUSES
            if new:
                self._causes.add(cause)
        if new:
            lines = "".join(traceback.format_exception(error))
            trace = printable(lines, _LONGEST_TRACEBACK, keep_lines=True)
            with suppress(Exception):  # a log that cannot be written ends nothing either
                self._log(f"{work} failed, and the node goes on; please report this:\n{trace}")
        return sentence

    @contextmanager
    def caught(self, work: str) -> Iterator[None]:
        """Note what the body raises, and go on after it."""
        try:
            yield
        except Exception as error:  # nothing that comes may end the node
            self.note(work, error)

    def counted(self) -> tuple[int, str]:
        """Return how many there were, and the last one as a sentence."""
        with self._lock:
            return self._count, self._last
