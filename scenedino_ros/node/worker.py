# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""The thread that processes frames, so that a slow frame does not delay the callbacks."""

import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait

from scenedino_ros.node.camera_input import CameraInput
from scenedino_ros.node.mailbox import Mailbox
from scenedino_ros.node.pairing import Frame
from scenedino_ros.node.statistics import FrameSkippedError, Reason, Stage


class FrameWorker:
    """One thread that processes the newest frame of each camera in turn, one at a time."""

    def __init__(
        self,
        process: Callable[[Frame, CameraInput], None],
        between: Callable[[], None] = lambda: None,
    ) -> None:
        """Start the thread.

        Args:
            process: Called with each frame and its camera; raises `FrameSkippedError` for one it
                cannot use.
            between: Called after each frame, and after `wake`.
        """
        self._process, self._between = process, between
        # `wake` is a sender of its own, without a frame.
        self._mailbox: Mailbox[CameraInput | None, Frame | None] = Mailbox()
        self._pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix="frames")
        self._running: Future[None] = self._pool.submit(self._run)

    def offer(self, camera: CameraInput, frame: Frame) -> None:
        """Hand over a frame; it replaces one of its camera that still waits."""
        if self._mailbox.put(camera, frame) is not None:
            camera.skips.skipped(Reason.REPLACED, "a newer image came while it waited")

    def wake(self) -> None:
        """Let the thread do what it does between frames, at once or after the frame at work."""
        self._mailbox.put(None, None)

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
            if camera is not None and frame is not None:
                self._work_on(frame, camera)
            self._between()

    def _work_on(self, frame: Frame, camera: CameraInput) -> None:
        camera.statistics.took(Stage.WAIT, time.monotonic() - frame.arrival)
        camera.statistics.begun()
        try:
            self._process(frame, camera)
        except FrameSkippedError as error:
            camera.skips.skipped(error.reason, str(error))
        finally:
            camera.statistics.ended()
