"""The one place where concurrency is bounded, and where it adapts to what an endpoint bears."""

import asyncio
import heapq
from collections.abc import Callable
from itertools import count
from types import TracebackType

from collab_sdk.concurrency import open_order

FIRST_ROUND = 16
"""Calls let through once the first has succeeded; from there the limit doubles a round trip until a first refusal."""
CUT = 0.8
GROWTH = 0.01
"""Growth a round trip after a refusal, as a share of the limit that was refused (but at least a tenth of a call)."""


class Gate:
    """Lets a number of calls to an endpoint run at a time, and finds that number out, up to `ceiling`.

    It starts at one: until a first call has succeeded, a wrong key or a dead server costs one call, not `ceiling`. Each
    success then adds to the limit. A rate-limit refusal (429) cuts it by a fifth, once an episode: refusals of calls
    that began before the cut say nothing new. Other trouble (5xx, timeouts) pauses the growth for a round trip.

    Calls of the conversation that was opened first go first, so that conversations are finished rather than opened.
    """

    def __init__(self, ceiling: int, clock: Callable[[], float]) -> None:
        self.ceiling = ceiling
        self.limit = 1.0
        self._clock = clock
        self._busy = 0
        self._waiting: list[tuple[int, int, asyncio.Future[None]]] = []
        self._arrivals = count()
        self._step: float | None = None
        """Growth a round trip; None while no refusal has been met."""
        self._last_cut = float("-inf")
        self._paused_successes = 0

    async def __aenter__(self) -> None:
        if self._busy < int(self.limit) and not self._waiting:
            self._busy += 1
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._waiting, (open_order.get(), next(self._arrivals), turn))
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

    def succeeded(self) -> None:
        """A call was answered."""
        if self._step is None and self.limit < FIRST_ROUND:
            self.limit = FIRST_ROUND
        elif self._paused_successes > 0:
            self._paused_successes -= 1
        else:
            self.limit += 1 if self._step is None else self._step / self.limit
        self.limit = min(self.limit, self.ceiling)
        self._wake()

    def refused(self, started: float) -> None:
        """A call that began at `started` met a rate limit."""
        if started >= self._last_cut:
            self._step = max(0.1, GROWTH * self.limit)
            self.limit = max(1.0, self.limit * CUT)
            self._last_cut = self._clock()

    def troubled(self) -> None:
        """A call failed for another reason that may pass."""
        self._paused_successes = int(self.limit)

    def _release(self) -> None:
        self._busy -= 1
        self._wake()

    def _wake(self) -> None:
        while self._waiting and self._busy < int(self.limit):
            _, _, turn = heapq.heappop(self._waiting)
            if not turn.done():
                self._busy += 1
                turn.set_result(None)
