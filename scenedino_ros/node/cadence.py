# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""When the next image of a camera is due, by when its latest ones came."""

from collections import deque
from itertools import pairwise
from statistics import median
from typing import NamedTuple

_WINDOW = 8  # latest steps from one image to the next
_ENOUGH = 4  # of them before anything is expected
_TOLERANCE = 0.25  # of a period, for a camera that is regular


class Expected(NamedTuple):
    """When an image is expected, seconds of the clock of its arrivals.

    Attributes:
        due: The likeliest time.
        latest: When to expect it no longer.
    """

    due: float
    latest: float


class Cadence:
    """Watches one camera."""

    def __init__(self) -> None:
        """Start without any image."""
        self._arrivals: deque[float] = deque(maxlen=_WINDOW + 1)

    def add(self, arrival: float) -> Expected | None:
        """Take in when an image came, seconds.

        Returns:
            When the next one is expected; None where the latest ones did not come regularly.
        """
        self._arrivals.append(arrival)
        steps = [b - a for a, b in pairwise(self._arrivals)]
        if len(steps) < _ENOUGH:
            return None
        period = median(steps)
        if max(abs(step - period) for step in steps) >= _TOLERANCE * period:
            return None
        return Expected(arrival + period, arrival + (1 + _TOLERANCE) * period)
