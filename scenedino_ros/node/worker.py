# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Processes frames in the compute thread, so that a slow frame does not delay the callbacks."""

import threading
import time
from collections import defaultdict
from concurrent.futures import wait
from typing import Protocol

from scenedino_ros.node.cadence import Cadence, Expected
from scenedino_ros.node.camera_input import CameraInput
from scenedino_ros.node.compute_thread import ComputeThread
from scenedino_ros.node.failures import Failures
from scenedino_ros.node.mailbox import Mailbox
from scenedino_ros.node.pairing import Frame
from scenedino_ros.node.statistics import (
    FrameNotReadyError,
    FrameSkippedError,
    Reason,
    Stage,
)

# Seconds between two looks at a transform that is late, or for an image that is due.
_POLL = 0.002


class Processor(Protocol):
    """What the worker does with frames, such as a `FrameProcessor`. All in the compute thread."""

    def process(self, frame: Frame, camera: CameraInput, *, may_wait: bool) -> None:
        """Process a frame; raise `FrameSkippedError` for one that cannot be used.

        While it may wait, raise `FrameNotReadyError` for one that can perhaps be used later.
        """

    def between(self) -> bool:
        """Do what is due between two frames; return whether it shall be called again soon."""


class FrameWorker:
    """Processes the newest frame of each camera in turn, one at a time, in the compute thread.

    A frame that is not ready yet is held, while the frames of other cameras are processed. An
    exception ends the frame that raised it, never the worker.

    A single camera's frame that has waited for longer than it takes until the next one comes is
    left for that one. What is published then is younger, at the price of a pause, at most half a
    period: the mean age of the newest answer is about the least where the two are equal.
    """

    def __init__(
        self, compute: ComputeThread, processor: Processor, failures: Failures, patience: float
    ) -> None:
        """Wait for frames.

        Args:
            compute: The thread.
            processor: What is done.
            failures: Counts exceptions that nobody foresaw.
            patience: How long after its arrival a frame is held at most, seconds.
        """
        self._compute, self._processor = compute, processor
        self._failures, self._patience = failures, patience
        # `wake` is a sender of its own, without a frame.
        self._mailbox: Mailbox[CameraInput | None, Frame | None] = Mailbox()
        self._lock = threading.Lock()  # of the next two lines
        self._held: dict[CameraInput, Frame] = {}  # in the order in which they were taken
        self._scheduled = self._stopped = False
        self._cadences: defaultdict[CameraInput, Cadence] = defaultdict(Cadence)
        self._expected: dict[CameraInput, Expected | None] = {}
        self._again = False  # whether `between` shall be called again soon
        self._between_since: float | None = None
        self._ended: BaseException | None = None

    def offer(self, camera: CameraInput, frame: Frame) -> None:
        """Hand over a frame; it replaces one of its camera that still waits for its turn."""
        self._expected[camera] = self._cadences[camera].add(frame.arrival)
        if self._mailbox.put(camera, frame) is not None:
            camera.skips.skipped(Reason.REPLACED, "a newer image came while it waited")
        self._schedule()

    def wake(self) -> None:
        """Let the thread do what it does between frames, at once or after the frame at work."""
        self._mailbox.put(None, None)
        self._schedule()

    def discard(self, reason: Reason, sentence: str) -> None:
        """Discard the frames that wait, and count them under a reason."""
        with self._lock:
            held = list(self._held)
            self._held.clear()
        for camera in (*held, *self._mailbox.clear()):
            if camera is not None:
                camera.skips.skipped(reason, sentence)

    def waits(self, camera: CameraInput) -> bool:
        """Return whether a frame of a camera waits for its turn."""
        return camera in self._mailbox

    def between_since(self) -> float | None:
        """Return when the work between frames that is not done yet began, seconds; or None."""
        return self._between_since

    def stop(self, timeout: float | None = None) -> bool:
        """Let the current frame finish, and take no other.

        Args:
            timeout: How long to wait for it, seconds; None waits for as long as it takes.

        Returns:
            Whether the frame is finished.
        """
        with self._lock:
            self._stopped = True
            self._held.clear()
        self._mailbox.close()
        last = self._compute.submit(lambda: None)
        wait([last], timeout)
        return last.done()

    def raise_failure(self) -> None:
        """Raise what ended the worker, such as SystemExit; do nothing while it works."""
        if self._ended is not None:
            raise self._ended

    def _schedule(self) -> None:
        """Submit one turn, unless one is submitted already."""
        with self._lock:
            if self._scheduled or self._stopped:
                return
            self._scheduled = True
        self._compute.submit(self._turn)

    def _turn(self) -> None:
        """Process at most one frame; other work of the thread has its turn before the next."""
        with self._lock:
            self._scheduled = False
        worked = False
        try:
            with self._failures.caught("an image's turn"):  # such as its warning in the log
                worked = self._process_next()
                if worked or self._again:
                    self._again = self._between()
        except BaseException as error:
            self._ended = error
            self.stop(0.0)
            return
        if self._again or self._held or self._mailbox:
            if not worked:
                time.sleep(_POLL)
            self._schedule()

    def _process_next(self) -> bool:
        """Process a frame that was held, or the next one; return whether any work was taken."""
        with self._lock:
            held = list(self._held)
        for camera in held:
            with self._lock:
                held_frame = self._held.pop(camera, None)  # None: it was discarded
            if held_frame is not None and self._work_on(held_frame, camera):
                return True
        if self._next_is_near():
            return False
        taken = self._mailbox.take(held)
        if taken is None:
            return False
        sender, frame = taken
        return sender is None or frame is None or self._work_on(frame, sender)

    def _next_is_near(self) -> bool:
        """Return whether the frame that waits is left for the next one of the only camera."""
        waiting = self._mailbox.only()
        if waiting is None or len(self._expected) > 1:
            return False
        camera, frame = waiting
        expected = self._expected.get(camera) if camera is not None else None
        if expected is None or frame is None:
            return False
        now = time.monotonic()
        waited, left = now - frame.arrival, expected.due - now
        return now < expected.latest and waited > left

    def _work_on(self, frame: Frame, camera: CameraInput) -> bool:
        """Process a frame, or hold it; return whether it is processed."""
        waited = time.monotonic() - frame.arrival
        camera.statistics.begun(frame.stamp_ns)
        try:
            self._processor.process(frame, camera, may_wait=waited < self._patience)
        except FrameNotReadyError:
            with self._lock:
                if not self._stopped:
                    self._held[camera] = frame
            return False
        except FrameSkippedError as error:
            camera.skips.skipped(error.reason, str(error))
        except Exception as error:  # nothing that comes may end the node
            camera.skips.skipped(Reason.FAILED, self._failures.note("an image", error))
        finally:
            camera.statistics.ended()
        camera.statistics.took(Stage.WAIT, waited)
        return True

    def _between(self) -> bool:
        """Do what is due between two frames; return whether it shall be called again soon."""
        self._between_since = time.monotonic()
        again = False
        with self._failures.caught("the work between two images"):
            again = self._processor.between()
        self._between_since = None
        return again
