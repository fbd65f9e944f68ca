"""Slots for LM calls: how many may be under way at once, and who goes first."""

from __future__ import annotations

import heapq
import itertools
import threading
from collections.abc import Iterator
from contextlib import contextmanager


class CallSlots:
    """A bounded number of slots; of those who wait, the one of the lowest turn is next.

    A run makes several calls, and results are taken in the order in which runs were asked for. So
    what was asked for first must not wait behind what was asked for later, or the slots run dry
    while it is waited for.

    Args:
        count: calls under way at once.
    """

    def __init__(self, count: int) -> None:
        self._lock = threading.Lock()
        self._free = count
        self._waiting: list[tuple[int, int, threading.Event]] = []
        self._arrivals = itertools.count()

    def acquire(self, turn: int) -> None:
        """Wait for a slot."""
        with self._lock:
            if self._free and not self._waiting:
                self._free -= 1
                return
            called = threading.Event()
            heapq.heappush(self._waiting, (turn, next(self._arrivals), called))
        called.wait()

    def release(self) -> None:
        """Give a slot back, to the one who is next."""
        with self._lock:
            if not self._waiting:
                self._free += 1
                return
            _, _, called = heapq.heappop(self._waiting)
        called.set()

    @contextmanager
    def held(self, turn: int) -> Iterator[None]:
        """Hold a slot."""
        self.acquire(turn)
        try:
            yield
        finally:
            self.release()
