"""The limits that all workers of a run share, handed out in leases.

A client reports every fraction of a second what became of its calls and how many more it wants to make, and is told
how many it may: no call waits for a message of its own. A client gives back what it was lent and has not used.

Each process of a client has an account of its own, under a name that no other process ever has. Its totals are those of
its whole life, so a client that was silent for a while goes on with its own account: what it did is neither forgotten
nor counted twice.
"""

import hmac
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Self

from collab_sdk.engine import AdaptiveLimit, Usage, calls_paid_for
from collab_sdk.jobs import dumps, loads
from collab_sdk.spec import Limits

STALE_SECONDS = 5.0
"""Seconds after which a client starts no call on a grant that was not renewed: others may soon have it."""
MIN_INTERVAL, MAX_INTERVAL = 0.05, 0.5
"""Seconds between two reports of a client."""
MAX_REPORTS_PER_SECOND = 400
"""Of all clients together, for each costs a fraction of a millisecond."""
MOST_WARNINGS = 100
"""Different ones, of each client and of all together: what comes after them is left out."""
START_HORIZON = 0.15
"""Seconds beyond the report after next for which starts are granted."""


@dataclass(kw_only=True, slots=True)
class EndpointReport:
    """One model as a client sees it; the counts are of what happened since its last report."""

    busy: int = 0
    """Calls that hold a slot: in flight, or waiting before a retry."""
    in_flight: int = 0
    """Calls that a server is working on."""
    waiting: int = 0
    oldest: int = 0
    """The number of the first opened conversation that waits."""
    answered: int = 0
    seconds: float | None = None
    """Of a call that was answered, on average."""
    refused: tuple[float, ...] = ()
    """How many seconds ago each call that met a rate limit was begun."""
    troubled: int = 0
    tokens: int = 0
    starts: int = 0
    """Calls that wait for the requests and tokens per minute."""


@dataclass(kw_only=True, slots=True)
class Report:
    """What a client reports: each endpoint since the last report, and the totals since the process began."""

    number: int = 0
    """From 1 on; one that is sent again, since nobody knows if it arrived, has its number. Of 0, none is."""
    endpoints: Mapping[str, EndpointReport] = field(default_factory=dict)
    calls: int = 0
    lent: int = 0
    """Calls that it may have made by now, without those that it gives back."""
    wanted: int = 0
    """Further calls that it would make."""
    finished: int = 0
    usd: float = 0.0
    priced: int = 0
    longest: float = 0.0
    """Seconds that a call may take to a model with a timeout of its own."""
    usage: Mapping[str, Usage] = field(default_factory=dict)
    quarantined: int = 0
    """Rows of the cache that could not be read."""
    warnings: tuple[str, ...] = ()
    """Since the last report."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Totals:
    """What all clients have reported, dead ones included."""

    usage: Mapping[str, Usage]
    """By role."""
    quarantined: int
    in_flight: int
    """Calls, of clients that are not known to be gone."""
    warnings: tuple[str, ...]
    """Each once, without those that were heard before."""


@dataclass(kw_only=True, slots=True)
class EndpointGrant:
    """What a client may do at one model until it reports again."""

    slots: int
    spacing: float
    starts: tuple[float, ...] = ()
    """In how many seconds each further call may start."""


@dataclass(kw_only=True, slots=True)
class Grant:
    """The answer to a report."""

    endpoints: Mapping[str, EndpointGrant]
    lent: int
    """Calls that the client may make in all."""
    spent: str | None
    """Which budget is spent, if no further call will be lent."""
    interval: float
    """Seconds until the next report."""


class Coordinator:
    """The one actor of a run that all workers report to. It answers nobody who does not know the secret of the run."""

    def __init__(self, limits: str, secret: str) -> None:
        self._broker = RateBroker(loads(Limits, limits), clock=time.monotonic)
        self._secret = secret

    def report(self, secret: str, incarnation: str, report: str) -> str:
        self._check(secret)
        return dumps(self._broker.report(incarnation, loads(Report, report)))

    def died(self, secret: str, incarnation: str) -> None:
        self._check(secret)
        self._broker.died(incarnation)

    def totals(self, secret: str, heard: int) -> str:
        self._check(secret)
        return dumps(self._broker.totals(heard))

    def _check(self, secret: str) -> None:
        if not hmac.compare_digest(secret.encode(), self._secret.encode()):
            raise PermissionError("Only the workers of a run may talk to its coordinator.")


class RateBroker:
    """Shares `limits` among clients. Budgets are exact: what a client that is gone was lent counts as called, and what
    became of it is not known: each of those calls may have cost what others do.

    The slots of a client that is silent are lent again once no call of it can be in flight any more: it starts none
    after STALE_SECONDS, and a call takes at most the timeout of `limits`, or that of its model if that is longer. Its
    process may still be there then, and may report again.
    """

    def __init__(self, limits: Limits, *, clock: Callable[[], float]) -> None:
        self.lease_seconds = STALE_SECONDS + limits.timeout
        """Seconds of silence after which a client has nothing in flight."""
        self._limits = limits
        self._clock = clock
        self._endpoints: dict[str, _SharedEndpoint] = {}
        self._accounts: dict[str, _Account] = {}
        """By process, of those that are not known to be dead."""
        self._dead: dict[str, _Account] = {}
        self._of_the_dead = _Tally()
        """What they add up to: a run may see thousands of deaths, and a report is not to read them all."""
        self._warnings: dict[str, None] = {}

    def report(self, incarnation: str, report: Report) -> Grant:
        """Takes in the report of a client's process; returns what it may do now."""
        now = self._clock()
        for text in report.warnings:
            if len(self._warnings) < MOST_WARNINGS:
                self._warnings.setdefault(text)
        self._close_silent(now)
        if incarnation in self._dead:  # it was on its way, or the node came back after it was given up
            return self._farewell(self._dead[incarnation], report)
        account = self._accounts.setdefault(incarnation, _Account())
        is_repeated = not account.takes(report)
        account.seen = now
        account.is_closed = False
        spent = self._lend(account)
        living = sum(not each.is_closed for each in self._accounts.values())
        interval = min(MAX_INTERVAL, max(MIN_INTERVAL, living / MAX_REPORTS_PER_SECOND))
        until = now + 2 * interval + START_HORIZON
        grants = {}
        for key, seen in account.report.endpoints.items():
            endpoint = self._endpoint(key)
            if not is_repeated:
                endpoint.learn(seen, now)
            grants[key] = endpoint.grant(incarnation, seen, now, until, is_repeated=is_repeated)
        return Grant(endpoints=grants, lent=account.lent, spent=spent, interval=interval)

    def died(self, incarnation: str) -> None:
        """Closes the account of a process that is certainly gone: its slots can be lent again at once."""
        if incarnation not in self._dead:
            account = self._accounts.pop(incarnation, None) or _Account()
            self._close(incarnation, account)
            self._dead[incarnation] = account
            self._of_the_dead.add(account)

    def totals(self, heard: int = 0) -> Totals:
        """Returns what all clients have reported; of the warnings those that come after so many."""
        tally = self._tally()
        return Totals(
            usage=tally.usage,
            quarantined=tally.quarantined,
            in_flight=self._in_flight(),
            warnings=tuple(self._warnings)[heard:],
        )

    def _farewell(self, account: "_Account", report: Report) -> Grant:
        """Takes in what a process says that is given up; it may do nothing more."""
        if account.takes(report):
            self._of_the_dead = _Tally.of(self._dead.values())
        endpoints = dict.fromkeys(report.endpoints, EndpointGrant(slots=0, spacing=0.0))
        return Grant(endpoints=endpoints, lent=account.lent, spent=None, interval=MAX_INTERVAL)

    def _tally(self) -> "_Tally":
        tally = self._of_the_dead.copy()
        for account in self._accounts.values():
            tally.add(account)
        return tally

    def _in_flight(self) -> int:
        self._close_silent(self._clock())
        living = (account for account in self._accounts.values() if not account.is_closed)
        return sum(endpoint.in_flight for account in living for endpoint in account.report.endpoints.values())

    def _close_silent(self, now: float) -> None:
        """Closes the accounts of clients that can have nothing in flight any more."""
        for name, each in self._accounts.items():
            if not each.is_closed and now - each.seen > max(self.lease_seconds, STALE_SECONDS + each.report.longest):
                self._close(name, each)

    def _close(self, incarnation: str, account: "_Account") -> None:
        account.is_closed = True
        for endpoint in self._endpoints.values():
            endpoint.leases.pop(incarnation, None)

    def _endpoint(self, key: str) -> "_SharedEndpoint":
        if key not in self._endpoints:
            self._endpoints[key] = _SharedEndpoint(self._limits, self._clock)
        return self._endpoints[key]

    def _lend(self, account: "_Account") -> str | None:
        """Lends calls, as many as are wanted and left. Returns which budget is spent, if there will be no more."""
        account.lent = account.report.lent
        limits = self._limits
        if limits.max_calls is None and limits.max_usd is None:
            return None
        so_far = self._tally()
        more, spent = account.report.wanted, None
        if limits.max_calls is not None:
            more = min(more, limits.max_calls - so_far.lent)
            if so_far.called >= limits.max_calls:
                spent = f"The limit of {limits.max_calls} calls is reached."
        if limits.max_usd is not None:
            affordable = calls_paid_for(limits.max_usd - so_far.usd, so_far.mean_usd)
            more = min(more, affordable - (so_far.lent - so_far.finished))
            if so_far.usd >= limits.max_usd or affordable <= so_far.called - so_far.finished:
                more, spent = 0, f"The limit of ${limits.max_usd:g} is reached ({so_far.told_usd})."
        account.lent += max(0, more)
        return spent if account.report.wanted else None


@dataclass(kw_only=True, slots=True)
class _Account:
    """What one process of a client has said last, and what it was lent."""

    seen: float = 0.0
    lent: int = 0
    report: Report = field(default_factory=Report)
    is_closed: bool = False
    """Whether it has nothing in flight, as far as one can know: it died, or was silent for long."""

    def takes(self, report: Report) -> bool:
        """Takes in a report, unless it, or a later one, was taken in before; whether it did."""
        if 0 < report.number <= self.report.number:
            return False
        self.report = report
        return True

    @property
    def called(self) -> int:
        """Of one that is gone whatever it was lent may have been called."""
        return self.lent if self.is_closed else self.report.calls


@dataclass(kw_only=True, slots=True)
class _Tally:
    """What accounts add up to."""

    lent: int = 0
    called: int = 0
    finished: int = 0
    usd: float = 0.0
    priced: int = 0
    unknown: int = 0
    """Calls of processes that are gone, of which nobody knows what they cost."""
    quarantined: int = 0
    usage: dict[str, Usage] = field(default_factory=dict)
    """By role."""

    @classmethod
    def of(cls, accounts: Iterable[_Account]) -> Self:
        tally = cls()
        for account in accounts:
            tally.add(account)
        return tally

    def copy(self) -> Self:
        return replace(self, usage=dict(self.usage))

    def add(self, account: _Account) -> None:
        report = account.report
        self.lent += account.lent
        self.called += account.called
        self.finished += report.finished
        self.usd += report.usd
        self.priced += report.priced
        self.unknown += account.called - report.finished if account.is_closed else 0
        self.quarantined += report.quarantined
        for role, used in report.usage.items():
            self.usage[role] = self.usage.get(role, Usage()) + used

    @property
    def mean_usd(self) -> float:
        return self.usd / self.priced if self.priced else 0.0

    @property
    def told_usd(self) -> str:
        reserved = self.unknown * self.mean_usd
        lost = f", up to ${reserved:.4f} more by workers that are gone" if reserved else ""
        return f"${self.usd:.4f} spent{lost}"


@dataclass(kw_only=True, slots=True)
class _Lease:
    """What a client has of an endpoint's slots."""

    seen: float = 0.0
    """When its client reported last."""
    slots: int = 0
    before: int = 0
    """What it had when it reported, and has until it hears of `slots`; its next report says that it has."""
    report: EndpointReport = field(default_factory=EndpointReport)

    @property
    def taken(self) -> int:
        return max(self.slots, self.before, self.report.in_flight)

    @property
    def demand(self) -> int:
        return self.report.busy + self.report.waiting


class _SharedEndpoint:
    """One model: the calls in flight that it bears, learnt from the answers to all clients, and when calls start."""

    def __init__(self, limits: Limits, clock: Callable[[], float]) -> None:
        self.leases: dict[str, _Lease] = {}
        self._limit = AdaptiveLimit(limits.concurrency, clock)
        self._seconds_per_request = 60 / limits.requests_per_minute if limits.requests_per_minute else 0.0
        self._seconds_per_token = 60 / limits.tokens_per_minute if limits.tokens_per_minute else 0.0
        self._next_start = 0.0
        self._tokens_paid_off = 0.0

    def learn(self, report: EndpointReport, now: float) -> None:
        """Takes in what happened since the client's last report."""
        for _ in range(report.answered):
            self._limit.succeeded(report.seconds)
        for ago in report.refused:
            self._limit.refused(now - ago)
        for _ in range(report.troubled):
            self._limit.troubled()
        self._tokens_paid_off = max(now, self._tokens_paid_off) + report.tokens * self._seconds_per_token

    def grant(self, name: str, report: EndpointReport, now: float, until: float, *, is_repeated: bool) -> EndpointGrant:
        lease = self.leases.setdefault(name, _Lease())
        if not is_repeated:
            lease.before = lease.slots
        lease.seen, lease.report, lease.slots = now, report, 0
        limit = int(self._limit.value)
        free = limit - sum(each.taken for each in self.leases.values() if each is not lease)
        lease.slots = max(0, min(free, self._fair_share(name, limit, now)))
        spacing = self._limit.spacing * limit / lease.slots if lease.slots else 0.0
        return EndpointGrant(slots=lease.slots, spacing=spacing, starts=self._starts(report.starts, now, until))

    def _fair_share(self, name: str, limit: int, now: float) -> int:
        """Returns the client's part of the slots: what it asks for and an equal part of the rest, or its part by demand
        of too little. The parts of all who report add up to what those who are silent leave.
        """
        leases = {each: lease for each, lease in self.leases.items() if now - lease.seen <= STALE_SECONDS}
        limit -= sum(lease.taken for each, lease in self.leases.items() if each not in leases)
        limit = max(0, limit)
        demand = sum(lease.demand for lease in leases.values())
        if demand <= limit:
            parts = {each: lease.demand + (limit - demand) / len(leases) for each, lease in leases.items()}
        else:
            parts = {each: limit * lease.demand / demand for each, lease in leases.items()}
        left = limit - sum(map(int, parts.values()))
        # The slots that do not divide go to those who wait, one each: first to whoever is furthest behind.
        open_to = [each for each, part in parts.items() if int(part) < part]
        open_to.sort(key=lambda each: (not leases[each].report.waiting, leases[each].report.oldest, each))
        return int(parts[name]) + (name in open_to[:left])

    def _starts(self, wanted: int, now: float, until: float) -> tuple[float, ...]:
        """Returns when calls may start, in seconds from now, as far as that is before `until`."""
        starts: list[float] = []
        while len(starts) < wanted:
            start = max(now, self._next_start, self._tokens_paid_off)
            if start > until:
                break
            self._next_start = start + self._seconds_per_request
            starts.append(start - now)
        return tuple(starts)
