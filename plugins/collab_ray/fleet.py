"""The limits of a fleet: what all of its members together may do, handed out in leases.

A member reports every fraction of a second what became of its calls and how many more it wants to make, and is told
how many it may: no call waits for a message of its own. What a member was lent and has not used it gives back; of one
that is heard of no more, it is taken.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from collab_sdk.engine import AdaptiveLimit, Limits, Usage

LEASE_SECONDS = 15.0
"""After which a member that says nothing is taken for dead."""
SOON, LATER = 0.05, 0.5
"""Seconds between two reports: of a member at work in a small fleet, and at most."""
REPORTS_PER_SECOND = 400
"""That all members together may make: each costs a fraction of a millisecond."""
AHEAD = 0.15
"""Seconds beyond the report after next for which starts are handed out."""


@dataclass(kw_only=True, slots=True)
class EndpointReport:
    """One model as a member sees it; the counts are of what happened since its last report."""

    busy: int = 0
    waiting: int = 0
    first: int = 0
    """When the conversation that waits longest was opened."""
    answered: int = 0
    seconds: float | None = None
    """Of a call that was answered, on average."""
    refused: tuple[float, ...] = ()
    """How many seconds ago each call that met a rate limit was begun."""
    troubled: int = 0
    tokens: int = 0
    starts: int = 0
    """Calls that wait for the rate_limit."""


@dataclass(kw_only=True, slots=True)
class Report:
    """What a member says; without `endpoints`, all that it has done since the run began."""

    endpoints: Mapping[str, EndpointReport] = field(default_factory=dict)
    calls: int = 0
    lent: int = 0
    """Calls that it may have made by now; what it was lent and does not need is no longer among them."""
    wanted: int = 0
    """More calls that it would make."""
    finished: int = 0
    usd: float = 0.0
    priced: int = 0
    usage: Mapping[str, Usage] = field(default_factory=dict)


@dataclass(kw_only=True, slots=True)
class EndpointGrant:
    """What a member may do to one model until it reports again."""

    slots: int
    spacing: float
    starts: tuple[float, ...] = ()
    """In so many seconds, one call each."""


@dataclass(kw_only=True, slots=True)
class Grant:
    """What a member is told."""

    endpoints: Mapping[str, EndpointGrant]
    lent: int
    spent: str | None
    """Why no more calls can be lent, if that is so."""
    next: float
    """In how many seconds to report again."""
    stop: tuple[str, str] | None = None
    """Type and message of the error that ends the run."""


class Fleet:
    """Shares `limits` among members. Budgets are exact: what a dead member was lent counts as spent."""

    def __init__(self, limits: Limits, *, clock: Callable[[], float]) -> None:
        self.stop: tuple[str, str] | None = None
        self._limits = limits
        self._clock = clock
        self._endpoints: dict[str, _Endpoint] = {}
        self._members: dict[str, _Member] = {}
        self._gone = _Member(seen=0.0)
        """The totals of all who left."""

    def report(self, name: str, life: str, report: Report) -> Grant:
        """Take in what the member `name` says, in the life that `life` names, and say what it may do now."""
        now = self._clock()
        member = self._members.get(name)
        if member is not None and member.life != life:  # it died and was started again
            self._bury(name)
        for each in [
            each for each, known in self._members.items() if now - known.seen > LEASE_SECONDS and each != name
        ]:
            self._bury(each)
        member = self._members.setdefault(name, _Member(seen=now, life=life))
        member.seen, member.report = now, report
        spent = self._lend(member)
        pause = min(LATER, max(SOON, len(self._members) / REPORTS_PER_SECOND))
        until = now + 2 * pause + AHEAD
        grants = {key: self._endpoint(key).share(name, said, now, until) for key, said in report.endpoints.items()}
        return Grant(endpoints=grants, lent=member.lent, spent=spent, next=pause, stop=self.stop)

    def dismiss(self) -> None:
        """Let all members go: they are done, and what they were lent and did not use is there again."""
        for name, member in list(self._members.items()):
            member.lent = member.report.calls
            self._bury(name)

    def usage(self) -> dict[str, Usage]:
        """Of all members, those who left included, by role."""
        totals: dict[str, Usage] = {}
        for member in (self._gone, *self._members.values()):
            for role, usage in member.report.usage.items():
                totals[role] = totals.get(role, Usage()) + usage
        return totals

    def _endpoint(self, key: str) -> "_Endpoint":
        if key not in self._endpoints:
            self._endpoints[key] = _Endpoint(self._limits, self._clock)
        return self._endpoints[key]

    def _lend(self, member: "_Member") -> str | None:
        """Lend calls, as many as are wanted and left; why there are none, if there will be none."""
        member.lent = member.report.lent
        limits, everyone = self._limits, (self._gone, *self._members.values())
        lent = sum(each.lent for each in everyone)
        called = sum(each.report.calls for each in everyone)
        more, spent = member.report.wanted, None
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
        member.lent += max(0, more)
        return spent if member.report.wanted else None

    def _bury(self, name: str) -> None:
        member, gone = self._members.pop(name), self._gone
        gone.lent += member.lent
        gone.report.calls += member.lent  # whatever it was lent may have been called
        gone.report.finished += member.lent  # and what has no price by now will get none
        gone.report.usd += member.report.usd
        gone.report.priced += member.report.priced
        roles = {*gone.report.usage, *member.report.usage}
        gone.report.usage = {
            role: gone.report.usage.get(role, Usage()) + member.report.usage.get(role, Usage()) for role in roles
        }
        for endpoint in self._endpoints.values():
            endpoint.held.pop(name, None)


@dataclass(kw_only=True, slots=True)
class _Member:
    seen: float
    life: str = ""
    lent: int = 0
    report: Report = field(default_factory=Report)


@dataclass(kw_only=True, slots=True)
class _Held:
    """What a member has of an endpoint's slots."""

    slots: int = 0
    said: EndpointReport = field(default_factory=EndpointReport)

    @property
    def taken(self) -> int:
        return max(self.slots, self.said.busy)

    @property
    def demand(self) -> int:
        return self.said.busy + self.said.waiting


class _Endpoint:
    """One model: the calls that it bears, found out from everybody's answers, and the rate_limit of all starts."""

    def __init__(self, limits: Limits, clock: Callable[[], float]) -> None:
        self.held: dict[str, _Held] = {}
        self._limit = AdaptiveLimit(limits.concurrency, clock)
        self._seconds_per_request = 60 / limits.requests_per_minute if limits.requests_per_minute else 0.0
        self._seconds_per_token = 60 / limits.tokens_per_minute if limits.tokens_per_minute else 0.0
        self._next_start = 0.0
        self._tokens_paid_off = 0.0

    def share(self, name: str, said: EndpointReport, now: float, until: float) -> EndpointGrant:
        for _ in range(said.answered):
            self._limit.succeeded(said.seconds)
        for ago in said.refused:
            self._limit.refused(now - ago)
        for _ in range(said.troubled):
            self._limit.troubled()
        self._tokens_paid_off = max(now, self._tokens_paid_off) + said.tokens * self._seconds_per_token
        held = self.held.setdefault(name, _Held())
        held.said, held.slots = said, 0
        limit = int(self._limit.value)
        free = limit - sum(each.taken for each in self.held.values() if each is not held)
        held.slots = max(0, min(free, self._fair(name, limit)))
        spacing = self._limit.spacing * limit / held.slots if held.slots else 0.0
        return EndpointGrant(slots=held.slots, spacing=spacing, starts=self._starts(said.starts, now, until))

    def _fair(self, name: str, limit: int) -> int:
        """The member's part of the limit: what it asks for and of the rest as much as everybody, or else by demand."""
        everyone = self.held
        demand = sum(held.demand for held in everyone.values())
        mine = everyone[name]
        if demand <= limit:
            return mine.demand + max((limit - demand) // len(everyone), 1)
        parts = {each: limit * held.demand / demand for each, held in everyone.items()}
        left = limit - sum(map(int, parts.values()))
        # The slots that do not divide go to the largest remainders; among equals to whoever is furthest behind.
        ranked = sorted(parts, key=lambda each: (int(parts[each]) - parts[each], everyone[each].said.first, each))
        return int(parts[name]) + (name in ranked[:left])

    def _starts(self, wanted: int, now: float, until: float) -> tuple[float, ...]:
        """When calls may start, in seconds from now, as far as that is before `until`."""
        starts: list[float] = []
        while len(starts) < wanted:
            start = max(now, self._next_start, self._tokens_paid_off)
            if start > until:
                break
            self._next_start = start + self._seconds_per_request
            starts.append(start - now)
        return tuple(starts)
