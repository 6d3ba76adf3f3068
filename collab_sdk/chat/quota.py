"""What calls a run may make, and who says so: its own process, or a fleet of processes that shares the limits."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from collab_sdk.chat.budget import Budget
from collab_sdk.chat.gate import Gate
from collab_sdk.chat.limit import Limit
from collab_sdk.chat.pace import Pace
from collab_sdk.chat.retry import Sleep
from collab_sdk.errors import UsageError


@dataclass(frozen=True, kw_only=True, slots=True)
class Limits:
    """Calls in flight to each model and a provider's limits per minute, likewise; calls and US dollars in all."""

    concurrency: int = 64
    requests_per_minute: float | None = None
    tokens_per_minute: float | None = None
    max_calls: int | None = None
    max_usd: float | None = None

    def __post_init__(self) -> None:
        if self.concurrency < 1:
            raise UsageError(f"concurrency is {self.concurrency}; it must be 1 or more.")
        for limit in (self.requests_per_minute, self.tokens_per_minute):
            if limit is not None and not limit > 0:
                raise UsageError(f"A limit of {limit} per minute lets nothing through; give a number above 0.")
        if self.max_calls is not None and self.max_calls < 0:
            raise UsageError(f"max_calls is {self.max_calls}; it must be 0 or more.")
        if self.max_usd is not None and not self.max_usd >= 0:
            raise UsageError(f"max_usd is {self.max_usd}; it must be 0 or more.")


class Pacing(Protocol):
    async def wait(self) -> None:
        """Return when the next call may start."""

    def charge(self, tokens: int) -> None:
        """A call took so many tokens."""


class Spending(Protocol):
    async def start(self) -> None:
        """Count one call about to be made. Raises BudgetError if it would pass a limit."""

    def finish(self, usd: float | None) -> None:
        """Account for a call that ended; `usd` is None where it cost nothing or nobody knows."""


class Quota(Protocol):
    """Whom an engine asks before a call; `endpoint` names a model, alike in every process that calls it."""

    @property
    def budget(self) -> Spending: ...

    def gate(self, endpoint: str) -> Gate: ...

    def pace(self, endpoint: str) -> Pacing: ...


class OwnQuota:
    """All of the limits, for one process."""

    def __init__(self, limits: Limits, *, clock: Callable[[], float], sleep: Sleep) -> None:
        self.budget = Budget(max_calls=limits.max_calls, max_usd=limits.max_usd)
        self._limits = limits
        self._clock = clock
        self._sleep = sleep

    def gate(self, endpoint: str) -> Gate:
        return Gate(Limit(self._limits.concurrency, self._clock), self._clock)

    def pace(self, endpoint: str) -> Pace:
        return Pace(
            requests_per_minute=self._limits.requests_per_minute,
            tokens_per_minute=self._limits.tokens_per_minute,
            clock=self._clock,
            sleep=self._sleep,
        )
