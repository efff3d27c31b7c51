# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""How long the node takes from the start of its process to its first answer, by step."""

import os
import time
from pathlib import Path

_IMPORTED = time.monotonic()
_START_TICKS = 19  # field of /proc/self/stat, counted after the name in parentheses


def process_age() -> float:
    """Return the age of this process, seconds."""
    try:
        fields = Path("/proc/self/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    except OSError:
        return time.monotonic() - _IMPORTED
    started = int(fields[_START_TICKS]) / os.sysconf("SC_CLK_TCK")
    return time.clock_gettime(time.CLOCK_BOOTTIME) - started


class StartTimes:
    """Times the steps of the first start, one after the other."""

    def __init__(self) -> None:
        """End the first step: interpreter, ROS and the parameters."""
        self._steps: dict[str, float] = {}
        self._total = 0.0
        self.mark("interpreter and ROS")

    def mark(self, step: str) -> None:
        """Note that a step ends now; a step that ended before is not counted again."""
        self._end(step, process_age())

    def answered(self, first_image: float, first_done: float) -> dict[str, float]:
        """Return how long each step took, seconds, and ``first answer``, their sum.

        Args:
            first_image: When the first image arrived, seconds of `time.monotonic`.
            first_done: When the first image was answered, seconds of `time.monotonic`.
        """
        born = time.monotonic() - process_age()
        self._end("waiting for an image", max(self._total, first_image - born))
        self._end("first image", first_done - born)
        return {"first answer": self._total, **self._steps}

    def _end(self, step: str, age: float) -> None:
        if step not in self._steps:
            self._steps[step], self._total = age - self._total, age
