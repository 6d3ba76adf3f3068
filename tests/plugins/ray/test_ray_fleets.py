"""Whatever becomes of the workers of a run: what they did is counted once, and nothing is lent twice."""

import asyncio

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

CONCURRENCY, MAX_CALLS, MAX_USD, TIMEOUT = 8, 60, 8.0, 30.0
PRICE = 0.25
"""Of a call that is answered; one that fails costs nothing."""
ATTEMPTS = 3
ANSWERED, FAILED, REFUSED = "answered", "failed", "refused"
"""What becomes of a call; the last for the rate, so the endpoint is asked less."""
ROUNDS = 400
"""Of a report and an answer each: more than the calls that any example begins."""
MOST = 5
"""Workers in all."""


class Worker:
    """A process with a RateClient: its calls go as the engine's do, and end when they are told to."""

    def __init__(self, name: str, loop: asyncio.AbstractEventLoop, clock) -> None:
        self.name = name
        self.client = RateClient(self._send, rate_limited=False, limited=True, clock=clock)
        self.in_flight: list[tuple[float, asyncio.Future[str]]] = []
        """When each call began, and what will become of it."""
        self.sent: Report | None = None
        """The report whose answer it waits for."""
        self.told = Report()
        """The last that has arrived."""
        self.promised = 0
        """Calls that the broker has lent it, whether or not it was told."""
        self.heard_at = clock()
        """When a report of its arrived last."""
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
                    usd = PRICE if outcome == ANSWERED else None
                finally:
                    admission.in_flight -= 1
                    budget.finish(usd)
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

    @initialize(target=workers, number=st.integers(1, 3))
    def begin(self, number):
        self.now = 0.0
        self.loop = asyncio.new_event_loop()
        self.loop.time = lambda: self.now
        limits = Limits(concurrency=CONCURRENCY, max_calls=MAX_CALLS, max_usd=MAX_USD, timeout=TIMEOUT)
        self.broker = RateBroker(limits, clock=lambda: self.now)
        first = Report(calls=1, lent=1, finished=1, usd=PRICE, priced=1)
        first.endpoints = {"model": EndpointReport(answered=1000, seconds=0.1)}
        self.broker.report("first", first)
        self.broker.died("first")  # the endpoint has shown what it bears, and a call what it costs
        self.living: list[Worker] = []
        self.dead: list[Worker] = []
        self.is_money_exact = True
        return multiple(*(self.join() for _ in range(number)))

    @rule(target=workers)
    def join_late(self):
        """Few in all, or hardly anything would happen to each."""
        return multiple(*([self.join()] if len(self.living) + len(self.dead) < MOST else []))

    def join(self):
        worker = Worker(f"worker-{len(self.living) + len(self.dead)}", self.loop, lambda: self.now)
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
        worker.told, worker.promised, worker.heard_at = worker.sent, grant.lent, self.now
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
            # What one that was given up spends after all was lent to others.
            self.is_money_exact &= self.now - worker.heard_at <= self.broker.lease_seconds
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
            self.is_money_exact = False
            grant = self.deliver(worker)
            assert grant.endpoints["model"].slots == 0
            assert grant.lent == promised

    @invariant()
    def no_more_is_in_flight_or_made_than_allowed(self):
        assert sum(len(worker.in_flight) for worker in self.living) <= CONCURRENCY
        assert 1 + sum(worker.usage.calls for worker in (*self.living, *self.dead)) <= MAX_CALLS

    @invariant()
    def what_is_counted_is_what_was_reported(self):
        """Once each, whoever was silent or came back, and however often a report arrived."""
        told = [worker.told for worker in (*self.living, *self.dead)]
        counted = self.broker.totals().usage.get("judge", Usage())
        assert counted.calls == sum(report.calls for report in told)
        assert counted.usd == sum(report.usd for report in told)
        assert PRICE + counted.usd <= MAX_USD or not self.is_money_exact

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
        spent = 1 + sum(worker.usage.calls for worker in self.living) + sum(worker.promised for worker in self.dead)
        usd = PRICE + sum(worker.told.usd for worker in (*self.living, *self.dead))
        left = self.broker.report("late", Report(wanted=MAX_CALLS)).lent
        assert left == max(0, min(MAX_CALLS - spent, int((MAX_USD - usd) / PRICE)))
        assert self.broker.report("late", Report(calls=left, lent=left, wanted=1)).spent, "nobody waits for more"
        self.now += self.broker.lease_seconds + 1
        waiting = Report(endpoints={"model": EndpointReport(waiting=CONCURRENCY, answered=1000, seconds=0.1)})
        slots = self.broker.report("last", waiting).endpoints["model"].slots
        assert slots == CONCURRENCY, "those of the dead and the silent come back"
        self.loop.close()


Fleets.TestCase.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
TestFleets = Fleets.TestCase


@pytest.fixture
def fleet():
    """Of two workers."""
    fleet = Fleets()
    fleet.begin(2)
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


def test_retries_that_wait_for_slots_hold_none(fleet):
    """Or all of them would wait for each other, once there are fewer slots than calls that were let in."""
    for worker in fleet.living:
        fleet.call(worker, CONCURRENCY // 2)
    for worker in fleet.living * 4:
        fleet.report(worker, 1, is_heard=True)
    assert [len(worker.in_flight) for worker in fleet.living] == [4, 3]
    for _ in range(ATTEMPTS - 1):
        fleet.wait(1.0)
        for worker in fleet.living:
            fleet.answer(worker, CONCURRENCY, REFUSED)
            fleet.report(worker, 1, is_heard=True)
    assert 0 < sum(len(worker.in_flight) for worker in fleet.living) < CONCURRENCY
