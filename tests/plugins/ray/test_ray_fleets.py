"""Whatever becomes of the workers of a run: what they did is counted once, and nothing is lent twice."""

import asyncio
from dataclasses import replace

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, invariant, multiple, rule

pytest.importorskip("collab_ray")

from collab_ray.broker import MAX_INTERVAL, EndpointReport, Grant, RateBroker, Report
from collab_ray.client import RateClient

from collab_sdk.engine import Usage
from collab_sdk.errors import BudgetError
from collab_sdk.models import CallRole
from collab_sdk.spec import Limits
from collab_sdk.values import dumps, loads

CONCURRENCY, MAX_CALLS, TIMEOUT = 8, 60, 30.0
PRICE = 0.25
"""Of a call that is answered; one that fails costs nothing."""
PAID = 32
"""Answers that the money is enough for."""
TINY = 1e-9
ATTEMPTS = 3
ANSWERED, FAILED, REFUSED = "answered", "failed", "refused"
"""What becomes of a call; the last for the rate, so the endpoint is asked less."""
ROUNDS = 400
"""Of a report and an answer each: more than the calls that any example begins."""
MOST = 5
"""Workers in all."""


class Worker:
    """A process with a RateClient: its calls go as the engine's do, and end when they are told to."""

    def __init__(self, name: str, loop: asyncio.AbstractEventLoop, clock, *, limited: bool, price: float) -> None:
        self.name = name
        self.client = RateClient(self._send, rate_limited=False, limited=limited, clock=clock)
        self._price = price
        self.in_flight: list[tuple[float, asyncio.Future[str]]] = []
        """When each call began, and what will become of it."""
        self.sent: Report | None = None
        """The report whose answer it waits for."""
        self.told = Report()
        """The last that has arrived."""
        self.promised = 0
        """Calls that the broker has lent it, whether or not it was told."""
        self._loop, self._clock = loop, clock
        self._answer: asyncio.Future[Grant] = loop.create_future()
        self._tasks: set[asyncio.Task[None]] = set()
        self._admission = self.client.admission("model")

    @property
    def usage(self) -> Usage:
        return self.client.ledger.of(CallRole.JUDGE)

    def start(self, coroutine) -> None:
        task = self._loop.create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def answer(self, grant: Grant) -> None:
        self.sent = None
        self._answer.set_result(grant)

    def end(self, outcome: str) -> None:
        """The call that began first."""
        self.in_flight.pop(0)[1].set_result(outcome)

    @property
    def has_calls(self) -> bool:
        """Whether some have not ended, be it that they never began."""
        return bool(self._tasks)

    def stop(self) -> None:
        self.in_flight.clear()
        for task in self._tasks:
            task.cancel()

    async def _send(self, report: Report) -> Grant:
        self.sent, self._answer = loads(Report, dumps(report)), self._loop.create_future()
        return await self._answer

    async def call(self) -> None:
        """As Engine does it: a slot is held over all attempts."""
        budget = self.client.budget
        admission = await self._admission.enter(0)
        try:
            for _ in range(ATTEMPTS):
                await budget.start(admission)
                admission.in_flight += 1
                self.usage.calls += 1
                began, ended = self._clock(), self._loop.create_future()
                self.in_flight.append((began, ended))
                usd = None
                try:
                    outcome = await ended
                    usd = self._price if outcome == ANSWERED else None
                finally:
                    admission.in_flight -= 1
                    budget.finish(admission, usd)
                if usd is not None:
                    admission.succeeded(0.1)
                    self.usage.usd += usd
                    return
                if outcome == REFUSED:
                    admission.refused(began)
        except BudgetError:
            return
        finally:
            admission.leave()


class Fleets(RuleBasedStateMachine):
    """Workers that join whenever they like, are silent for any time, come back, or die."""

    workers = Bundle("workers")

    @initialize(
        target=workers,
        number=st.integers(1, 3),
        concurrency=st.integers(1, CONCURRENCY),
        limited=st.booleans(),
        price=st.sampled_from([PRICE, 0.01]),
    )
    def begin(self, number, *, concurrency, limited, price):
        """`price` is one that a float holds exactly, or one that it does not."""
        self.now = 0.0
        self.concurrency, self.limited, self.price, self.max_usd = concurrency, limited, price, PAID * price
        self.loop = asyncio.new_event_loop()
        self.loop.time = lambda: self.now
        limits = Limits(concurrency=concurrency, timeout=TIMEOUT)
        if limited:
            limits = replace(limits, max_calls=MAX_CALLS, max_usd=self.max_usd)
        self.broker = RateBroker(limits, clock=lambda: self.now)
        first = Report(calls=1, lent=1, finished=1, usd=price, priced=1)
        first.endpoints = {"model": EndpointReport(answered=1000, seconds=0.1)}
        self.broker.report("first", first)
        self.broker.died("first")  # the endpoint has shown what it bears, and a call what it costs
        self.living: list[Worker] = []
        self.dead: list[Worker] = []
        return multiple(*(self.join() for _ in range(number)))

    @rule(target=workers)
    def join_late(self):
        """Few in all, or hardly anything would happen to each."""
        return multiple(*([self.join()] if len(self.everyone) < MOST else []))

    @property
    def everyone(self):
        return [*self.living, *self.dead]

    def join(self):
        name, settings = f"worker-{len(self.everyone)}", {"limited": self.limited, "price": self.price}
        worker = Worker(name, self.loop, lambda: self.now, **settings)
        self.living.append(worker)
        return worker

    @rule(worker=workers, arrives=st.integers(1, 2), is_heard=st.booleans())
    def report(self, worker, arrives, is_heard):
        """It may arrive twice, and the answer may be lost: then the same report is sent again."""
        if worker in self.dead:
            return
        self.say(worker)
        for _ in range(arrives):
            grant = self.deliver(worker)
        if is_heard:
            worker.answer(grant)
            self.turn()

    def say(self, worker):
        if worker.sent is None:
            worker.start(worker.client.report())
            self.turn()

    def deliver(self, worker):
        grant = self.broker.report(worker.name, worker.sent)
        worker.told, worker.promised = worker.sent, grant.lent
        return grant

    def turn(self):
        """All that can happen at this time happens."""
        for _ in range(4):
            self.loop.run_until_complete(asyncio.sleep(0))

    @rule(worker=workers, calls=st.integers(1, 12))
    def call(self, worker, calls):
        if worker in self.living:
            for _ in range(calls):
                worker.start(worker.call())
            self.turn()

    @rule(worker=workers, calls=st.integers(1, 12))
    def work(self, worker, calls):
        """It is heard, and makes all the calls that it may."""
        self.call(worker, calls)
        self.report(worker, 1, is_heard=True)
        self.report(worker, 1, is_heard=True)

    @rule(worker=workers, calls=st.integers(1, 4), outcome=st.sampled_from([ANSWERED, ANSWERED, FAILED, REFUSED]))
    def answer(self, worker, calls, outcome):
        """What fails is tried again, in the same slot or in what is left of it."""
        for _ in range(min(calls, len(worker.in_flight))):
            worker.end(outcome)
        self.turn()

    @rule(seconds=st.sampled_from([0.1, 1.0, 4.0, 16.0, 40.0]))
    def wait(self, seconds):
        """Nobody reports meanwhile: calls go on, up to the timeout."""
        self.now += seconds
        for worker in self.living:
            while worker.in_flight and worker.in_flight[0][0] + TIMEOUT <= self.now:
                worker.end(FAILED)
        self.turn()

    @rule(worker=workers, speaks_on=st.booleans())
    def die(self, worker, speaks_on):
        """A report that was on its way may arrive after the death is known."""
        if worker in self.dead:
            return
        self.say(worker)
        self.living.remove(worker)
        self.dead.append(worker)
        worker.stop()
        self.turn()
        self.broker.died(worker.name)
        if speaks_on:
            promised = worker.promised
            grant = self.deliver(worker)
            assert grant.endpoints["model"].slots == 0
            assert grant.lent == promised

    @invariant()
    def no_more_is_in_flight_or_made_than_allowed(self):
        assert sum(len(worker.in_flight) for worker in self.living) <= self.concurrency
        if self.limited:
            assert 1 + sum(worker.usage.calls for worker in self.everyone) <= MAX_CALLS
            assert self.price + sum(worker.usage.usd for worker in self.everyone) <= self.max_usd + TINY

    @invariant()
    def what_is_counted_is_what_was_reported(self):
        """Once each, whoever was silent or came back, and however often a report arrived."""
        told = [worker.told for worker in self.everyone]
        counted = self.broker.totals().usage.get("judge", Usage())
        assert counted.calls == sum(report.calls for report in told)
        assert counted.usd == pytest.approx(sum(report.usd for report in told), rel=0, abs=TINY)

    def teardown(self):
        """Every call ends; what is counted then is what was made, and all the rest is free."""
        rounds = 0
        while any(worker.has_calls for worker in self.living):
            rounds += 1
            assert rounds < ROUNDS, "nobody waits for ever"
            self.now += MAX_INTERVAL
            for worker in self.living:
                self.report(worker, 1, is_heard=True)
                self.answer(worker, CONCURRENCY, ANSWERED)
        for worker in self.living:
            self.report(worker, 1, is_heard=True)
            worker.stop()
            self.turn()
            worker.start(worker.client.close())
            self.turn()
            self.report(worker, 1, is_heard=True)
            assert (worker.told.calls, worker.told.usd) == (worker.usage.calls, worker.usage.usd)
        self.what_is_counted_is_what_was_reported()
        if self.limited:
            self.what_is_left_is_lent()
        self.now += self.broker.lease_seconds + 1
        waiting = Report(endpoints={"model": EndpointReport(waiting=CONCURRENCY, answered=1000, seconds=0.1)})
        slots = self.broker.report("last", waiting).endpoints["model"].slots
        assert slots == self.concurrency, "those of the dead and the silent come back"
        self.loop.close()

    def what_is_left_is_lent(self):
        """Whatever the dead were lent may have been called, and paid."""
        called = 1 + sum(worker.usage.calls for worker in self.living) + sum(worker.promised for worker in self.dead)
        paid = 1 + round(sum(worker.told.usd for worker in self.everyone) / self.price)
        paid += sum(worker.promised - worker.told.finished for worker in self.dead)
        left = self.broker.report("late", Report(wanted=MAX_CALLS)).lent
        assert left == max(0, min(MAX_CALLS - called, PAID - paid))
        assert self.broker.report("late", Report(calls=left, lent=left, wanted=1)).spent, "nobody waits for more"


Fleets.TestCase.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
TestFleets = Fleets.TestCase


@pytest.fixture
def fleet():
    """Of two workers."""
    fleet = Fleets()
    fleet.begin(2, concurrency=CONCURRENCY, limited=True, price=PRICE)
    yield fleet
    fleet.no_more_is_in_flight_or_made_than_allowed()
    fleet.teardown()


def test_a_retry_of_a_worker_that_was_silent_waits_for_a_slot(fleet):
    silent, other = fleet.living
    fleet.work(silent, CONCURRENCY)
    fleet.wait(16.0)
    fleet.answer(silent, CONCURRENCY, FAILED)
    fleet.wait(40.0)
    fleet.work(other, CONCURRENCY)
    assert len(other.in_flight) == CONCURRENCY
    for _ in range(2):  # the calls that it is lent come with the second
        fleet.report(silent, 1, is_heard=True)
    assert not silent.in_flight


def test_a_slot_is_lent_again_once_the_worker_that_loses_it_has_heard():
    fleet = Fleets()
    fleet.begin(2, concurrency=CONCURRENCY, limited=False, price=PRICE)
    losing, other = fleet.living
    fleet.work(losing, CONCURRENCY)
    fleet.answer(losing, CONCURRENCY, ANSWERED)
    fleet.report(losing, 1, is_heard=True)
    fleet.call(other, CONCURRENCY)
    for worker, is_heard in ((other, True), (losing, False), (other, True), (other, True)):
        fleet.report(worker, 1, is_heard=is_heard)
    fleet.call(losing, CONCURRENCY)
    fleet.no_more_is_in_flight_or_made_than_allowed()
    fleet.teardown()


def test_retries_that_wait_for_slots_hold_none(fleet):
    """Or all of them would wait for each other, once there are fewer slots than calls that were let in."""
    for worker in fleet.living:
        fleet.call(worker, CONCURRENCY // 2)
    for worker in fleet.living * 4:
        fleet.report(worker, 1, is_heard=True)
    assert [len(worker.in_flight) for worker in fleet.living] == [4, 4]
    for _ in range(ATTEMPTS - 1):
        fleet.wait(1.0)
        for worker in fleet.living:
            fleet.answer(worker, CONCURRENCY, REFUSED)
            fleet.report(worker, 1, is_heard=True)
    for worker in fleet.living * 2:  # what one gives up is lent to the other once both have heard
        fleet.report(worker, 1, is_heard=True)
    assert 0 < sum(len(worker.in_flight) for worker in fleet.living) < CONCURRENCY
