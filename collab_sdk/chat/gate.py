"""The one place where concurrency is bounded."""

import asyncio
from collections import deque
from types import TracebackType


class Gate:
    """Lets at most `ceiling` calls to an endpoint run at a time, first come first served.

    It starts at one: until a first call has succeeded, a wrong key or a dead server costs one call, not `ceiling`.
    """

    def __init__(self, ceiling: int) -> None:
        self.ceiling = ceiling
        self.limit = 1
        self._busy = 0
        self._waiting: deque[asyncio.Future[None]] = deque()

    async def __aenter__(self) -> None:
        if self._busy < self.limit:
            self._busy += 1
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
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

    def open(self) -> None:
        """Let `ceiling` calls through: the endpoint answers."""
        self.limit = self.ceiling
        self._wake()

    def _release(self) -> None:
        self._busy -= 1
        self._wake()

    def _wake(self) -> None:
        while self._waiting and self._busy < self.limit:
            turn = self._waiting.popleft()
            if not turn.done():
                self._busy += 1
                turn.set_result(None)
