# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""The thread that processes frames, so that a slow frame does not delay the callbacks."""

import threading
import time
from collections.abc import Callable, Hashable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import Generic, TypeVar

from scenedino_ros.node.camera_input import CameraInput
from scenedino_ros.node.pairing import Frame
from scenedino_ros.node.statistics import FrameSkippedError, Reason, Stage

K = TypeVar("K", bound=Hashable)
T = TypeVar("T")


class Mailbox(Generic[K, T]):
    """One slot for each sender, filled by one thread and emptied by another; never a queue.

    The slots are emptied in the order in which they were filled. A newer item takes over the place
    of the one that it replaces, so of N senders each has its turn within N takes.
    """

    def __init__(self) -> None:
        """Start empty and open."""
        self._condition = threading.Condition()
        self._slots: dict[K, T] = {}  # in the order in which they were filled
        self._closed = False

    def put(self, sender: K, item: T) -> T | None:
        """Put an item into the sender's slot, in place of one that waits there.

        Args:
            sender: Whose slot.
            item: The newest item.

        Returns:
            The item that it replaced, or None.
        """
        with self._condition:
            replaced = self._slots.get(sender)
            if not self._closed:
                self._slots[sender] = item
            self._condition.notify()
        return replaced

    def take(self) -> tuple[K, T] | None:
        """Wait for an item and take it out, with its sender; None once the box is closed."""
        with self._condition:
            self._condition.wait_for(lambda: self._slots or self._closed)
            if self._closed:
                return None
            sender = next(iter(self._slots))
            return sender, self._slots.pop(sender)

    def __contains__(self, sender: K) -> bool:
        """Return whether an item of a sender waits."""
        with self._condition:
            return sender in self._slots

    def clear(self) -> list[K]:
        """Discard what is inside; return whose items those were."""
        with self._condition:
            senders = list(self._slots)
            self._slots.clear()
        return senders

    def close(self) -> None:
        """Discard what is inside; `take` returns None from now on."""
        with self._condition:
            self._slots.clear()
            self._closed = True
            self._condition.notify_all()


class FrameWorker:
    """One thread that processes the newest frame of each camera in turn, one at a time."""

    def __init__(self, process: Callable[[Frame, CameraInput], None]) -> None:
        """Start the thread.

        Args:
            process: Called with each frame and its camera; raises `FrameSkippedError` for one it
                cannot use.
        """
        self._process = process
        self._mailbox: Mailbox[CameraInput, Frame] = Mailbox()
        self._pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix="frames")
        self._running: Future[None] = self._pool.submit(self._run)

    def offer(self, camera: CameraInput, frame: Frame) -> None:
        """Hand over a frame; it replaces one of its camera that still waits."""
        if self._mailbox.put(camera, frame) is not None:
            camera.skips.skipped(Reason.REPLACED, "a newer image came while it waited")

    def discard(self, reason: Reason, sentence: str) -> None:
        """Discard the frames that wait, and count them under a reason."""
        for camera in self._mailbox.clear():
            camera.skips.skipped(reason, sentence)

    def waits(self, camera: CameraInput) -> bool:
        """Return whether a frame of a camera waits for its turn."""
        return camera in self._mailbox

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
        while (taken := self._mailbox.take()) is not None:
            camera, frame = taken
            camera.statistics.took(Stage.WAIT, time.monotonic() - frame.arrival)
            camera.statistics.begun()
            try:
                self._process(frame, camera)
            except FrameSkippedError as error:
                camera.skips.skipped(error.reason, str(error))
            finally:
                camera.statistics.ended()
