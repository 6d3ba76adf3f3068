"""What the workers of a run share, with clients in one process and no Ray."""

import asyncio
import contextlib
import time
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("collab_ray")

from collab_ray.broker import (
    MOST_WARNINGS,
    STALE_SECONDS,
    Coordinator,
    EndpointReport,
    Grant,
    RateBroker,
    Report,
)
from collab_ray.client import LONGEST_WARNING, LeasedRateLimit, RateClient
from collab_ray.outcomes import LARGEST, OutcomeCache
from support.fakes import says

from collab_sdk import ChatReply, ChatRequest, Engine, Message, MRScore
from collab_sdk.cache import MemoryCache
from collab_sdk.engine import Usage
from collab_sdk.errors import BudgetError
from collab_sdk.jobs.jobs import ScoreJob
from collab_sdk.models import CallRole
from collab_sdk.spec import Limits
from collab_sdk.testing import FakeChatModel
from collab_sdk.values import dumps, loads


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def busy(endpoint: str = "model", **said) -> Report:
    return Report(endpoints={endpoint: EndpointReport(**said)})


def warmed(concurrency: int = 64, clock: Clock | None = None) -> RateBroker:
    """A broker whose endpoint has shown that it bears the ceiling."""
    broker = RateBroker(Limits(concurrency=concurrency), clock=clock or Clock())
    broker.report("first", busy(answered=1000, seconds=0.1))
    broker.died("first")
    return broker


def slots(broker: RateBroker, client: str, **said) -> int:
    return broker.report(client, busy(**said)).endpoints["model"].slots


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


async def together(limits: Limits, server: Server, *, clients: int, calls: int) -> tuple[RateBroker, list[object]]:
    """Every client makes so many calls, all at once; what became of each."""
    broker = RateBroker(limits, clock=time.monotonic)

    def client(number: int) -> tuple[RateClient, Engine]:
        async def send(report: Report) -> Grant:
            sent = loads(Report, dumps(report))
            return loads(Grant, dumps(broker.report(f"client-{number}", sent)))

        one = RateClient(
            send,
            rate_limited=limits.requests_per_minute is not None or limits.tokens_per_minute is not None,
            limited=limits.max_calls is not None or limits.max_usd is not None,
            clock=time.monotonic,
        )
        engine = Engine(limiter=one)
        one.ledger = engine.ledger
        return one, engine

    everyone = [client(number) for number in range(clients)]
    reporting = [asyncio.create_task(one.keep_reporting()) for one, _ in everyone]
    work = [
        engine.call(server, request(number * calls + n))
        for number, (_, engine) in enumerate(everyone)
        for n in range(calls)
    ]
    ended = await asyncio.wait_for(asyncio.gather(*work, return_exceptions=True), timeout=60)
    for task in reporting:
        task.cancel()
    for one, _ in everyone:
        await one.report()
    return broker, ended


def test_the_slots_of_all_clients_never_exceed_the_ceiling_and_are_all_put_to_use():
    server = Server()
    broker, ended = asyncio.run(together(Limits(concurrency=8), server, clients=4, calls=40))
    assert [reply.content for reply in ended] == ["yes"] * 160
    assert server.peak <= 8
    assert server.peak >= 6
    assert broker.totals().usage["assistant"].calls == server.calls == 160


def test_before_the_first_success_all_clients_have_one_call_in_flight():
    broker = RateBroker(Limits(concurrency=64), clock=Clock())
    first = [slots(broker, client, waiting=10) for client in ("a", "b", "c")]
    again = [slots(broker, client, waiting=10) for client in ("a", "b", "c")]
    assert sum(first) <= 1
    assert sum(again) == 1


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 20), st.integers(0, 20)), max_size=60))
def test_whatever_clients_ask_for_no_more_is_lent_than_there_is(steps):
    broker = warmed(10)
    lent = dict.fromkeys(range(4), 0)
    for client, in_flight, waiting in steps:
        in_flight = min(in_flight, lent[client])
        said = {"busy": in_flight, "in_flight": in_flight, "waiting": waiting, "oldest": client}
        lent[client] = max(in_flight, slots(broker, str(client), **said))
        assert sum(lent.values()) <= 10


def test_slots_go_to_whoever_has_work():
    broker = warmed(10)
    assert slots(broker, "idle") == 10, "there is nobody else"
    assert slots(broker, "busy", waiting=50) == 0
    assert slots(broker, "idle") == 0
    assert slots(broker, "busy", waiting=50) == 0, "the idle one may not have heard of it"
    assert slots(broker, "idle") == 0
    assert slots(broker, "busy", waiting=50) == 10


def test_a_client_that_waits_gets_a_slot_however_many_are_idle_or_ask_for_more():
    for idle, large, limit in ((2, 0, 1), (15, 0, 5), (0, 3, 4), (1, 1, 1)):
        broker = warmed(limit)
        for number in range(idle):
            slots(broker, f"idle {number}")
        for _ in range(3):  # what one loses is lent again once it has heard of that
            for number in range(large):
                slots(broker, f"large {number}", waiting=100, oldest=9)
            for number in range(idle):
                slots(broker, f"idle {number}")
            got = slots(broker, "small", waiting=1, oldest=2)
        assert got >= 1, (idle, large, limit)


def test_a_silent_client_that_holds_nothing_keeps_nothing_from_others():
    clock = Clock()
    broker = warmed(8, clock)
    assert slots(broker, "busy", waiting=8) == 8
    assert slots(broker, "silent", waiting=64) == 0
    clock.now += STALE_SECONDS + 1
    assert slots(broker, "busy", busy=8, in_flight=8, waiting=8) == 8


def test_the_slots_of_a_silent_client_come_back_once_its_calls_cannot_be_in_flight():
    clock = Clock()
    broker = warmed(10, clock)
    assert slots(broker, "silent", waiting=50) == 10
    clock.now += broker.lease_seconds
    assert slots(broker, "alive", waiting=50) == 0, "its last call may have begun just before its grant was stale"
    clock.now += 1
    assert slots(broker, "alive", waiting=50) == 10


def test_the_slots_of_a_silent_client_come_back_later_if_its_model_has_a_longer_timeout_of_its_own():
    clock = Clock()
    broker = warmed(10, clock)
    silent = Report(endpoints={"model": EndpointReport(waiting=50)}, longest=broker.lease_seconds + 100)
    assert broker.report("silent", silent).endpoints["model"].slots == 10
    clock.now += broker.lease_seconds + 100
    assert slots(broker, "alive", waiting=50) == 0
    clock.now += STALE_SECONDS + 1
    assert slots(broker, "alive", waiting=50) == 10


def test_calls_are_in_flight_until_they_end_or_cannot_be_any_more():
    clock = Clock()
    broker = warmed(10, clock)
    for client, calls in (("alive", 2), ("silent", 3), ("dead", 4)):
        broker.report(client, busy(busy=calls + 1, in_flight=calls))  # and one waits before a retry
    broker.died("dead")
    assert broker.totals().in_flight == 5
    clock.now += broker.lease_seconds
    broker.report("alive", busy(busy=1, in_flight=1))
    assert broker.totals().in_flight == 4
    clock.now += 1
    assert broker.totals().in_flight == 1


def test_the_slots_of_a_process_that_died_come_back_at_once():
    broker = warmed(10)
    assert slots(broker, "dead", waiting=50) == 10
    broker.died("dead")
    assert slots(broker, "alive", waiting=50) == 10
    assert slots(broker, "dead", waiting=50) == 0, "what comes from it still gets no more"


def test_a_client_that_was_silent_goes_on_with_its_own_account():
    clock = Clock()
    broker = RateBroker(Limits(max_usd=10.0), clock=clock)
    used = Usage(calls=100, usd=6.0)
    report = Report(calls=100, lent=100, wanted=5, finished=100, usd=6.0, priced=100, usage={"judge": used})
    assert broker.report("silent", report).spent is None
    for seconds in (16.0, broker.lease_seconds + 1):
        clock.now += seconds
        broker.report("another", Report())
        assert broker.report("silent", report).spent is None
        assert broker.totals().usage == {"judge": used}


def test_nobody_without_the_secret_of_the_run_gets_an_answer():
    coordinator = Coordinator(dumps(Limits(max_calls=10)), "the secret")
    for ask in (
        lambda: coordinator.report("another", "worker", dumps(Report(wanted=10))),
        lambda: coordinator.died("", "worker"),
        lambda: coordinator.totals("another", 0),
    ):
        with pytest.raises(PermissionError):
            ask()
    assert loads(Grant, coordinator.report("the secret", "worker", dumps(Report(wanted=10)))).lent == 10


def test_a_refusal_met_by_one_client_slows_all_of_them():
    clock = Clock()
    broker = warmed(16, clock)
    before = slots(broker, "a", waiting=50)
    for _ in range(3):
        clock.now += 1
        broker.report("b", busy(refused=(0.1,)))
    assert slots(broker, "a", waiting=50) < before


def test_a_report_that_arrives_twice_is_counted_once():
    clock = Clock()
    broker = RateBroker(Limits(tokens_per_minute=6000), clock=clock)

    async def main() -> None:
        async def send(report: Report) -> Grant:
            broker.report("a", report)  # whose answer is lost
            return broker.report("a", report)

        client = RateClient(send, rate_limited=True, limited=False, clock=clock)
        client.rate_limit("model").charge(500)
        await client.report()

    asyncio.run(main())
    clock.now += 5.0
    assert broker.report("b", busy(starts=1)).endpoints["model"].starts == (0.0,), "5 seconds are owed, and not 10"


def test_a_report_that_is_overtaken_by_a_later_one_changes_nothing():
    broker = RateBroker(Limits(max_calls=10), clock=Clock())
    broker.report("a", Report(number=2, calls=4, lent=4, wanted=6))
    broker.report("a", Report(number=1, calls=1, lent=1))
    assert broker.report("b", Report(number=1, wanted=10)).lent == 0


def test_max_calls_is_exact_over_all_clients():
    server = Server()
    _, ended = asyncio.run(together(Limits(max_calls=37), server, clients=4, calls=40))
    assert server.calls == 37
    errors = [error for error in ended if isinstance(error, Exception)]
    assert len(errors) == 160 - 37
    assert {str(error) for error in errors} == {"The limit of 37 calls is reached."}
    assert all(isinstance(error, BudgetError) for error in errors)


def test_max_usd_holds_over_all_clients():
    server = Server(usd=0.01)
    _, ended = asyncio.run(together(Limits(max_usd=0.25), server, clients=3, calls=40))
    assert server.calls <= 25
    assert server.calls >= 22
    assert all(isinstance(error, BudgetError) for error in ended if isinstance(error, Exception))


@pytest.mark.parametrize("price", [0.01, 0.07, 0.1, 1 / 3])
def test_max_usd_pays_for_as_many_calls_as_in_one_process(price):
    """Sums of such prices are not exact."""
    limits = Limits(max_usd=round(7 * price, 9), concurrency=1)
    apart, shared = Server(usd=price), Server(usd=price)

    async def alone() -> None:
        engine = Engine(limits=limits)
        for n in range(9):
            with contextlib.suppress(BudgetError):
                await engine.call(apart, request(n))

    asyncio.run(alone())
    asyncio.run(together(limits, shared, clients=1, calls=9))
    assert apart.calls == shared.calls == 7


def test_what_the_dead_may_have_paid_is_kept_for_them():
    broker = RateBroker(Limits(max_usd=1.0), clock=Clock())
    for number in range(3):
        broker.report(f"dead {number}", Report(number=1, wanted=30, finished=1, calls=1, lent=1, usd=0.01, priced=1))
        broker.died(f"dead {number}")
    alive = broker.report("alive", Report(wanted=100))
    assert (alive.lent, alive.spent) == (7, None)
    spent = broker.report("alive", Report(calls=7, lent=7, finished=7, usd=0.07, priced=7, wanted=1)).spent
    assert spent == "The limit of $1 is reached ($0.1000 spent, up to $0.9000 more by workers that are gone)."


def test_a_price_near_nothing_pays_for_any_number_of_calls():
    broker = RateBroker(Limits(max_usd=1.0), clock=Clock())
    said = Report(calls=4, lent=4, finished=4, priced=4, usd=5e-324 * 4, wanted=7)
    assert broker.report("a", said).lent == 11


def test_what_a_dead_client_was_lent_counts_as_spent():
    clock = Clock()
    broker = RateBroker(Limits(max_calls=10), clock=clock)
    assert broker.report("dead", Report(wanted=6)).lent == 6
    assert broker.report("alive", Report(wanted=10)).spent is None
    clock.now += broker.lease_seconds + 1
    assert broker.report("alive", Report(wanted=10)).lent == 4
    assert broker.report("alive", Report(calls=4, lent=4, wanted=1)).spent is not None


def test_what_a_client_gives_back_another_gets():
    broker = RateBroker(Limits(max_calls=10), clock=Clock())
    assert broker.report("a", Report(wanted=10)).lent == 10
    waiting = broker.report("b", Report(wanted=2))
    assert (waiting.lent, waiting.spent) == (0, None), "it may be given back"
    broker.report("a", Report(calls=5, lent=5))
    assert broker.report("b", Report(wanted=2)).lent == 2


def test_starts_are_spread_over_all_clients():
    clock = Clock()
    broker = RateBroker(Limits(requests_per_minute=600), clock=clock)
    starts = []
    for step in range(40):
        clock.now += 0.05
        grant = broker.report(f"client-{step % 4}", busy(starts=3)).endpoints["model"]
        starts += [clock.now + start for start in grant.starts]
    gaps = [later - earlier for earlier, later in zip(sorted(starts), sorted(starts)[1:], strict=False)]
    assert min(gaps) == pytest.approx(0.1)
    assert max(gaps) == pytest.approx(0.1)


def test_all_clients_together_keep_to_the_requests_per_minute():
    server = Server()
    asyncio.run(together(Limits(requests_per_minute=3000), server, clients=4, calls=15))
    span = server.starts[-1] - server.starts[0]
    assert len(server.starts) == 60
    assert (len(server.starts) - 1) / span <= 3000 / 60 * 1.05


def test_of_starts_that_were_all_missed_one_is_taken():
    """A loop that is held up again and again would make no call otherwise; and more would crowd those after them."""
    clock = Clock()

    async def late(seconds: float) -> None:
        await asyncio.sleep(0)
        clock.now = 110.0

    async def main() -> tuple[int, int]:
        limit = LeasedRateLimit(clock, late, limited=True)
        calls = [asyncio.create_task(limit.wait()) for _ in range(5)]
        await asyncio.sleep(0)
        limit.assign(clock.now + 0.1 * number for number in range(1, 6))
        for _ in range(5):
            await asyncio.sleep(0)
        found = sum(call.done() for call in calls), limit.starts
        for call in calls:
            call.cancel()
        return found

    assert asyncio.run(main()) == (1, 4)


def test_two_roles_whose_replicas_differ_share_what_they_have_in_common_without_harm():
    class Replica:
        name, price, api_key = "hosted", None, None

        def __init__(self, address: str, seconds: float) -> None:
            self.fingerprint, self.seconds = {"model": "hosted", "api_base": address}, seconds

        async def achat(self, request: ChatRequest) -> ChatReply:
            await asyncio.sleep(self.seconds)
            return ChatReply(content="yes")

    class Several:
        name, price, fingerprint = "hosted", None, {"model": "hosted"}

        def __init__(self, *replicas: Replica) -> None:
            self.replicas = replicas

    async def main() -> list[object]:
        broker = RateBroker(Limits(concurrency=4), clock=time.monotonic)

        async def send(report: Report) -> Grant:
            return broker.report("a", report)

        client = RateClient(send, rate_limited=False, limited=False, clock=time.monotonic)
        engine, first = Engine(limiter=client), Replica("http://1", 0.02)
        reporting = asyncio.create_task(client.keep_reporting())
        models = (Several(first, Replica("http://2", 0.02)), Several(first, Replica("http://3", 0.0)))
        calls = [
            engine.call(model, replace(request(number), conversation_id=str(number)))
            for first_number, model in zip((0, 40), models, strict=True)
            for number in range(first_number, first_number + 40)
        ]
        ended = await asyncio.wait_for(asyncio.gather(*calls, return_exceptions=True), timeout=60)
        reporting.cancel()
        return ended

    assert [getattr(reply, "content", reply) for reply in asyncio.run(main())] == ["yes"] * 80


def test_tokens_are_paid_off_by_all_clients_together():
    clock = Clock()
    broker = RateBroker(Limits(tokens_per_minute=6000), clock=clock)
    assert broker.report("a", busy(starts=1)).endpoints["model"].starts == (0.0,)
    broker.report("a", busy(tokens=500))
    assert broker.report("b", busy(starts=1)).endpoints["model"].starts == (), "5 seconds are owed"
    clock.now += 5.0
    assert len(broker.report("b", busy(starts=1)).endpoints["model"].starts) == 1


def test_totals_are_those_of_all_clients_the_dead_included():
    clock = Clock()
    broker = RateBroker(Limits(), clock=clock)
    for client in ("a", "b"):
        broker.report(client, Report(quarantined=3, usage={"judge": Usage(calls=2, prompt_tokens=10, usd=0.5)}))
    broker.died("a")
    clock.now += broker.lease_seconds + 1
    broker.report("c", Report(quarantined=1, usage={"judge": Usage(calls=1)}))
    assert broker.totals().quarantined == 7
    assert broker.totals().usage == {"judge": Usage(calls=5, prompt_tokens=20, usd=1.0)}


def test_what_clients_warn_of_is_told_once_and_has_bounds():
    broker = RateBroker(Limits(), clock=Clock())

    async def main() -> None:
        async def send(report: Report) -> Grant:
            sent.append(report)
            return broker.report("a", report)

        client = RateClient(send, rate_limited=False, limited=False, clock=Clock())
        for text in ("odd", "odd", "odder\n" * 1000):
            client.warn(text)
            await client.report()
        assert [len(report.warnings) for report in sent] == [1, 0, 1]

    sent: list[Report] = []
    asyncio.run(main())
    broker.report("b", Report(warnings=("odd", "oddest")))
    odd, odder, oddest = broker.totals().warnings
    assert (odd, oddest) == ("odd", "oddest")
    assert len(odder) == LONGEST_WARNING
    assert "\n" not in odder
    assert broker.totals(heard=2).warnings == ("oddest",)
    broker.report("b", Report(warnings=tuple(map(str, range(1000)))))
    assert len(broker.totals().warnings) == MOST_WARNINGS


def test_a_client_that_hears_nothing_begins_nothing_new():
    clock = Clock()

    async def main() -> None:
        async def send(report: Report) -> Grant:
            return warmed(clock=clock).report("a", report)

        client = RateClient(send, rate_limited=False, limited=False, clock=clock)
        admission = client.admission("model")
        await client.report()
        assert admission.limit > 1
        clock.now += STALE_SECONDS
        assert admission.limit == 0

    asyncio.run(main())


def test_an_endpoint_that_refuses_costs_all_clients_one_call():
    from collab_sdk.errors import EndpointError

    refusing = FakeChatModel(lambda request: EndpointError("wrong key"))
    _, ended = asyncio.run(together(Limits(), refusing, clients=3, calls=5))
    assert len(refusing.requests) <= 3
    assert all(isinstance(error, EndpointError) for error in ended)


OUTCOME = dumps([MRScore(response=says("hi"), futures=(), value=0.5, stderr=None)])


def test_a_finished_conversation_is_found_by_the_same_job_and_by_no_other():
    async def main() -> None:
        cache, chat = MemoryCache(), '{"id":"chat-1"}'

        def job(name: str) -> OutcomeCache:
            return OutcomeCache(cache, ScoreJob.result, {"job": name})

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
        ({"job": "one"}, dumps([MRScore(response=says("x" * LARGEST), futures=(), value=0.5, stderr=None)])),
        ({"job": "one"}, OUTCOME.replace('"hi"', '""hi"')),
        ({"job": "one"}, OUTCOME.replace('"hi"', "1")),
        ({"job": "one"}, "null"),
        ({"job": "one"}, "[" * 100_000),
    ],
    ids=["of nothing known", "too large", "no JSON", "of other types", "nothing", "nested"],
)
def test_what_cannot_be_used_again_is_not_found(identity, outcome):
    async def main() -> None:
        outcomes = OutcomeCache(MemoryCache(), ScoreJob.result, identity)
        await outcomes.keep("chat", outcome)
        assert await outcomes.find("chat") is None

    asyncio.run(main())
