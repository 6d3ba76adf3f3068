"""Whatever becomes of the workers of a run: what they did is counted once, and nothing is lent twice."""

from dataclasses import dataclass, field

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, invariant, multiple, rule

pytest.importorskip("collab_ray")

from collab_ray.broker import STALE_SECONDS, EndpointReport, RateBroker, Report

from collab_sdk.engine import Usage
from collab_sdk.spec import Limits

CONCURRENCY, MAX_CALLS, TIMEOUT = 8, 60, 30.0
MOST = 5
"""Workers in all."""


@dataclass
class Worker:
    """A process that does what RateClient does: it starts a call where it was lent one, on a grant that is fresh."""

    name: str
    in_flight: list[float] = field(default_factory=list)
    """When each call began."""
    calls: int = 0
    finished: int = 0
    answered: int = 0
    """Since the last report."""
    usd: float = 0.0
    lent: int = 0
    slots: int = 0
    granted: float = float("-inf")
    told: tuple[int, float] = (0, 0.0)
    """Calls and money that the broker has heard of."""
    promised: int = 0
    """Calls that the broker has lent it, whether or not it was told."""

    def report(self, wanted: int) -> Report:
        endpoint = EndpointReport(busy=len(self.in_flight), waiting=wanted, answered=self.answered, seconds=0.1)
        usage = {"judge": Usage(calls=self.calls, usd=self.usd)}
        if not wanted:
            self.lent = self.calls
        return Report(
            endpoints={"model": endpoint},
            calls=self.calls,
            lent=self.lent,
            wanted=wanted,
            finished=self.finished,
            usd=self.usd,
            priced=self.finished,
            usage=usage,
        )


class Fleets(RuleBasedStateMachine):
    """Workers that join whenever they like, are silent for any time, come back, or die."""

    workers = Bundle("workers")

    @initialize(target=workers, number=st.integers(1, 3))
    def begin(self, number):
        self.now = 0.0
        self.broker = RateBroker(
            Limits(concurrency=CONCURRENCY, max_calls=MAX_CALLS, timeout=TIMEOUT), clock=lambda: self.now
        )
        self.broker.report("first", Report(endpoints={"model": EndpointReport(answered=1000, seconds=0.1)}))
        self.broker.died("first")  # the endpoint has shown what it bears
        self.living: list[Worker] = []
        self.dead: list[Worker] = []
        return multiple(*(self.join() for _ in range(number)))

    @rule(target=workers)
    def join_late(self):
        """Few in all, or hardly anything would happen to each."""
        return multiple(*([self.join()] if len(self.living) + len(self.dead) < MOST else []))

    def join(self):
        worker = Worker(name=f"worker-{len(self.living) + len(self.dead)}")
        self.living.append(worker)
        return worker

    @rule(worker=workers, wanted=st.integers(0, 12), is_heard=st.booleans())
    def report(self, worker, wanted, is_heard):
        """The answer may be lost on its way."""
        if worker in self.dead:
            return
        sent = self.now
        grant = self.broker.report(worker.name, worker.report(wanted))
        worker.told, worker.promised, worker.answered = (worker.calls, worker.usd), grant.lent, 0
        if is_heard:
            worker.lent, worker.slots, worker.granted = grant.lent, grant.endpoints["model"].slots, sent

    @rule(worker=workers, wanted=st.integers(1, 12))
    def work(self, worker, wanted):
        """It is heard, and makes all the calls that it may."""
        self.report(worker, wanted, is_heard=True)
        self.call(worker, wanted)

    @rule(worker=workers, calls=st.integers(1, 6))
    def call(self, worker, calls):
        for _ in range(calls):
            is_fresh = self.now < worker.granted + STALE_SECONDS
            may_call = is_fresh and len(worker.in_flight) < worker.slots and worker.calls < worker.lent
            if worker in self.living and may_call:
                worker.calls += 1
                worker.in_flight.append(self.now)

    @rule(worker=workers, cents=st.sampled_from([0, 25, 50]))
    def answer(self, worker, cents):
        if worker.in_flight:
            self.end(worker, cents)

    @rule(seconds=st.sampled_from([0.1, 1.0, 4.0, 16.0, 40.0]))
    def wait(self, seconds):
        """Nobody reports meanwhile: calls go on, up to the timeout."""
        self.now += seconds
        for worker in self.living:
            while worker.in_flight and worker.in_flight[0] + TIMEOUT <= self.now:
                self.end(worker, 0)

    @rule(worker=workers, speaks_on=st.booleans())
    def die(self, worker, speaks_on):
        """A report that was on its way may arrive after the death is known."""
        if worker in self.dead:
            return
        self.living.remove(worker)
        self.dead.append(worker)
        worker.in_flight.clear()
        last = worker.report(1)
        self.broker.died(worker.name)
        if speaks_on:
            grant = self.broker.report(worker.name, last)
            worker.told = (worker.calls, worker.usd)
            assert grant.endpoints["model"].slots == 0
            assert grant.lent == worker.promised

    def end(self, worker, cents):
        worker.in_flight.pop(0)
        worker.finished += 1
        worker.answered += 1
        worker.usd += cents / 100

    @invariant()
    def no_more_is_in_flight_or_made_than_allowed(self):
        assert sum(len(worker.in_flight) for worker in self.living) <= CONCURRENCY
        assert sum(worker.calls for worker in (*self.living, *self.dead)) <= MAX_CALLS

    @invariant()
    def what_is_counted_is_what_was_reported(self):
        """Once each, whoever was silent or came back."""
        told = [worker.told for worker in (*self.living, *self.dead)]
        counted = self.broker.totals().usage.get("judge", Usage())
        assert counted.calls == sum(calls for calls, _ in told)
        assert (counted.usd or 0.0) == sum(usd for _, usd in told)

    def teardown(self):
        """Once all that live have reported, what is counted is what was made, and all the rest is free."""
        for worker in self.living:
            worker.in_flight.clear()
            worker.finished = worker.calls
            self.report(worker, 0, is_heard=True)
        self.what_is_counted_is_what_was_reported()
        spent = sum(worker.calls for worker in self.living) + sum(worker.promised for worker in self.dead)
        left = self.broker.report("late", Report(wanted=MAX_CALLS)).lent
        assert left == MAX_CALLS - spent
        assert self.broker.report("late", Report(calls=left, lent=left, wanted=1)).spent, "nobody waits for more"
        self.now += self.broker.lease_seconds + 1
        waiting = Report(endpoints={"model": EndpointReport(waiting=CONCURRENCY)})
        slots = self.broker.report("last", waiting).endpoints["model"].slots
        assert slots == CONCURRENCY, "those of the dead and the silent come back"


Fleets.TestCase.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
TestFleets = Fleets.TestCase
