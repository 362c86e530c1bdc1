"""A bounded queue from one thread to another that either of them can shut.

`queue.Queue` leaves a thread waiting for ever when the other has failed. Here a failure on one side
is raised on the other.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator
from typing import Generic, TypeVar

__all__ = ["Channel"]

T = TypeVar("T")


class Channel(Generic[T]):
    """Items in order, at most ``size`` of them waiting.

    Parameters
    ----------
    size : int
        From 1 up.
    newest : bool
        When it is full, drop the item that has waited longest instead of letting `put` wait: for
        live sources, of which only the present is of interest.

    Attributes
    ----------
    dropped : int
        How many items were.

    Examples
    --------
    >>> channel = Channel(1, newest=True)
    >>> for item in "abc":
    ...     channel.put(item)
    >>> channel.end()
    >>> list(channel), channel.dropped
    (['c'], 2)
    """

    def __init__(self, size: int, *, newest: bool = False) -> None:
        self.dropped = 0
        self._size, self._newest = size, newest
        self._items: deque[T] = deque()
        self._ended = False
        self._error: BaseException | None = None
        self._changed = threading.Condition()

    def put(self, item: T) -> None:
        """Hand over an item; wait for room.

        Raises
        ------
        BaseException
            What `fail` was given.
        """
        with self._changed:
            while len(self._items) >= self._size and self._error is None:
                if self._newest:
                    self._items.popleft()
                    self.dropped += 1
                else:
                    self._changed.wait()
            self.check()
            self._items.append(item)
            self._changed.notify_all()

    def end(self) -> None:
        """Say that no item follows."""
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    def fail(self, error: BaseException) -> None:
        """Drop what waits and raise ``error`` on both sides; the first one stands."""
        with self._changed:
            self._error = self._error or error
            self._items.clear()
            self._changed.notify_all()

    def check(self) -> None:
        """Raise what `fail` was given, if it was."""
        if self._error is not None:
            raise self._error

    def __iter__(self) -> Iterator[T]:
        """Give the items until `end`; raise what `fail` was given."""
        while True:
            with self._changed:
                while not self._items and not self._ended and self._error is None:
                    self._changed.wait()
                self.check()
                if not self._items:
                    return
                item = self._items.popleft()
                self._changed.notify_all()
            yield item
            del item  # or a frame would be held while waiting for the next
