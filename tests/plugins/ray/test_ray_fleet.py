"""What the workers of a fleet share, with members in one process and no Ray."""

import asyncio
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("collab_ray")

from collab_ray.desk import DONE, Desk
from collab_ray.finished import LARGEST, Finished
from collab_ray.fleet import LEASE_SECONDS, EndpointReport, Fleet, Grant, Report
from collab_ray.member import Member

from collab_sdk import ChatReply, ChatRequest, Engine, Message, MRScore
from collab_sdk.cache.base import MemoryCache
from collab_sdk.engine.limits import Limits
from collab_sdk.engine.usage import Usage
from collab_sdk.errors import BudgetError
from collab_sdk.jobs.jobs import ScoreJob
from collab_sdk.jobs.wire import dumps, loads
from collab_sdk.models.base import CallRole
from collab_sdk.testing import FakeChatModel


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def busy(endpoint: str = "model", **said) -> Report:
    return Report(endpoints={endpoint: EndpointReport(**said)})


def warmed(concurrency: int = 64, clock: Clock | None = None) -> Fleet:
    """A fleet whose endpoint has shown that it bears the ceiling."""
    fleet = Fleet(Limits(concurrency=concurrency), clock=clock or Clock())
    fleet.report("first", "1", busy(answered=1000, seconds=0.1))
    fleet.dismiss()
    return fleet


def slots(fleet: Fleet, member: str, **said) -> int:
    return fleet.report(member, "1", busy(**said)).endpoints["model"].slots


def request(n: int) -> ChatRequest:
    return ChatRequest(role=CallRole.ASSISTANT, messages=(Message(role="user", content=str(n)),))


class Server:
    """A model that counts what is in flight over all who call it."""

    def __init__(self, *, usd: float | None = None) -> None:
        self.in_flight = self.peak = self.calls = 0
        self.starts: list[float] = []
        self._usd = usd

    name, fingerprint, price = "served", {"model": "served"}, None

    async def achat(self, request: ChatRequest) -> ChatReply:
        self.calls += 1
        self.starts.append(time.monotonic())
        self.in_flight += 1
        self.peak = max(self.peak, self.in_flight)
        await asyncio.sleep(0.002)
        self.in_flight -= 1
        return ChatReply(content="yes", usd=self._usd)


async def together(limits: Limits, server: Server, *, members: int, calls: int) -> tuple[Fleet, list[object]]:
    """Every member makes so many calls, all at once; what became of each."""
    fleet = Fleet(limits, clock=time.monotonic)

    def member(number: int) -> tuple[Member, Engine]:
        async def ask(report: Report) -> Grant:
            sent = loads(Report, dumps(report))
            return loads(Grant, dumps(fleet.report(f"member-{number}", "1", sent)))

        one = Member(
            ask,
            paced=limits.requests_per_minute is not None or limits.tokens_per_minute is not None,
            limited=limits.max_calls is not None or limits.max_usd is not None,
            clock=time.monotonic,
        )
        engine = Engine(quota=one)
        one.ledger = engine.ledger
        return one, engine

    everyone = [member(number) for number in range(members)]
    keeping_up = [asyncio.create_task(one.keep_up(lambda: None)) for one, _ in everyone]
    work = [
        engine.call(server, request(number * calls + n))
        for number, (_, engine) in enumerate(everyone)
        for n in range(calls)
    ]
    ended = await asyncio.wait_for(asyncio.gather(*work, return_exceptions=True), timeout=60)
    for task in keeping_up:
        task.cancel()
    for one, _ in everyone:
        await one.report()
    return fleet, ended


def test_the_slots_of_all_members_never_exceed_the_ceiling_and_are_all_put_to_use():
    server = Server()
    fleet, ended = asyncio.run(together(Limits(concurrency=8), server, members=4, calls=40))
    assert [reply.content for reply in ended] == ["yes"] * 160
    assert server.peak <= 8
    assert server.peak >= 6
    assert fleet.usage()["assistant"].calls == server.calls == 160


def test_before_the_first_success_the_whole_fleet_has_one_call_in_flight():
    fleet = Fleet(Limits(concurrency=64), clock=Clock())
    first = [slots(fleet, member, waiting=10) for member in ("a", "b", "c")]
    again = [slots(fleet, member, waiting=10) for member in ("a", "b", "c")]
    assert sum(first) <= 1
    assert sum(again) == 1


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 20), st.integers(0, 20)), max_size=60))
def test_whatever_members_ask_for_no_more_is_lent_than_there_is(steps):
    fleet = warmed(10)
    lent = dict.fromkeys(range(4), 0)
    for member, in_flight, waiting in steps:
        in_flight = min(in_flight, lent[member])
        lent[member] = max(in_flight, slots(fleet, str(member), busy=in_flight, waiting=waiting, first=member))
        assert sum(lent.values()) <= 10


def test_slots_go_to_whoever_has_work():
    fleet = warmed(10)
    assert slots(fleet, "idle") == 10, "there is nobody else"
    assert slots(fleet, "busy", waiting=50) == 0
    assert slots(fleet, "idle") == 0
    assert slots(fleet, "busy", waiting=50) == 10


def test_the_slots_of_a_member_that_died_come_back():
    clock = Clock()
    fleet = warmed(10, clock)
    assert slots(fleet, "dead", waiting=50) == 10
    assert slots(fleet, "alive", waiting=50) == 0
    clock.now += LEASE_SECONDS + 1
    assert slots(fleet, "alive", waiting=50) == 10


def test_the_slots_of_an_actor_that_was_started_again_come_back_at_once():
    fleet = warmed(10)
    assert slots(fleet, "actor", waiting=50) == 10
    assert fleet.report("actor", "second life", busy(waiting=50)).endpoints["model"].slots == 10


def test_a_refusal_met_by_one_member_slows_all_of_them():
    clock = Clock()
    fleet = warmed(16, clock)
    before = slots(fleet, "a", waiting=50)
    for _ in range(3):
        clock.now += 1
        fleet.report("b", "1", busy(refused=(0.1,)))
    assert slots(fleet, "a", waiting=50) < before


def test_max_calls_is_exact_over_the_fleet():
    server = Server()
    _, ended = asyncio.run(together(Limits(max_calls=37), server, members=4, calls=40))
    assert server.calls == 37
    errors = [error for error in ended if isinstance(error, Exception)]
    assert len(errors) == 160 - 37
    assert {str(error) for error in errors} == {"The limit of 37 calls is reached."}
    assert all(isinstance(error, BudgetError) for error in errors)


def test_max_usd_holds_over_the_fleet():
    server = Server(usd=0.01)
    _, ended = asyncio.run(together(Limits(max_usd=0.25), server, members=3, calls=40))
    assert server.calls <= 25
    assert server.calls >= 22
    assert all(isinstance(error, BudgetError) for error in ended if isinstance(error, Exception))


def test_what_a_dead_member_was_lent_counts_as_spent():
    clock = Clock()
    fleet = Fleet(Limits(max_calls=10), clock=clock)
    assert fleet.report("dead", "1", Report(wanted=6)).lent == 6
    clock.now += LEASE_SECONDS + 1
    assert fleet.report("alive", "1", Report(wanted=10)).lent == 4
    assert fleet.report("alive", "1", Report(calls=4, lent=4, wanted=1)).spent is not None


def test_what_a_member_gives_back_another_gets():
    fleet = Fleet(Limits(max_calls=10), clock=Clock())
    assert fleet.report("a", "1", Report(wanted=10)).lent == 10
    waiting = fleet.report("b", "1", Report(wanted=2))
    assert (waiting.lent, waiting.spent) == (0, None), "it may be given back"
    fleet.report("a", "1", Report(calls=5, lent=5))
    assert fleet.report("b", "1", Report(wanted=2)).lent == 2


def test_starts_are_spread_over_the_fleet_as_the_pace_says():
    clock = Clock()
    fleet = Fleet(Limits(requests_per_minute=600), clock=clock)
    starts = []
    for step in range(40):
        clock.now += 0.05
        grant = fleet.report(f"member-{step % 4}", "1", busy(starts=3)).endpoints["model"]
        starts += [clock.now + start for start in grant.starts]
    gaps = [later - earlier for earlier, later in zip(sorted(starts), sorted(starts)[1:], strict=False)]
    assert min(gaps) == pytest.approx(0.1)
    assert max(gaps) == pytest.approx(0.1)


def test_the_fleet_keeps_to_the_requests_per_minute():
    server = Server()
    asyncio.run(together(Limits(requests_per_minute=3000), server, members=4, calls=15))
    span = server.starts[-1] - server.starts[0]
    assert len(server.starts) == 60
    assert (len(server.starts) - 1) / span <= 3000 / 60 * 1.05


def test_tokens_are_paid_off_by_the_fleet_as_a_whole():
    clock = Clock()
    fleet = Fleet(Limits(tokens_per_minute=6000), clock=clock)
    assert fleet.report("a", "1", busy(starts=1)).endpoints["model"].starts == (0.0,)
    fleet.report("a", "1", busy(tokens=500))
    assert fleet.report("b", "1", busy(starts=1)).endpoints["model"].starts == (), "5 seconds are owed"
    clock.now += 5.0
    assert len(fleet.report("b", "1", busy(starts=1)).endpoints["model"].starts) == 1


def test_totals_are_those_of_all_members_the_dead_included():
    clock = Clock()
    fleet = Fleet(Limits(), clock=clock)
    for member in ("a", "b"):
        fleet.report(member, "1", Report(usage={"judge": Usage(calls=2, prompt_tokens=10, usd=0.5)}))
    clock.now += LEASE_SECONDS + 1
    fleet.report("b", "2", Report(usage={"judge": Usage(calls=1)}))
    assert fleet.usage() == {"judge": Usage(calls=5, prompt_tokens=20, usd=1.0)}


def test_a_member_that_hears_nothing_begins_nothing_new():
    clock = Clock()

    async def main() -> None:
        async def ask(report: Report) -> Grant:
            return warmed(clock=clock).report("a", "1", report)

        member = Member(ask, paced=False, limited=False, clock=clock)
        gate = member.gate("model")
        await member.report()
        assert gate.limit > 1
        clock.now += LEASE_SECONDS
        assert gate.limit == 0

    asyncio.run(main())


def test_an_endpoint_that_refuses_costs_the_fleet_one_call():
    from collab_sdk.errors import EndpointError

    refusing = FakeChatModel(lambda request: EndpointError("wrong key"))
    _, ended = asyncio.run(together(Limits(), refusing, members=3, calls=5))
    assert len(refusing.requests) <= 3
    assert all(isinstance(error, EndpointError) for error in ended)


def test_a_reader_that_starts_over_is_given_the_same_but_for_what_is_done():
    async def main() -> None:
        desk = Desk(dumps(Limits()))
        await desk.begin()
        for number, done in enumerate([[], [], [0]]):
            await desk.put(f"[{number}]", done)
        await desk.end()
        assert [await desk.take(number) for number in range(4)] == [DONE, "[1]", "[2]", None]
        assert [await desk.take(number) for number in range(4)] == [DONE, "[1]", "[2]", None]

    asyncio.run(main())


def test_a_reader_waits_for_the_next_parcel_and_hears_of_a_stop():
    async def main() -> None:
        desk = Desk(dumps(Limits()))
        await desk.begin()
        taking = asyncio.create_task(desk.take(0))
        await asyncio.sleep(0)
        assert not taking.done()
        await desk.put("[0]", [])
        assert await taking == "[0]"
        taking = asyncio.create_task(desk.take(1))
        await asyncio.sleep(0)
        await desk.stop(("BudgetError", "spent"))
        await desk.stop(("EndpointError", "too late"))
        assert await taking is None
        assert loads(Grant, await desk.report("a", "1", dumps(Report()))).stop == ("BudgetError", "spent")

    asyncio.run(main())


OUTCOME = dumps([MRScore(response="hi", futures=(), value=0.5, stderr=None)])


def test_a_finished_conversation_is_found_by_the_same_job_and_by_no_other():
    async def main() -> None:
        cache, chat = MemoryCache(), '{"id":"chat-1"}'

        def job(name: str) -> Finished:
            return Finished(cache, ScoreJob.result, {"job": name})

        assert await job("one").find(chat) is None
        await job("one").keep(chat, OUTCOME)
        assert await job("one").find(chat) == OUTCOME
        assert await job("one").find('{"id":"chat-2"}') is None
        assert await job("another").find(chat) is None

    asyncio.run(main())


@pytest.mark.parametrize(
    ("identity", "outcome"),
    [
        (None, OUTCOME),
        ({"job": "one"}, dumps([MRScore(response="x" * LARGEST, futures=(), value=0.5, stderr=None)])),
        ({"job": "one"}, OUTCOME.replace("hi", '"')),
        ({"job": "one"}, OUTCOME.replace('"hi"', "1")),
        ({"job": "one"}, "null"),
        ({"job": "one"}, "[" * 100_000),
    ],
    ids=["of nothing known", "too large", "no JSON", "of other types", "nothing", "nested"],
)
def test_what_cannot_be_used_again_is_not_found(identity, outcome):
    async def main() -> None:
        finished = Finished(MemoryCache(), ScoreJob.result, identity)
        await finished.keep("chat", outcome)
        assert await finished.find("chat") is None

    asyncio.run(main())
