"""How fast a queue is written: in time, and without holding up the app."""

import time
from collections.abc import Iterator
from typing import TypeVar

Item = TypeVar("Item")

MOST = 64
"""Calls in a batch."""
AGE = 0.05
"""Seconds in which a queue is to be written, with as long a breath between the batches as that allows."""
BREATH = 0.01
"""Seconds between batches in which the app's threads, and other processes that write, have their turn."""
SHORTEST = 0.001


class Pace:
    """Sizes batches, and the breaths between them, by how long the oldest call has waited and what a batch takes."""

    def __init__(self) -> None:
        self._took = 0.0

    def batch(self, queued: int, since: float) -> int:
        """How many calls to write at once, of so many; `since` is when the oldest was queued."""
        batches = max(1, int((since + AGE - time.monotonic()) / (self._took + SHORTEST)))
        return min(MOST, -(-queued // batches))

    def is_late(self, since: float) -> bool:
        """Whether the oldest call has waited for longer than it should."""
        return time.monotonic() > since + AGE

    def breath(self, queued: int, since: float) -> float:
        """Seconds to wait before the next batch."""
        return max(SHORTEST, min(BREATH, (since + AGE - time.monotonic()) / queued))

    def took(self, seconds: float) -> None:
        """A batch has taken so long."""
        self._took = seconds


class Yielding(tuple[Item, ...]):
    """Values, before each of which other threads have their turn: the interpreter would make them wait longer."""

    def __iter__(self) -> Iterator[Item]:
        for value in super().__iter__():
            time.sleep(0)
            yield value
