# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Where the newest frame of each camera waits for the thread that processes frames."""

import threading
from collections.abc import Container, Hashable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
T = TypeVar("T")


class Mailbox(Generic[K, T]):
    """One slot for each sender, filled by one thread and emptied by another; never a queue.

    The slots are emptied in the order in which they were filled. A newer item takes over the place
    of the one that it replaces, so of N senders each has its turn within N takes.
    """

    def __init__(self) -> None:
        """Start empty and open."""
        self._lock = threading.Lock()
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
        with self._lock:
            replaced = self._slots.get(sender)
            if not self._closed:
                self._slots[sender] = item
        return replaced

    def take(self, but: Container[K] = ()) -> tuple[K, T] | None:
        """Take an item out, with its sender; None where there is none.

        Args:
            but: Senders whose items stay.
        """
        with self._lock:
            for sender in self._slots:
                if sender not in but:
                    return sender, self._slots.pop(sender)
            return None

    def only(self) -> tuple[K, T] | None:
        """Return the item that waits, with its sender; None where there is none or several."""
        with self._lock:
            return next(iter(self._slots.items())) if len(self._slots) == 1 else None

    def __bool__(self) -> bool:
        """Return whether an item waits."""
        with self._lock:
            return bool(self._slots)

    def __contains__(self, sender: K) -> bool:
        """Return whether an item of a sender waits."""
        with self._lock:
            return sender in self._slots

    def clear(self) -> list[K]:
        """Discard what is inside; return whose items those were."""
        with self._lock:
            senders = list(self._slots)
            self._slots.clear()
        return senders

    def close(self) -> None:
        """Discard what is inside, and all that comes."""
        with self._lock:
            self._slots.clear()
            self._closed = True
