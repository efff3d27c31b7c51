"""A place for one frame between two threads: the newest wins."""

import threading
from typing import Generic, TypeVar

T = TypeVar("T")


class Mailbox(Generic[T]):
    """One slot that one thread fills and another empties; never a queue."""

    def __init__(self) -> None:
        """Start empty and open."""
        self._condition = threading.Condition()
        self._item: T | None = None
        self._closed = False

    def put(self, item: T) -> T | None:
        """Leave an item for the other side.

        Args:
            item: The newest item.

        Returns:
            The item it replaced because nobody had taken it yet, or None.
        """
        with self._condition:
            replaced, self._item = self._item, item
            self._condition.notify()
        return replaced

    def take(self) -> T | None:
        """Wait for an item and take it out; None once the box is closed."""
        with self._condition:
            self._condition.wait_for(lambda: self._item is not None or self._closed)
            item, self._item = self._item, None
            return None if self._closed else item

    def close(self) -> None:
        """Throw away what is inside and send the waiting side home."""
        with self._condition:
            self._item = None
            self._closed = True
            self._condition.notify_all()
