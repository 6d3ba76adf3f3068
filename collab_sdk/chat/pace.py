"""Keeping to a provider's published limits: requests and tokens per minute."""

from collections.abc import Callable

from collab_sdk.chat.retry import Sleep


class Pace:
    """Spreads calls so that neither limit is passed; None is no limit.

    Tokens are known when a reply arrives, so they are charged then: a call starts when earlier ones are paid off.
    """

    def __init__(
        self,
        *,
        requests_per_minute: float | None,
        tokens_per_minute: float | None,
        clock: Callable[[], float],
        sleep: Sleep,
    ) -> None:
        self._seconds_per_request = 60 / requests_per_minute if requests_per_minute else 0.0
        self._seconds_per_token = 60 / tokens_per_minute if tokens_per_minute else 0.0
        self._clock = clock
        self._sleep = sleep
        self._next_request = 0.0
        self._tokens_paid_off = 0.0

    async def wait(self) -> None:
        """Return when the next call may start."""
        now = self._clock()
        start = max(now, self._next_request, self._tokens_paid_off)
        self._next_request = start + self._seconds_per_request
        if start > now:
            await self._sleep(start - now)

    def charge(self, tokens: int) -> None:
        self._tokens_paid_off = max(self._clock(), self._tokens_paid_off) + tokens * self._seconds_per_token
