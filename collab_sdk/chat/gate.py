"""The one place where concurrency is bounded, and where it adapts to what an endpoint bears."""

import asyncio
import heapq
from collections.abc import Callable
from itertools import count
from types import TracebackType
from typing import Protocol

from collab_sdk.concurrency import open_order

CREDIT = 0.02
"""Seconds by which a start may be late without moving those after it."""


class Bound(Protocol):
    """How many calls there may be at a time, and how it follows from what became of them; Limit is one."""

    @property
    def value(self) -> float: ...

    @property
    def spacing(self) -> float:
        """Seconds from the start of a call to the next."""

    def succeeded(self, seconds: float | None = None) -> None: ...

    def refused(self, started: float) -> None: ...

    def troubled(self) -> None: ...


class Gate:
    """Lets as many calls to an endpoint run at a time as `bound` says.

    Calls of the conversation that was opened first go first, so that conversations are finished rather than opened.
    """

    def __init__(self, bound: Bound, clock: Callable[[], float]) -> None:
        self._bound = bound
        self._clock = clock
        self.busy = 0
        """Calls that are let through and have not ended."""
        self._waiting: list[tuple[int, int, asyncio.Future[None]]] = []
        self._arrivals = count()
        self._next_start = float("-inf")
        self._alarm: asyncio.TimerHandle | None = None

    @property
    def limit(self) -> float:
        return self._bound.value

    @property
    def waiting(self) -> int:
        return sum(not turn.done() for _, _, turn in self._waiting)

    @property
    def first_waiting(self) -> int | None:
        """When the conversation of the call that is next was opened; None if no call waits."""
        return self._waiting[0][0] if self._waiting else None

    async def __aenter__(self) -> None:
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._waiting, (open_order.get(), next(self._arrivals), turn))
        self.wake()
        if turn.done():
            return
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():  # handed the slot and cancelled in the same step
                self._release()
            raise

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._release()

    def succeeded(self, seconds: float | None = None) -> None:
        """A call was answered, in `seconds` if that is known."""
        self._bound.succeeded(seconds)
        self.wake()

    def refused(self, started: float) -> None:
        """A call that began at `started` met a rate limit."""
        self._bound.refused(started)

    def troubled(self) -> None:
        """A call failed for another reason that may pass."""
        self._bound.troubled()

    def _release(self) -> None:
        self.busy -= 1
        self.wake()

    def wake(self) -> None:
        """Let through what may go now; to be called when the bound has risen by itself."""
        while self._waiting and self.busy < int(self.limit) and self._alarm is None:
            if self._waiting[0][2].done():  # cancelled
                heapq.heappop(self._waiting)
                continue
            if (spacing := self._bound.spacing) > 0:
                now = self._clock()
                if now < self._next_start:
                    loop = asyncio.get_running_loop()
                    self._alarm = loop.call_later(self._next_start - now, self._ring)
                    return
                self._next_start = max(self._next_start, now - CREDIT) + spacing
            self.busy += 1
            heapq.heappop(self._waiting)[2].set_result(None)

    def _ring(self) -> None:
        self._alarm = None
        self._next_start = min(self._next_start, self._clock())
        self.wake()
