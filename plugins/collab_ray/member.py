"""One process's part of a fleet's limits: the limiter of its engine, and the reports that renew it."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass

from collab_ray.fleet import LATER, LEASE_SECONDS, SOON, EndpointReport, Grant, Report
from collab_sdk.engine import Admission, Ledger, Sleep
from collab_sdk.errors import BudgetError

STALE_SECONDS = LEASE_SECONDS / 3
"""After which, unless it is renewed, nothing new is begun on a grant: others may soon have it."""
GRACE = 0.05
"""Seconds by which a start may be late; a later one would crowd those after it."""


class FleetBound:
    """What this member was lent of a model's slots, in the place of a AdaptiveLimit of its own."""

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


class FleetPace:
    """Starts that this member was handed, in the place of a RateLimit of its own."""

    def __init__(self, clock: Callable[[], float], sleep: Sleep, *, limited: bool) -> None:
        self.tokens = 0
        self._waiting: deque[asyncio.Future[float]] = deque()
        self._clock = clock
        self._sleep = sleep
        self._limited = limited

    async def wait(self) -> None:
        while self._limited:
            turn: asyncio.Future[float] = asyncio.get_running_loop().create_future()
            self._waiting.append(turn)
            start = await turn
            now = self._clock()
            if start > now:
                await self._sleep(start - now)
            if self._clock() <= start + GRACE:
                return

    def charge(self, tokens: int) -> None:
        self.tokens += tokens

    @property
    def starts(self) -> int:
        """Calls that wait for theirs."""
        return sum(not turn.done() for turn in self._waiting)

    def hand_out(self, starts: Iterable[float]) -> None:
        for start in starts:
            while self._waiting and self._waiting[0].done():  # cancelled
                self._waiting.popleft()
            if self._waiting:
                self._waiting.popleft().set_result(start)


class FleetBudget:
    """Calls that this member was lent, in the place of a Budget of its own."""

    def __init__(self, *, limited: bool) -> None:
        self.calls, self.finished, self.priced, self.lent = 0, 0, 0, 0
        self.usd = 0.0
        self.waiting: deque[asyncio.Future[None]] = deque()
        self._limited = limited

    async def start(self) -> None:
        while self._limited and self.calls >= self.lent:
            turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self.waiting.append(turn)
            await turn
        self.calls += 1

    def finish(self, usd: float | None) -> None:
        self.finished += 1
        if usd is not None:
            self.usd += usd
            self.priced += 1

    def renew(self, lent: int, spent: str | None) -> None:
        """Wake whoever waits, with calls or with why there are none."""
        self.lent = lent
        waiting, self.waiting = self.waiting, deque()
        for turn in waiting:
            if turn.done():  # cancelled
                continue
            if spent is not None and self.calls >= lent:
                turn.set_exception(BudgetError(spent))
            else:
                turn.set_result(None)


@dataclass(kw_only=True, slots=True)
class _Endpoint:
    bound: FleetBound
    admission: Admission
    rate_limit: FleetPace


class Member:
    """The Limiter of one engine of a fleet. `ask` sends a report and brings the grant; `keep_up` must run meanwhile."""

    def __init__(
        self,
        ask: Callable[[Report], Awaitable[Grant]],
        *,
        paced: bool,
        limited: bool,
        clock: Callable[[], float],
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        self.budget = FleetBudget(limited=limited)
        self.stop: tuple[str, str] | None = None
        self.ledger = Ledger()
        """Of the engine whose limiter this is, to be set once there is one."""
        self._ask = ask
        self._paced = paced
        self._clock = clock
        self._sleep = sleep
        self._endpoints: dict[str, _Endpoint] = {}
        self._turn = asyncio.Lock()
        self._calls_before = 0
        self._next = SOON

    def admission(self, endpoint: str) -> Admission:
        return self._endpoint(endpoint).admission

    def rate_limit(self, endpoint: str) -> FleetPace:
        return self._endpoint(endpoint).rate_limit

    async def keep_up(self, on_stop: Callable[[], None]) -> None:
        """Report for as long as this runs; `on_stop` is called once if the run has been ended elsewhere."""
        told = False
        while True:
            await self.report()
            if self.stop is not None and not told:
                told = True
                on_stop()
            await self._sleep(self._next if self._at_work else LATER)

    async def report(self) -> None:
        """Say what was done, and take what may be done next."""
        async with self._turn:
            asked = self._clock()
            grant = await self._ask(self._report(asked))
            for key, granted in grant.endpoints.items():
                endpoint, now = self._endpoints[key], self._clock()
                bound = endpoint.bound
                bound.slots, bound.spacing, bound.good_until = granted.slots, granted.spacing, asked + STALE_SECONDS
                endpoint.rate_limit.hand_out(now + start for start in granted.starts)
                endpoint.admission.wake()
            self.budget.renew(grant.lent, grant.spent)
            self._next, self.stop = grant.next, grant.stop

    @property
    def _at_work(self) -> bool:
        gates = (endpoint.admission for endpoint in self._endpoints.values())
        return any(admission.busy or admission.queued for admission in gates)

    def _report(self, now: float) -> Report:
        budget = self.budget
        recent, self._calls_before = budget.calls - self._calls_before, budget.calls
        wanted = sum(not turn.done() for turn in budget.waiting)
        if wanted:
            wanted += recent  # as many again will be wanted before the next report
        else:
            budget.lent = min(budget.lent, budget.calls + recent)  # given back, for others may wait for it
        return Report(
            endpoints={key: self._endpoint_report(endpoint, now) for key, endpoint in self._endpoints.items()},
            calls=budget.calls,
            lent=budget.lent,
            wanted=wanted,
            finished=budget.finished,
            usd=budget.usd,
            priced=budget.priced,
            usage={role.value: usage for role, usage in self.ledger.roles.items()},
        )

    def _endpoint_report(self, endpoint: _Endpoint, now: float) -> EndpointReport:
        bound, admission, rate_limit = endpoint.bound, endpoint.admission, endpoint.rate_limit
        report = EndpointReport(
            busy=admission.busy,
            waiting=admission.queued,
            first=admission.first_queued,
            answered=bound.answered,
            seconds=bound.seconds / bound.timed if bound.timed else None,
            refused=tuple(now - started for started in bound.refusals),
            troubled=bound.troubles,
            tokens=rate_limit.tokens,
            starts=rate_limit.starts,
        )
        bound.answered, bound.troubles, bound.seconds, bound.timed = 0, 0, 0.0, 0
        bound.refusals, rate_limit.tokens = [], 0
        return report

    def _endpoint(self, key: str) -> _Endpoint:
        if key not in self._endpoints:
            bound = FleetBound(self._clock)
            rate_limit = FleetPace(self._clock, self._sleep, limited=self._paced)
            self._endpoints[key] = _Endpoint(
                bound=bound, admission=Admission(bound, self._clock), rate_limit=rate_limit
            )
        return self._endpoints[key]
