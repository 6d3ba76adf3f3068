"""A worker's part of the limits that all share: the limiter of its engine, and the reports that renew it."""

import asyncio
from collections import defaultdict, deque
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass

from collab_ray.broker import (
    MAX_INTERVAL,
    MIN_INTERVAL,
    MOST_WARNINGS,
    STALE_SECONDS,
    EndpointReport,
    Grant,
    Report,
)
from collab_sdk.cache import Cache, MemoryCache
from collab_sdk.engine import Admission, Ledger, Sleep
from collab_sdk.errors import BudgetError
from collab_sdk.secrets import one_line

MAX_START_DELAY = 0.05
"""Seconds by which a start may be late; a later one would crowd those after it."""
PATIENCE = 1.0
"""Seconds without a start after which a late one is taken: a loop that is always held up would have none at all."""
LONGEST_WARNING = 1000
"""Characters."""


class LeasedConcurrency:
    """What this client was lent of a model's slots, in place of an AdaptiveLimit of its own."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self.slots = 0
        self.spacing = 0.0
        self.good_until = 0.0
        self.answered, self.troubles = 0, 0
        self.seconds, self.timed = 0.0, 0
        self.refusals: list[float] = []
        self._clock = clock

    @property
    def value(self) -> float:
        return self.slots if self._clock() < self.good_until else 0.0

    def succeeded(self, seconds: float | None = None) -> None:
        self.answered += 1
        if seconds is not None:
            self.seconds += seconds
            self.timed += 1

    def refused(self, started: float) -> None:
        self.refusals.append(started)

    def troubled(self) -> None:
        self.troubles += 1


class LeasedRateLimit:
    """When calls of this client may start, in place of a RateLimit of its own."""

    def __init__(self, clock: Callable[[], float], sleep: Sleep, *, limited: bool) -> None:
        self.tokens = 0
        self._waiting: deque[asyncio.Future[float]] = deque()
        self._last = float("-inf")
        self._clock = clock
        self._sleep = sleep
        self._limited = limited

    async def wait(self) -> None:
        came = self._clock()
        while self._limited:
            turn: asyncio.Future[float] = asyncio.get_running_loop().create_future()
            self._waiting.append(turn)
            start = await turn
            now = self._clock()
            if start > now:
                await self._sleep(start - now)
            now = self._clock()
            if now <= start + MAX_START_DELAY or now >= max(came, self._last) + PATIENCE:
                self._last = now
                return

    def charge(self, tokens: int) -> None:
        self.tokens += tokens

    @property
    def starts(self) -> int:
        """How many calls wait for theirs."""
        return sum(not turn.done() for turn in self._waiting)

    def assign(self, starts: Iterable[float]) -> None:
        for start in starts:
            while self._waiting and self._waiting[0].done():  # cancelled
                self._waiting.popleft()
            if self._waiting:
                self._waiting.popleft().set_result(start)


class LeasedBudget:
    """Calls that this client was lent, in place of a Budget of its own.

    A retry waits here for a slot too: since the call was let in, its slot may have been lent to another client.
    """

    def __init__(self, *, limited: bool) -> None:
        self.calls, self.finished, self.priced, self.lent = 0, 0, 0, 0
        self.usd = 0.0
        self._limited = limited
        self._without_slot: dict[Admission, deque[asyncio.Future[None]]] = defaultdict(deque)
        self._without_call: deque[asyncio.Future[None]] = deque()

    @property
    def waiting(self) -> int:
        """Calls that wait to be lent, and for nothing else."""
        return sum(not turn.done() for turn in self._without_call)

    async def start(self, admission: Admission) -> None:
        while True:
            if admission.in_flight >= int(admission.limit):
                queue = self._without_slot[admission]
            elif self._limited and self.calls >= self.lent:
                queue = self._without_call
            else:
                break
            turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            queue.append(turn)
            await turn
        self.calls += 1

    def finish(self, admission: Admission, usd: float | None) -> None:
        self.finished += 1
        if usd is not None:
            self.usd += usd
            self.priced += 1
        self._look_again(admission)

    def renew(self, lent: int, spent: str | None) -> None:
        """Wakes the calls that wait: they may start, or fail since the budget is `spent`."""
        self.lent = lent
        for admission in self._without_slot:
            self._look_again(admission)
        waiting, self._without_call = self._without_call, deque()
        for turn in waiting:
            if turn.done():  # cancelled
                continue
            if spent is not None and self.calls >= lent:
                turn.set_exception(BudgetError(spent))
            else:
                turn.set_result(None)

    def _look_again(self, admission: Admission) -> None:
        """Wakes as many of those that wait for a slot as there are now."""
        free, waiting = int(admission.limit) - admission.in_flight, self._without_slot[admission]
        while free > 0 and waiting:
            turn = waiting.popleft()
            if not turn.done():  # cancelled
                turn.set_result(None)
                free -= 1


@dataclass(kw_only=True, slots=True)
class _LeasedEndpoint:
    concurrency: LeasedConcurrency
    admission: Admission
    rate_limit: LeasedRateLimit


class RateClient:
    """The Limiter of a worker's engine. `send` brings a report to the broker; `keep_reporting` must run meanwhile."""

    def __init__(
        self,
        send: Callable[[Report], Awaitable[Grant]],
        *,
        rate_limited: bool,
        limited: bool,
        clock: Callable[[], float],
        sleep: Sleep = asyncio.sleep,
        longest: float = 0.0,
    ) -> None:
        self.budget = LeasedBudget(limited=limited)
        self.ledger = Ledger()
        self.cache: Cache = MemoryCache()
        """Both of the engine whose limiter this is, to be set once there is one."""
        self._warnings: dict[str, None] = {}
        self._warnings_sent = 0
        self._send = send
        self._rate_limited = rate_limited
        self._clock = clock
        self._sleep = sleep
        self._endpoints: dict[str, _LeasedEndpoint] = {}
        self._one_report = asyncio.Lock()
        self._longest = longest
        self._reports = 0
        self._calls_before = 0
        self._interval = MIN_INTERVAL

    def admission(self, endpoint: str) -> Admission:
        return self._endpoint(endpoint).admission

    def rate_limit(self, endpoint: str) -> LeasedRateLimit:
        return self._endpoint(endpoint).rate_limit

    async def keep_reporting(self) -> None:
        while True:
            await self.report()
            await self._sleep(self._interval if self._is_busy else MAX_INTERVAL)

    async def report(self) -> None:
        """Reports what was done, and takes in what may be done next."""
        async with self._one_report:
            sent = self._clock()
            grant = await self._send(self._report(sent))
            for key, granted in grant.endpoints.items():
                endpoint, now = self._endpoints[key], self._clock()
                lent = endpoint.concurrency
                lent.slots, lent.spacing, lent.good_until = granted.slots, granted.spacing, sent + STALE_SECONDS
                if now < lent.good_until:  # else this process was stopped meanwhile, and the times are long past
                    endpoint.rate_limit.assign(now + start for start in granted.starts)
                endpoint.admission.wake()
            self.budget.renew(grant.lent, grant.spent)
            self._interval = grant.interval

    def warn(self, text: str) -> None:
        """Has the command say this, once. May be called from any thread."""
        if len(self._warnings) < MOST_WARNINGS:
            self._warnings.setdefault(one_line(text, LONGEST_WARNING))

    async def close(self) -> None:
        """Gives back what was lent and is not used. Nothing may call any more."""
        self.budget.lent = min(self.budget.lent, self.budget.calls)
        await self.report()

    @property
    def _is_busy(self) -> bool:
        admissions = (endpoint.admission for endpoint in self._endpoints.values())
        return any(admission.busy or admission.queued for admission in admissions)

    def _report(self, now: float) -> Report:
        budget = self.budget
        recent, self._calls_before = budget.calls - self._calls_before, budget.calls
        wanted = budget.waiting
        if wanted:
            wanted += recent  # as many again will be wanted before the next report
        else:
            budget.lent = min(budget.lent, budget.calls + recent)  # given back, for others may wait for it
        self._reports += 1
        warnings = tuple(self._warnings)[self._warnings_sent :]
        self._warnings_sent += len(warnings)
        return Report(
            number=self._reports,
            endpoints={key: self._endpoint_report(endpoint, now) for key, endpoint in self._endpoints.items()},
            calls=budget.calls,
            lent=budget.lent,
            wanted=wanted,
            finished=budget.finished,
            usd=budget.usd,
            priced=budget.priced,
            longest=self._longest,
            usage={role.value: usage for role, usage in self.ledger.roles.items()},
            quarantined=self.cache.quarantined,
            warnings=warnings,
        )

    def _endpoint_report(self, endpoint: _LeasedEndpoint, now: float) -> EndpointReport:
        lent, admission, rate_limit = endpoint.concurrency, endpoint.admission, endpoint.rate_limit
        report = EndpointReport(
            busy=admission.busy,
            in_flight=admission.in_flight,
            waiting=admission.queued,
            oldest=admission.first_queued,
            answered=lent.answered,
            seconds=lent.seconds / lent.timed if lent.timed else None,
            refused=tuple(now - started for started in lent.refusals),
            troubled=lent.troubles,
            tokens=rate_limit.tokens,
            starts=rate_limit.starts,
        )
        lent.answered, lent.troubles, lent.seconds, lent.timed = 0, 0, 0.0, 0
        lent.refusals, rate_limit.tokens = [], 0
        return report

    def _endpoint(self, key: str) -> _LeasedEndpoint:
        if key not in self._endpoints:
            lent = LeasedConcurrency(self._clock)
            rate_limit = LeasedRateLimit(self._clock, self._sleep, limited=self._rate_limited)
            self._endpoints[key] = _LeasedEndpoint(
                concurrency=lent, admission=Admission(lent, self._clock), rate_limit=rate_limit
            )
        return self._endpoints[key]
