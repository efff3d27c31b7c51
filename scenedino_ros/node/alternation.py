# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Notices that several cameras publish on one topic, by what their messages are like."""

from collections import deque
from itertools import pairwise
from typing import Any

_WINDOW = 12  # latest messages
_RETURNS = 3  # of them that are like an earlier one, but not like the one before

# What a message is like: equal for all messages of one camera, its frame first.
Kind = tuple[Any, ...]


class Alternation:
    """Watches one topic.

    Messages that change once, or to ever new values, are those of one camera: it was calibrated
    again, or it zooms. Messages that change back and forth are those of several.
    """

    def __init__(self) -> None:
        """Start without any message."""
        self._kinds: deque[Kind] = deque(maxlen=_WINDOW)

    def add(self, kind: Kind) -> None:
        """Take in what a message is like."""
        self._kinds.append(kind)

    def kinds(self) -> list[Kind]:
        """Return the kinds that come in turn, in the order of their first; none: of one camera."""
        seen = {self._kinds[0]} if self._kinds else set()
        returns = 0
        for before, kind in pairwise(self._kinds):
            returns += kind != before and kind in seen
            seen.add(kind)
        return list(dict.fromkeys(self._kinds)) if returns >= _RETURNS else []
