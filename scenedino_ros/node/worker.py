# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Processes frames in the compute thread, so that a slow frame does not delay the callbacks."""

import time
from collections.abc import Callable
from concurrent.futures import wait

from scenedino_ros.node.camera_input import CameraInput
from scenedino_ros.node.compute_thread import ComputeThread
from scenedino_ros.node.mailbox import Mailbox
from scenedino_ros.node.pairing import Frame
from scenedino_ros.node.statistics import FrameSkippedError, Reason, Stage


class FrameWorker:
    """Processes the newest frame of each camera in turn, one at a time, in the compute thread."""

    def __init__(
        self,
        compute: ComputeThread,
        process: Callable[[Frame, CameraInput], None],
        between: Callable[[], None] = lambda: None,
    ) -> None:
        """Wait for frames.

        Args:
            compute: The thread.
            process: Called with each frame and its camera; raises `FrameSkippedError` for one it
                cannot use.
            between: Called after each frame, and after `wake`.
        """
        self._compute, self._process, self._between = compute, process, between
        # `wake` is a sender of its own, without a frame.
        self._mailbox: Mailbox[CameraInput | None, Frame | None] = Mailbox()
        self._failure: BaseException | None = None

    def offer(self, camera: CameraInput, frame: Frame) -> None:
        """Hand over a frame; it replaces one of its camera that still waits."""
        if self._mailbox.put(camera, frame) is not None:
            camera.skips.skipped(Reason.REPLACED, "a newer image came while it waited")
        self._compute.submit(self._next)

    def wake(self) -> None:
        """Let the thread do what it does between frames, at once or after the frame at work."""
        self._mailbox.put(None, None)
        self._compute.submit(self._next)

    def discard(self, reason: Reason, sentence: str) -> None:
        """Discard the frames that wait, and count them under a reason."""
        for camera in self._mailbox.clear():
            if camera is not None:
                camera.skips.skipped(reason, sentence)

    def waits(self, camera: CameraInput) -> bool:
        """Return whether a frame of a camera waits for its turn."""
        return camera in self._mailbox

    def stop(self, timeout: float | None = None) -> bool:
        """Let the current frame finish, and take no other.

        Args:
            timeout: How long to wait for it, seconds; None waits for as long as it takes.

        Returns:
            Whether the frame is finished.
        """
        self._mailbox.close()
        last = self._compute.submit(lambda: None)
        wait([last], timeout)
        return last.done()

    def raise_failure(self) -> None:
        """Raise the exception that ended the work; do nothing while there is none."""
        if self._failure is not None:
            raise self._failure

    def _next(self) -> None:
        """Take the next turn; there is none where a newer frame replaced one that waited."""
        taken = self._mailbox.take()
        if taken is None:
            return
        camera, frame = taken
        try:
            if camera is not None and frame is not None:
                self._work_on(frame, camera)
            self._between()
        except BaseException as error:
            self._mailbox.close()
            self._failure = error

    def _work_on(self, frame: Frame, camera: CameraInput) -> None:
        camera.statistics.took(Stage.WAIT, time.monotonic() - frame.arrival)
        camera.statistics.begun()
        try:
            self._process(frame, camera)
        except FrameSkippedError as error:
            camera.skips.skipped(error.reason, str(error))
        finally:
            camera.statistics.ended()
