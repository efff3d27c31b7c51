# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Transforms that are older than all that is kept: one is late, several in a row mean a jump."""

from enum import Enum

# So many old transforms of one frame in a row, without a newer one, are no longer late ones. What
# came before them was stamped ahead of time, or time began again.
_IN_A_ROW = 3


class Age(Enum):
    """What a transform is, compared with the newest one of its frame."""

    FRESH = "fresh"
    OLD = "old"  # older than all that is kept
    RESTART = "restart"  # the same once again: the newest one was wrong


class TransformAges:
    """Remembers the newest stamp of each frame that moves.

    One transform that is stamped years ahead would otherwise silence its frame for years.
    """

    def __init__(self, horizon_ns: int) -> None:
        """Start without any frame.

        Args:
            horizon_ns: Largest age against the newest of a frame, nanoseconds.
        """
        self._horizon_ns = horizon_ns
        self._newest: dict[str, int] = {}
        self._old: dict[str, int] = {}  # how many in a row

    def newest(self, child: str) -> int:
        """Return the newest stamp of a frame, nanoseconds; 0 if there is none."""
        return self._newest.get(child, 0)

    def judge(self, child: str, stamp_ns: int) -> Age:
        """Compare a transform with the newest one of its frame, and remember it.

        Args:
            child: The frame that the transform places.
            stamp_ns: Its stamp, nanoseconds.
        """
        newest = self._newest.get(child, stamp_ns)
        if stamp_ns >= newest - self._horizon_ns:
            self._newest[child] = max(newest, stamp_ns)
            self._old.pop(child, None)
            return Age.FRESH
        self._old[child] = self._old.get(child, 0) + 1
        if self._old[child] < _IN_A_ROW:
            return Age.OLD
        del self._old[child]
        self._newest[child] = stamp_ns
        return Age.RESTART

    def clear(self) -> None:
        """Forget all frames."""
        self._newest.clear()
        self._old.clear()
