"""The limits that all workers of a run share, handed out in leases.

A client reports every fraction of a second what became of its calls and how many more it wants to make, and is told
how many it may: no call waits for a message of its own. A client gives back what it was lent and has not used; from one
that no longer reports, it is taken.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from collab_sdk.engine import AdaptiveLimit, Usage
from collab_sdk.jobs import dumps, loads
from collab_sdk.spec import Limits

LEASE_SECONDS = 15.0
"""Seconds after which a client that does not report is taken for dead."""
MIN_INTERVAL, MAX_INTERVAL = 0.05, 0.5
"""Seconds between two reports of a client."""
MAX_REPORTS_PER_SECOND = 400
"""Of all clients together, for each costs a fraction of a millisecond."""
START_HORIZON = 0.15
"""Seconds beyond the report after next for which starts are granted."""


@dataclass(kw_only=True, slots=True)
class EndpointReport:
    """One model as a client sees it; the counts are of what happened since its last report."""

    busy: int = 0
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

    endpoints: Mapping[str, EndpointReport] = field(default_factory=dict)
    calls: int = 0
    lent: int = 0
    """Calls that it may have made by now, without those that it gives back."""
    wanted: int = 0
    """Further calls that it would make."""
    finished: int = 0
    usd: float = 0.0
    priced: int = 0
    missing: int = 0
    """Samples without a result."""
    usage: Mapping[str, Usage] = field(default_factory=dict)


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
    """The one actor of a run that all workers report to."""

    def __init__(self, limits: str) -> None:
        self._broker = RateBroker(loads(Limits, limits), clock=time.monotonic)

    def report(self, name: str, incarnation: str, report: str) -> str:
        return dumps(self._broker.report(name, incarnation, loads(Report, report)))

    def release_all(self) -> None:
        self._broker.release_all()

    def usage(self) -> str:
        return dumps(self._broker.usage())

    def missing(self) -> int:
        return self._broker.missing()


class RateBroker:
    """Shares `limits` among clients. Budgets are exact: what a dead client was lent counts as spent."""

    def __init__(self, limits: Limits, *, clock: Callable[[], float]) -> None:
        self._limits = limits
        self._clock = clock
        self._endpoints: dict[str, _SharedEndpoint] = {}
        self._clients: dict[str, _Client] = {}
        self._retired = _Client(seen=0.0)
        """The totals of all clients that are gone."""

    def report(self, name: str, incarnation: str, report: Report) -> Grant:
        """Takes in the report of the process `incarnation` of the client `name`; returns what it may do now."""
        now = self._clock()
        client = self._clients.get(name)
        if client is not None and client.incarnation != incarnation:  # it died and was started again
            self._retire(name)
        for each in [
            each for each, known in self._clients.items() if now - known.seen > LEASE_SECONDS and each != name
        ]:
            self._retire(each)
        client = self._clients.setdefault(name, _Client(seen=now, incarnation=incarnation))
        client.seen, client.report = now, report
        spent = self._lend(client)
        interval = min(MAX_INTERVAL, max(MIN_INTERVAL, len(self._clients) / MAX_REPORTS_PER_SECOND))
        until = now + 2 * interval + START_HORIZON
        grants = {key: self._endpoint(key).grant(name, seen, now, until) for key, seen in report.endpoints.items()}
        return Grant(endpoints=grants, lent=client.lent, spent=spent, interval=interval)

    def release_all(self) -> None:
        """Retires all clients, which are done: what they were lent and did not use can be lent again."""
        for name, client in list(self._clients.items()):
            client.lent = client.report.calls
            self._retire(name)

    def usage(self) -> dict[str, Usage]:
        """Returns the usage of all clients, retired ones included, by role."""
        totals: dict[str, Usage] = {}
        for client in (self._retired, *self._clients.values()):
            for role, usage in client.report.usage.items():
                totals[role] = totals.get(role, Usage()) + usage
        return totals

    def missing(self) -> int:
        """Returns how many samples all clients, retired ones included, have lost."""
        return sum(client.report.missing for client in (self._retired, *self._clients.values()))

    def _endpoint(self, key: str) -> "_SharedEndpoint":
        if key not in self._endpoints:
            self._endpoints[key] = _SharedEndpoint(self._limits, self._clock)
        return self._endpoints[key]

    def _lend(self, client: "_Client") -> str | None:
        """Lends calls, as many as are wanted and left. Returns which budget is spent, if there will be no more."""
        client.lent = client.report.lent
        limits, everyone = self._limits, (self._retired, *self._clients.values())
        lent = sum(each.lent for each in everyone)
        called = sum(each.report.calls for each in everyone)
        more, spent = client.report.wanted, None
        if limits.max_calls is not None:
            more = min(more, limits.max_calls - lent)
            if called >= limits.max_calls:
                spent = f"The limit of {limits.max_calls} calls is reached."
        if limits.max_usd is not None:
            usd = sum(each.report.usd for each in everyone)
            priced = sum(each.report.priced for each in everyone)
            mean = usd / priced if priced else 0.0
            finished = sum(each.report.finished for each in everyone)
            if mean:
                more = min(more, int((limits.max_usd - usd) / mean) - (lent - finished))
            if usd >= limits.max_usd or usd + mean * (called - finished + 1) > limits.max_usd:
                more, spent = 0, f"The limit of ${limits.max_usd:g} is reached (${usd:.4f} spent)."
        client.lent += max(0, more)
        return spent if client.report.wanted else None

    def _retire(self, name: str) -> None:
        client, total = self._clients.pop(name), self._retired
        total.lent += client.lent
        total.report.calls += client.lent  # whatever it was lent may have been called
        total.report.finished += client.lent  # and what has no price by now will get none
        total.report.usd += client.report.usd
        total.report.priced += client.report.priced
        total.report.missing += client.report.missing
        roles = {*total.report.usage, *client.report.usage}
        total.report.usage = {
            role: total.report.usage.get(role, Usage()) + client.report.usage.get(role, Usage()) for role in roles
        }
        for endpoint in self._endpoints.values():
            endpoint.leases.pop(name, None)


@dataclass(kw_only=True, slots=True)
class _Client:
    seen: float
    incarnation: str = ""
    lent: int = 0
    report: Report = field(default_factory=Report)


@dataclass(kw_only=True, slots=True)
class _Lease:
    """What a client has of an endpoint's slots."""

    slots: int = 0
    report: EndpointReport = field(default_factory=EndpointReport)

    @property
    def taken(self) -> int:
        return max(self.slots, self.report.busy)

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

    def grant(self, name: str, report: EndpointReport, now: float, until: float) -> EndpointGrant:
        for _ in range(report.answered):
            self._limit.succeeded(report.seconds)
        for ago in report.refused:
            self._limit.refused(now - ago)
        for _ in range(report.troubled):
            self._limit.troubled()
        self._tokens_paid_off = max(now, self._tokens_paid_off) + report.tokens * self._seconds_per_token
        lease = self.leases.setdefault(name, _Lease())
        lease.report, lease.slots = report, 0
        limit = int(self._limit.value)
        free = limit - sum(each.taken for each in self.leases.values() if each is not lease)
        lease.slots = max(0, min(free, self._fair_share(name, limit)))
        spacing = self._limit.spacing * limit / lease.slots if lease.slots else 0.0
        return EndpointGrant(slots=lease.slots, spacing=spacing, starts=self._starts(report.starts, now, until))

    def _fair_share(self, name: str, limit: int) -> int:
        """Returns what the client asks for and an equal part of the rest, or its part by demand of too little."""
        leases = self.leases
        demand = sum(lease.demand for lease in leases.values())
        if demand <= limit:
            return leases[name].demand + max((limit - demand) // len(leases), 1)
        parts = {each: limit * lease.demand / demand for each, lease in leases.items()}
        left = limit - sum(map(int, parts.values()))
        # The slots that do not divide go to the largest remainders; among equals to whoever is furthest behind.
        ranked = sorted(parts, key=lambda each: (int(parts[each]) - parts[each], leases[each].report.oldest, each))
        return int(parts[name]) + (name in ranked[:left])

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
