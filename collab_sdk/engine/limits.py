"""What calls a run may make, and who says so: its own process, or a fleet of processes that shares the limits."""

from collections.abc import Callable
from typing import Protocol

from collab_sdk.engine.adaptive import AdaptiveLimit
from collab_sdk.engine.admission import Admission
from collab_sdk.engine.retry import Sleep
from collab_sdk.errors import BudgetError
from collab_sdk.spec import Limits

MOST_CALLS = 10**15
"""That a budget pays for: of a price near 0, more than any number that can be counted in."""
ROUNDING = 1e-6
"""What may be lacking of a call's price, as a share of it: the sum of many prices is not exact."""


def calls_paid_for(usd: float, price: float) -> int:
    """How many calls at `price` so many US dollars pay for."""
    return int(min(usd / price + ROUNDING, MOST_CALLS)) if price else MOST_CALLS


class RateLimiting(Protocol):
    async def wait(self) -> None:
        """Return when the next call may start."""

    def charge(self, tokens: int) -> None:
        """A call took so many tokens."""


class Spending(Protocol):
    async def start(self, admission: Admission) -> None:
        """Count one call of those that `admission` has let in. Raises BudgetError if it would pass a limit."""

    def finish(self, admission: Admission, usd: float | None) -> None:
        """Account for a call that ended; `usd` is None where it cost nothing or nobody knows."""


class Limiter(Protocol):
    """Whom an engine asks before a call; `endpoint` names a model, alike in every process that calls it."""

    @property
    def budget(self) -> Spending: ...

    def admission(self, endpoint: str) -> Admission: ...

    def rate_limit(self, endpoint: str) -> RateLimiting: ...


class RateLimit:
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


class Budget:
    """Counts calls and US dollars against optional limits.

    Calls are counted when they start, so `max_calls` is exact. Money is known when a reply arrives: what is in flight
    is reserved at the mean price so far, so the overshoot of `max_usd` is that estimate's error.
    """

    def __init__(self, *, max_calls: int | None = None, max_usd: float | None = None) -> None:
        self.max_calls = max_calls
        self.max_usd = max_usd
        self.calls = 0
        self.usd = 0.0
        self._priced = 0
        self._in_flight = 0

    async def start(self, admission: Admission) -> None:
        """Count one call of those that `admission` has let in. Raises BudgetError if it would pass a limit."""
        if self.max_calls is not None and self.calls >= self.max_calls:
            raise BudgetError(f"The limit of {self.max_calls} calls is reached.")
        if self.max_usd is not None:
            mean = self.usd / self._priced if self._priced else 0.0
            if self.usd >= self.max_usd or calls_paid_for(self.max_usd - self.usd, mean) <= self._in_flight:
                raise BudgetError(f"The limit of ${self.max_usd:g} is reached (${self.usd:.4f} spent).")
        self.calls += 1
        self._in_flight += 1

    def finish(self, admission: Admission, usd: float | None) -> None:
        """Account for a call that ended; `usd` is None where it cost nothing or nobody knows."""
        self._in_flight -= 1
        if usd is not None:
            self.usd += usd
            self._priced += 1


class LocalLimiter:
    """All of the limits, for one process."""

    def __init__(self, limits: Limits, *, clock: Callable[[], float], sleep: Sleep) -> None:
        self.budget = Budget(max_calls=limits.max_calls, max_usd=limits.max_usd)
        self._limits = limits
        self._clock = clock
        self._sleep = sleep

    def admission(self, endpoint: str) -> Admission:
        return Admission(AdaptiveLimit(self._limits.concurrency, self._clock), self._clock)

    def rate_limit(self, endpoint: str) -> RateLimit:
        return RateLimit(
            requests_per_minute=self._limits.requests_per_minute,
            tokens_per_minute=self._limits.tokens_per_minute,
            clock=self._clock,
            sleep=self._sleep,
        )
