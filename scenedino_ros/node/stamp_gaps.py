# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Images that never arrived, found by the stamps of what did arrive."""

import bisect
from collections import deque

import numpy as np

_WINDOW = 40  # latest stamps that the camera's own rate is taken from
_ENOUGH = 8  # stamps before anything is counted
_TOGETHER = 0.8  # least fraction of images with a calibration of their stamp, if drivers pair them
_REGULAR = 0.8  # fraction of steps that must be a multiple of the camera's period
_TOLERANCE = 0.15  # of a period, for such a multiple
_STOPPED_NS = 2_000_000_000  # a longer gap is a camera that stopped


class StampGaps:
    """Counts images that are missing between those that arrive.

    Where every image has a calibration of its stamp, as camera drivers publish them, a calibration
    without its image shows a missing one, whatever the rate. Otherwise the camera must be regular:
    its period is the lower quartile of the steps, and a step of several periods is a gap.
    """

    def __init__(self) -> None:
        """Start without any stamp."""
        self._images: deque[int] = deque(maxlen=_WINDOW)
        self._infos: deque[int] = deque(maxlen=4 * _WINDOW)

    def add_info(self, stamp_ns: int) -> None:
        """Take in the stamp of a calibration, nanoseconds."""
        self._infos.append(stamp_ns)

    def add_image(self, stamp_ns: int) -> int:
        """Take in the stamp of an image, nanoseconds.

        Returns:
            How many images are missing before the one that came before this one: by now its
            neighbours' calibrations are here, too.
        """
        last = self._images[-1] if self._images else stamp_ns
        if stamp_ns <= last:
            if stamp_ns < last:  # time ran backwards
                self._images.clear()
                self._infos.clear()
            self._images.append(stamp_ns)
            return 0
        missing = self._missing() if len(self._images) >= _ENOUGH else 0
        self._images.append(stamp_ns)
        return missing

    def _missing(self) -> int:
        """Return how many images are missing between the last two that came."""
        before, last = self._images[-2], self._images[-1]
        if last - before > _STOPPED_NS:
            return 0
        infos = set(self._infos)  # looked into for every image, on the thread that takes them in
        together = sum(stamp in infos for stamp in self._images) / len(self._images)
        if together >= _TOGETHER:
            ordered = sorted(infos)
            return bisect.bisect_left(ordered, last) - bisect.bisect_right(ordered, before)
        steps = np.diff(self._images).astype(float)
        period = float(np.quantile(steps, 0.25))
        multiples = steps / period
        regular = np.abs(multiples - np.rint(multiples)) <= _TOLERANCE
        if regular.mean() < _REGULAR:
            return 0
        return max(0, round((last - before) / period) - 1)
