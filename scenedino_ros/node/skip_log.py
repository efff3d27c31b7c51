# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Counts and explains frames that are not used."""

import time
from collections.abc import Callable

from scenedino_ros.core.printable import printable
from scenedino_ros.node.statistics import FrameStatistics, Reason

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
        sentence = printable(sentence)
        self._statistics.dropped(reason, sentence)
        now = time.monotonic()
        last = self._warned.get(reason)
        if reason.is_problem and (last is None or now - last >= _WARNING_PERIOD):
            self._warned[reason] = now
            self._warn(f"image skipped, {reason.value}: {sentence}")
