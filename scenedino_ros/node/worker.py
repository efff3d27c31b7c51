# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""The thread that processes frames, so that a slow frame does not delay the callbacks."""

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import Generic, TypeVar

from scenedino_ros.node.pairing import Frame
from scenedino_ros.node.statistics import FrameSkippedError, FrameStatistics, Reason, Stage

T = TypeVar("T")

_WARNING_PERIOD = 10.0  # seconds between two warnings about the same reason


class SkipLog:
    """Counts frames that are not used, and logs a throttled warning for each reason."""

    def __init__(self, statistics: FrameStatistics, warn: Callable[[str], object]) -> None:
        """Count in ``statistics``, and explain with ``warn``."""
        self._statistics = statistics
        self._warn = warn
        self._warned: dict[Reason, float] = {}

    def skipped(self, reason: Reason, sentence: str) -> None:
        """Count one frame, and warn unless a warning for this reason came a moment ago."""
        self._statistics.dropped(reason, sentence)
        now = time.monotonic()
        last = self._warned.get(reason)
        # A frame replaced by a newer one is how a slow network keeps up, nothing to warn about.
        if reason != Reason.REPLACED and (last is None or now - last >= _WARNING_PERIOD):
            self._warned[reason] = now
            self._warn(f"image skipped, {reason.value}: {sentence}")


class Mailbox(Generic[T]):
    """One slot that one thread fills and another empties; never a queue."""

    def __init__(self) -> None:
        """Start empty and open."""
        self._condition = threading.Condition()
        self._item: T | None = None
        self._closed = False

    def put(self, item: T) -> T | None:
        """Put an item in, in place of one that waits.

        Args:
            item: The newest item.

        Returns:
            The item that it replaced, or None.
        """
        with self._condition:
            replaced, self._item = self._item, item
            self._condition.notify()
        return replaced

    def take(self) -> T | None:
        """Wait for an item and take it out; None once the box is closed."""
        with self._condition:
            self._condition.wait_for(lambda: self._item is not None or self._closed)
            item, self._item = self._item, None
            return None if self._closed else item

    def close(self) -> None:
        """Discard what is inside; `take` returns None from now on."""
        with self._condition:
            self._item = None
            self._closed = True
            self._condition.notify_all()


class FrameWorker:
    """One thread that processes the newest frame, one at a time."""

    def __init__(
        self, process: Callable[[Frame], None], statistics: FrameStatistics, skips: SkipLog
    ) -> None:
        """Start the thread.

        Args:
            process: Called with each frame; raises `FrameSkippedError` for one it cannot use.
            statistics: Counts what is processed.
            skips: Counts what is not.
        """
        self._process = process
        self._statistics = statistics
        self._skips = skips
        self._mailbox: Mailbox[Frame] = Mailbox()
        self._pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix="frames")
        self._running: Future[None] = self._pool.submit(self._run)

    def offer(self, frame: Frame) -> None:
        """Hand over a frame; it replaces one that still waits, which is dropped."""
        if self._mailbox.put(frame) is not None:
            self._skips.skipped(Reason.REPLACED, "a newer image came while it waited")

    def stop(self, timeout: float | None = None) -> bool:
        """Let the current frame finish, and take no other.

        Args:
            timeout: How long to wait for it, seconds; None waits for as long as it takes.

        Returns:
            Whether the thread is idle now.
        """
        self._mailbox.close()
        wait([self._running], timeout)
        self._pool.shutdown(wait=False)
        return self._running.done()

    def raise_failure(self) -> None:
        """Raise the exception that ended the thread; do nothing while it runs."""
        if self._running.done():
            self._running.result()

    def _run(self) -> None:
        while (frame := self._mailbox.take()) is not None:
            self._statistics.took(Stage.WAIT, time.monotonic() - frame.arrival)
            self._statistics.begun()
            try:
                self._process(frame)
            except FrameSkippedError as error:
                self._skips.skipped(error.reason, str(error))
            finally:
                self._statistics.ended()
