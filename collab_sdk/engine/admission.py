"""The one place where concurrency is bounded, and where it adapts to what an endpoint bears."""

import asyncio
import heapq
from collections.abc import Callable
from itertools import count
from typing import Protocol

Queue = list[tuple[int, int, "asyncio.Future[Admission]"]]
CREDIT = 0.02
"""Seconds by which a start may be late without moving those after it."""


class Bound(Protocol):
    """How many calls there may be at a time, and how it follows from their outcomes; AdaptiveLimit is one."""

    @property
    def value(self) -> float: ...

    @property
    def spacing(self) -> float:
        """Seconds from the start of a call to the next."""

    def succeeded(self, seconds: float | None = None) -> None: ...

    def refused(self, started: float) -> None: ...

    def troubled(self) -> None: ...


class Admission:
    """Lets as many calls to an endpoint run at a time as `bound` says.

    Calls of the conversation that was opened first go first, so that conversations are finished rather than opened.
    `beside` gives the queue of another admission, to let calls in from when nobody waits here.
    """

    def __init__(self, bound: Bound, clock: Callable[[], float]) -> None:
        self._bound = bound
        self._clock = clock
        self.busy = 0
        """Calls that are let through and have not ended, those that wait before a retry among them."""
        self.in_flight = 0
        """Those of them that a server is working on."""
        self.beside: Callable[[], Queue] | None = None
        self.queue: Queue = []
        self._staying: Queue = []
        """Calls that no other admission may let in. They go first: they have waited elsewhere before."""
        self._arrivals = count()
        self._next_start = float("-inf")
        self._alarm: asyncio.TimerHandle | None = None

    @property
    def limit(self) -> float:
        return self._bound.value

    @property
    def queued(self) -> int:
        """Calls that wait here."""
        return sum(not turn.done() for _, _, turn in [*self.queue, *self._staying])

    @property
    def first_queued(self) -> int:
        """When the conversation of the call that is next was opened; 0 if no call waits."""
        queue = self._staying or self.queue
        return queue[0][0] if queue else 0

    @property
    def load(self) -> int:
        """Calls that run or wait."""
        return self.busy + len(self.queue) + len(self._staying)

    @property
    def room(self) -> bool:
        """Whether a call would be let in that came now."""
        return self.load < int(self.limit)

    async def enter(self, order: int, *, stays: bool = False) -> "Admission":
        """Wait for a turn, here or, unless it `stays`, at another admission beside it; returns the one to `leave`.

        `order` says when the conversation of the call was opened.
        """
        turn: asyncio.Future[Admission] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._staying if stays else self.queue, (order, next(self._arrivals), turn))
        self.wake()
        if turn.done():
            return turn.result()
        try:
            return await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():  # handed the slot and cancelled in the same step
                turn.result().leave()
            raise

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

    def leave(self) -> None:
        self.busy -= 1
        self.wake()

    def wake(self) -> None:
        """Let in what may go now; to be called when the bound has risen by itself."""
        while self.busy < int(self.limit) and self._alarm is None:
            queue = self._staying or self.queue or (self.beside() if self.beside is not None else None)
            if not queue:
                return
            if queue[0][2].done():  # cancelled
                heapq.heappop(queue)
                continue
            if (spacing := self._bound.spacing) > 0:
                now = self._clock()
                if now < self._next_start:
                    loop = asyncio.get_running_loop()
                    self._alarm = loop.call_later(self._next_start - now, self._ring)
                    return
                self._next_start = max(self._next_start, now - CREDIT) + spacing
            self.busy += 1
            heapq.heappop(queue)[2].set_result(self)

    def _ring(self) -> None:
        self._alarm = None
        self._next_start = min(self._next_start, self._clock())
        self.wake()
