import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import pairwise

import pytest

from collab_sdk import Engine
from collab_sdk.engine.adaptive import CUT, FIRST_ROUND, AdaptiveLimit
from collab_sdk.engine.admission import Admission
from collab_sdk.engine.limits import RateLimit
from collab_sdk.models.base import CallRole, ChatReply, ChatRequest
from collab_sdk.spec import Limits
from collab_sdk.testing import FakeChatModel


class Clock:
    def __init__(self) -> None:
        self.now = 0.0
        self.slept: list[float] = []

    def __call__(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


def warmed(ceiling: int, successes: int, clock: Clock | None = None) -> Admission:
    clock = clock or Clock()
    gate = Admission(AdaptiveLimit(ceiling, clock), clock)
    for _ in range(successes):
        gate.succeeded()
    return gate


@asynccontextmanager
async def turn(gate: Admission, order: int = 0) -> AsyncIterator[None]:
    await gate.enter(order)
    try:
        yield
    finally:
        gate.leave()


def test_one_call_goes_first_and_its_success_opens_the_gate():
    gate = Admission(AdaptiveLimit(64, Clock()), Clock())
    assert gate.limit == 1
    gate.succeeded()
    assert gate.limit == FIRST_ROUND


def test_without_refusals_the_limit_doubles_each_round_trip_up_to_the_ceiling():
    assert warmed(64, 1 + FIRST_ROUND).limit == 2 * FIRST_ROUND
    assert warmed(64, 1000).limit == 64
    assert warmed(4, 1000).limit == 4


def refused_once(clock: Clock) -> Admission:
    """A gate of 100 whose endpoint takes a second a call, and which has met a first refusal."""
    gate = warmed(150, 85, clock)
    gate.succeeded(1.0)
    gate.refused(started=0.0)
    return gate


def test_of_the_first_crowd_as_many_stay_as_were_let_in():
    gate = refused_once(Clock())
    for _ in range(59):
        gate.refused(started=0.0)
    assert gate.limit == 41
    gate.succeeded()
    assert 41 < gate.limit < 42


def test_a_later_refusal_cuts_once_an_episode():
    clock = Clock()
    gate = refused_once(clock)
    clock.now = 10.0
    for started in (9.0, 9.5, 10.0):
        gate.refused(started)
    assert gate.limit == pytest.approx(100 * CUT)
    clock.now = 10.9
    gate.refused(started=10.9)  # within a call's latency of the cut
    assert gate.limit == pytest.approx(100 * CUT)
    clock.now = 11.0
    gate.refused(started=11.0)
    assert gate.limit == pytest.approx(100 * CUT * CUT)


def test_what_a_cut_took_is_won_back_slowly_then_ever_faster():
    clock = Clock()
    gate = refused_once(clock)
    clock.now = 10.0
    gate.refused(started=10.0)
    sizes = [gate.limit]
    for _ in range(3):
        for _ in range(round(100 * CUT)):
            gate.succeeded()
        sizes.append(gate.limit)
    steps = [after - before for before, after in pairwise(sizes)]
    assert sizes[2] == pytest.approx(100)
    assert steps == sorted(steps)


def test_after_a_refusal_calls_start_evenly():
    async def starts() -> list[float]:
        loop = asyncio.get_running_loop()
        gate = Admission(AdaptiveLimit(64, loop.time), loop.time)
        gate.succeeded(0.2)
        gate.refused(started=loop.time())
        times: list[float] = []

        async def call() -> None:
            async with turn(gate):
                times.append(loop.time())

        await asyncio.gather(*(call() for _ in range(6)))
        return times

    times = asyncio.run(starts())
    gaps = [after - before for before, after in pairwise(times)]
    assert sum(gaps) >= 0.9 * 5 * 1.3 * 0.2 / 15 - 0.02


def test_other_trouble_pauses_the_growth_for_a_round_trip():
    gate = warmed(100, 1)
    gate.troubled()
    for _ in range(FIRST_ROUND):
        gate.succeeded()
    assert gate.limit == FIRST_ROUND
    gate.succeeded()
    assert gate.limit == FIRST_ROUND + 1


def test_the_limit_never_falls_below_one():
    clock = Clock()
    gate = warmed(2, 5, clock)
    for second in range(20):
        clock.now = float(second)
        gate.refused(started=clock.now)
    assert gate.limit == 1


def test_calls_of_the_conversation_opened_first_go_first():
    done: list[int] = []

    async def call(gate: Admission, order: int) -> None:
        async with turn(gate, order):
            done.append(order)
            await asyncio.sleep(0)

    async def main() -> None:
        gate = Admission(AdaptiveLimit(1, Clock()), Clock())
        await asyncio.gather(*(call(gate, order) for order in (9, 3, 7, 1, 5)))

    asyncio.run(main())
    assert done == [9, 1, 3, 5, 7]


def test_a_waiter_that_is_cancelled_leaves_its_place_to_the_next():
    async def hold(gate: Admission, release: asyncio.Event) -> None:
        async with turn(gate):
            await release.wait()

    async def main() -> bool:
        gate, release = Admission(AdaptiveLimit(1, Clock()), Clock()), asyncio.Event()
        holder = asyncio.create_task(hold(gate, release))
        await asyncio.sleep(0)
        given_up = asyncio.create_task(hold(gate, release))
        patient = asyncio.create_task(hold(gate, release))
        await asyncio.sleep(0)
        given_up.cancel()
        release.set()
        await asyncio.gather(holder, patient)
        return given_up.cancelled()

    assert asyncio.run(asyncio.wait_for(main(), timeout=5))


def paced(clock: Clock, **limits: float) -> RateLimit:
    options = {"requests_per_minute": None, "tokens_per_minute": None} | limits
    return RateLimit(**options, clock=clock, sleep=clock.sleep)


def test_requests_are_spread_over_the_minute():
    clock = Clock()

    async def main() -> None:
        pace = paced(clock, requests_per_minute=120)
        for _ in range(5):
            await pace.wait()

    asyncio.run(main())
    assert clock.slept == pytest.approx([0.5] * 4)


def test_tokens_that_were_used_are_paid_off_before_the_next_call():
    clock = Clock()

    async def main() -> None:
        pace = paced(clock, tokens_per_minute=6000)
        await pace.wait()
        pace.charge(300)
        await pace.wait()

    asyncio.run(main())
    assert clock.slept == pytest.approx([3.0])


def test_without_limits_nothing_waits():
    clock = Clock()
    asyncio.run(paced(clock).wait())
    assert clock.slept == []


@pytest.mark.parametrize(
    ("limit", "waited"), [({"requests_per_minute": 60}, [1.0, 1.0]), ({"tokens_per_minute": 600}, [1.0, 1.0])]
)
def test_an_engine_keeps_to_the_limits_it_is_given(limit, waited):
    clock = Clock()
    engine = Engine(limits=Limits(**limit), clock=clock, sleep=clock.sleep)
    model = FakeChatModel([ChatReply(content="Hello.", prompt_tokens=8, completion_tokens=2)] * 3)

    async def main() -> None:
        for number in range(3):
            await engine.call(model, ChatRequest(role=CallRole.ASSISTANT, messages=(), sample=str(number)))

    asyncio.run(main())
    assert clock.slept == pytest.approx(waited)
