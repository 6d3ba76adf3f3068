"""Several servers of one model of which one answers otherwise than the others: who is believed, who is left out."""

import asyncio
import json
import re
import warnings
from contextlib import ExitStack
from dataclasses import replace
from itertools import pairwise
from math import inf

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.cli import collab, write_chats
from support.faults import BAD_KEY, CONTEXT_WINDOW, SERVER_ERROR, Fault, always, content
from support.openai_replies import chat_completion
from support.server import LoopbackServer

from collab_sdk import ChatReply, ChatRequest, Engine, Message, as_chat_model
from collab_sdk.cache import MemoryCache
from collab_sdk.errors import BudgetError, CacheError, EmptyReplyError, EndpointError, SampleError
from collab_sdk.models.base import CallRole
from collab_sdk.spec import Limits

SCHEMA = {"type": "object", "properties": {"answer": {"type": "string"}}}
NO_FORMAT = {"error": {"message": "response_format is not supported", "param": "response_format"}}


def says(model: str, text: str = "from another model"):
    """A server's script: all that it answers is of that model."""

    def script(number: int, body: dict) -> Fault:
        return Fault(body={**chat_completion(body, [ChatReply(content=text)], Fault()), "model": model})

    return script


def refuses_a_format(number: int, body: dict) -> Fault | None:
    return Fault(status=400, body=NO_FORMAT) if "response_format" in body else None


ODD = {
    "answers with nothing": always(content("")),
    "refuses a parameter": refuses_a_format,
    "is another model": says("other-7b"),
    "answers in no readable form": always(content("I would rather not.")),
    "refuses every chat": always(CONTEXT_WINDOW),
    "sends no completion": always(Fault(body={"choices": []})),
}
"""What one of several servers does."""


def answer_to(body: dict) -> str:
    return json.dumps({"answer": body["messages"][-1]["content"]})


def server(faults=None) -> LoopbackServer:
    return LoopbackServer(answer_to, faults=faults)


def model_at(*servers: LoopbackServer):
    return as_chat_model("hosted_vllm/x", api_base=[each.api_base for each in servers])


def ask(number: int) -> ChatRequest:
    message = Message(role="user", content=f"question {number}")
    return ChatRequest(
        role=CallRole.JUDGE,
        messages=(message,),
        reply_schema=SCHEMA,
        sample=str(number),
        conversation_id=str(number),
    )


def is_json(reply: ChatReply) -> None:
    json.loads(reply.content)


class Time:
    """A clock that sleeping moves, not before what is on its way over loopback has had time to arrive."""

    def __init__(self) -> None:
        self.now = 0.0

    async def sleep(self, seconds: float) -> None:
        until = self.now + seconds
        await asyncio.sleep(0.01)
        self.now = max(self.now, until)

    def engine(self, **options) -> Engine:
        return Engine(sleep=self.sleep, clock=lambda: self.now, limits=Limits(concurrency=8), **options)


async def aanswers(model, numbers, engine: Engine) -> list[ChatReply | SampleError]:
    calls = (engine.call(model, ask(number), readable=is_json) for number in numbers)
    found = await asyncio.gather(*calls, return_exceptions=True)
    for each in found:
        if not isinstance(each, ChatReply | SampleError):
            raise each
    return found


def answers(model, numbers, engine: Engine) -> list[ChatReply | SampleError]:
    return asyncio.run(aanswers(model, numbers, engine))


def right(numbers) -> list[str]:
    return [json.dumps({"answer": f"question {number}"}) for number in numbers]


@pytest.mark.parametrize("place", [0, 2])
@pytest.mark.parametrize("what", ODD)
def test_one_of_three_that_is_odd_costs_no_sample_and_is_left_out_with_one_line(what, place):
    with ExitStack() as stack:
        servers = [stack.enter_context(server(ODD[what] if at == place else None)) for at in range(3)]
        odd, engine = servers[place], Time().engine()
        with pytest.warns(UserWarning, match="other replicas go on") as told:
            replies = answers(model_at(*servers), range(80), engine)
        counted = sum(each.count for each in servers)
        assert all("response_format" in request.body for each in servers for request in each.requests)
    assert [reply.content for reply in replies] == right(range(80))
    assert counted == 80 + odd.count, "no call was made twice but those that the odd one answered"
    assert 0 < odd.count <= 8, "those in flight at the beginning"
    assert [str(each.message).partition(" ")[0] for each in told] == ["hosted_vllm/x"]
    assert f" at {odd.api_base} " in str(told[0].message)
    assert engine.ledger.total.failures == 0


def test_one_that_is_odd_now_and_then_loses_nothing_and_stays():
    with server(lambda number, body: content("") if number % 3 == 2 else None) as moody, server() as steady:
        engine = Time().engine()
        replies = answers(model_at(moody, steady), range(100), engine)
        assert moody.count > 25, "it answers two of three well, and is not left out"
        assert moody.count + steady.count == 100 + moody.count // 3
    assert [reply.content for reply in replies] == right(range(100))


def test_one_that_answers_well_again_takes_its_share_after_a_single_call():
    is_sick, time = True, Time()

    async def main(model, engine: Engine) -> list[int]:
        nonlocal is_sick

        async def calls_of_one(numbers) -> int:
            before = one.count
            await aanswers(model, numbers, engine)
            return one.count - before

        seen = [await calls_of_one(range(20)), await calls_of_one(range(20, 40))]
        time.now += 100
        seen.append(await calls_of_one(range(40, 60)))
        time.now, is_sick = time.now + 100, False
        seen.append(await calls_of_one([60]))
        return [*seen, await calls_of_one(range(61, 101))]

    with (
        server(lambda number, body: content("") if is_sick else None) as one,
        server() as two,
        pytest.warns(UserWarning, match="answered with nothing") as told,
    ):
        first, rested, tried, _, last = asyncio.run(main(model_at(one, two), time.engine()))
    assert 0 < first <= 8
    assert (rested, tried) == (0, 1)
    assert last > 10
    assert len(told) == 1


@pytest.mark.filterwarnings("ignore:.*is left out")
def test_a_failure_counts_once_for_how_long_a_replica_rests():
    time, faults = Time(), [BAD_KEY, SERVER_ERROR]

    async def main(model, engine: Engine) -> list[int]:
        counts = []
        for seconds in (0, 61, 64):
            time.now = float(seconds)
            for number in range(12):
                await aanswers(model, [100 * seconds + number], engine)
            counts.append(one.count)
        return counts

    with server(lambda number, body: faults[number] if number < 2 else None) as one, server() as two:
        *failed, well = asyncio.run(main(model_at(one, two), time.engine()))
    assert failed == [1, 2], "it is not asked again while it rests"
    assert well > 2, "its second failure in a row is a rest of 2 s, and not the third, of 4 s"


def test_where_all_answer_with_nothing_it_is_the_model_and_nobody_is_left_out():
    with server(ODD["answers with nothing"]) as one, server(ODD["answers with nothing"]) as two:
        model = model_at(one, two)
        replies = [reply for number in range(3) for reply in answers(model, [number], Time().engine())]
        assert [type(reply) for reply in replies] == [EmptyReplyError] * 3
        assert one.count + two.count == 6, "twice each, as of one server"
        of_an_assistant = replace(ask(9), role=CallRole.ASSISTANT)
        assert asyncio.run(Time().engine().call(model, of_an_assistant)).content == ""


def test_a_parameter_that_all_refuse_is_left_out_of_requests():
    with (
        server(refuses_a_format) as one,
        server(refuses_a_format) as two,
        pytest.warns(UserWarning, match="does not take response_format") as told,
    ):
        replies = answers(model_at(one, two), range(20), Time().engine())
    assert [reply.content for reply in replies] == right(range(20))
    assert not [each for each in told if "left out" in str(each.message)]


def test_the_model_that_was_asked_for_is_right_even_if_it_is_alone_and_named_last():
    with server(says("y")) as one, server(says("y")) as two, server() as three:
        with pytest.warns(UserWarning, match=r"it answers as y, not as hosted_vllm/x") as told:
            replies = answers(model_at(one, two, three), range(30), Time().engine())
        assert three.count >= 30
    assert [reply.content for reply in replies] == right(range(30))
    assert len(told) == 2


@pytest.mark.parametrize(("names", "believed"), [("yyz", "y"), ("zyy", "z"), ("yz", "y"), ("xxx", "x")])
def test_of_names_that_nobody_asked_for_the_first_decides(names, believed):
    with ExitStack() as stack:
        texts = {name: json.dumps({"answer": name}) for name in names}
        servers = [stack.enter_context(server(says(f"{name}-awq", texts[name]))) for name in names]
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always")
            replies = answers(model_at(*servers), range(30), Time().engine())
        odd = [each for each, name in zip(servers, names, strict=True) if name != believed]
        counted = sum(each.count for each in servers)
    assert {reply.content for reply in replies} == {texts[believed]}
    assert sum("is left out" in str(each.message) for each in told) == len(odd)
    assert counted <= 30 + sum(each.count for each in odd) + len(servers) - 1, "who had said no name was asked one"


def well_then_at_once(model, time: Time, numbers) -> list[ChatReply | SampleError]:
    """The answers to `numbers` at the second 2, of a model that answered ten calls before."""

    async def main() -> list[ChatReply | SampleError]:
        engine = time.engine()
        await aanswers(model, range(10), engine)
        time.now = 2.0
        return await aanswers(model, numbers, engine)

    return asyncio.run(main())


def down(time: Time, *, until: float):
    return lambda number, body: SERVER_ERROR if 1 < time.now < until else None


def test_replicas_that_are_all_down_are_waited_for_and_no_call_is_lost():
    time = Time()
    with server(down(time, until=27)) as one, server(down(time, until=28)) as two:
        replies = well_then_at_once(model_at(one, two), time, range(10, 40))
        assert one.count + two.count < 40 + 16 + 3 * 27, "after those in flight they are tried one call at a time"
    assert [reply.content for reply in replies] == right(range(10, 40))
    assert 27 <= time.now < 32


def test_replicas_that_do_not_come_back_end_the_run_after_30_seconds():
    time = Time()
    with (
        server(down(time, until=1000)) as one,
        server(down(time, until=1000)) as two,
        pytest.raises(EndpointError, match=r"None of the 2 replicas has answered for 30 s; the run stops\. .* 500"),
    ):
        well_then_at_once(model_at(one, two), time, range(10, 20))
    assert 32 <= time.now < 60, "30 s, and the rests of calls that were under way"


def test_where_the_others_are_down_one_that_is_odd_is_not_believed():
    time = Time()
    with (
        server(down(time, until=12)) as one,
        server(says("other-7b")) as odd,
        pytest.warns(UserWarning, match="answers as other-7b"),
    ):
        replies = well_then_at_once(model_at(one, odd), time, range(10, 30))
    assert [reply.content for reply in replies] == right(range(10, 30))


def at_first(fault: Fault):
    return lambda number, body: fault if number == 0 else None


@pytest.mark.parametrize(
    ("good", "others"),
    [
        (at_first(SERVER_ERROR), ["answers with nothing"]),
        (at_first(SERVER_ERROR), ["answers in no readable form"] * 2),
        (None, ["answers with nothing", "is another model"]),
    ],
)
def test_one_that_answers_well_is_waited_for_while_it_rests(good, others):
    with ExitStack() as stack, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        scripts = [*(ODD[other] for other in others), good]
        servers = [stack.enter_context(server(script)) for script in scripts]
        replies = answers(model_at(*servers), range(30), Time().engine())
    assert [reply.content for reply in replies] == right(range(30))


@pytest.mark.filterwarnings("ignore:.*is left out")
def test_a_parameter_is_not_given_up_while_one_that_took_it_rests():
    time = Time()

    def refuses_later(number: int, body: dict) -> Fault | None:
        return refuses_a_format(number, body) if time.now > 1 else None

    with server(refuses_later) as one, server(down(time, until=4)) as two:
        replies = well_then_at_once(model_at(one, two), time, range(10, 30))
        assert all("response_format" in request.body for each in (one, two) for request in each.requests)
    assert [reply.content for reply in replies] == right(range(10, 30))


def test_a_budget_that_is_spent_before_all_are_heard_ends_the_run_without_a_vote():
    with server(says("y")) as one, server(says("z")) as two, pytest.raises(BudgetError, match="1 calls"):
        asyncio.run(Engine(limits=Limits(max_calls=1)).call(model_at(one, two), ask(1)))


@pytest.mark.filterwarnings("ignore:.*(is left out|taken for)")
def test_what_was_paid_for_before_a_budget_was_spent_on_the_vote_is_not_paid_for_again(tmp_path):
    def engine() -> Engine:
        return Engine(cache=tmp_path, limits=Limits(max_calls=1))

    with server(says("y")) as one, server(says("z")) as two, server(says("z")) as three:
        model = model_at(one, two, three)
        for _ in range(2):
            with pytest.raises(BudgetError), engine() as cut_off:
                asyncio.run(cut_off.call(model, ask(1)))
        with engine() as last, engine() as later:
            reply, again = (asyncio.run(each.call(model, ask(1))) for each in (last, later))
        assert [each.count for each in (one, two, three)] == [1, 1, 1]
        assert (last.ledger.total.calls, later.ledger.total.calls) == (1, 0)
    assert again.content == reply.content == "from another model"


class LookedInto(MemoryCache):
    """A cache that counts how often it is asked, and is away from the time of number `breaks` on."""

    def __init__(self, breaks: float = inf) -> None:
        super().__init__()
        self.looks, self.breaks = 0, breaks

    async def aget(self, key: str) -> ChatReply | None:
        self.looks += 1
        if self.looks >= self.breaks:
            raise CacheError("The cache does not answer.")
        return await super().aget(key)


@pytest.mark.parametrize("name", ["", "y"], ids=["says no name", "says another name"])
def test_calls_of_several_replicas_are_looked_for_in_the_cache_no_more_often_than_those_of_one(name):
    async def looks_at_later_calls(model) -> list[int]:
        cache = LookedInto()
        engine, looks = Engine(cache=cache), []
        for number in range(4):
            await aanswers(model, [number], engine)
            looks.append(cache.looks)
        return [after - before for before, after in pairwise(looks)]

    def script(number: int, body: dict) -> Fault:
        return says(name, answer_to(body))(number, body)

    with server(script) as one, server(script) as two:
        several, single = (asyncio.run(looks_at_later_calls(model)) for model in (model_at(one, two), model_at(one)))
    assert several == single


@pytest.mark.parametrize("breaks", range(1, 6))
def test_a_cache_that_is_away_before_a_call_is_made_is_no_failure_of_that_call(breaks):
    with server() as one, server() as two:
        engine = Engine(cache=LookedInto(breaks))
        with pytest.raises(CacheError):
            answers(model_at(one, two), [1], engine)
        assert (one.count + two.count, engine.ledger.total.failures) == (0, 0)


@pytest.mark.filterwarnings("ignore:.*(is left out|taken for)")
def test_a_run_says_which_model_the_replicas_were_taken_for_and_the_cache_can_forget_that(tmp_path):
    """A provider gives the model a new name, and all that was paid for stays of use."""
    name = "y-2025"

    def script(number: int, body: dict) -> Fault:
        return says(name, answer_to(body))(number, body)

    with server(script) as one, server(script) as two:
        model = model_at(one, two)
        with Engine(cache=tmp_path) as engine:
            answers(model, range(3), engine)
            assert asyncio.run(engine.dialects({"judge": model})) == {"judge": {"served_as": "y-2025"}}
        name = "y-2026"
        with (
            pytest.raises(EndpointError, match="`collab cache prune --served y-2025` lets the cache forget") as error,
            Engine(cache=tmp_path) as engine,
        ):
            answers(model, range(3, 6), engine)
        command = re.search("`collab (.*)`", str(error.value))[1].split()
        assert "Deleted 1 reply" in collab(*command, "--yes", "--cache", tmp_path).stdout
        with Engine(cache=tmp_path, limits=Limits(max_calls=2)) as engine:
            answers(model, range(4), engine)
            assert asyncio.run(engine.dialects({"judge": model})) == {"judge": {"served_as": "y-2026"}}


@pytest.mark.filterwarnings("ignore:.*not answered yet")
def test_the_model_that_was_asked_for_ends_the_run_where_others_were_taken_for_it():
    time = Time()

    async def main(model) -> None:
        engine = time.engine()
        await aanswers(model, range(10), engine)
        time.now = 100.0
        await aanswers(model, range(10, 40), engine)

    with (
        server(lambda number, body: SERVER_ERROR if time.now < 50 else None) as late,
        server(says("y", json.dumps({"answer": "y"}))) as one,
        server(says("y", json.dumps({"answer": "y"}))) as two,
        pytest.warns(UserWarning, match="taken for y, which was not asked for; not heard yet: hosted_vllm/x at"),
        pytest.raises(
            EndpointError, match="is the model that was asked for, and the replies in the cache are those of y"
        ),
    ):
        asyncio.run(main(model_at(late, one, two)))


@pytest.mark.filterwarnings("ignore:.*(is left out|taken for|not answered yet)")
def test_all_who_share_a_cache_go_by_the_same_model(tmp_path):
    time = Time()
    y, z = (json.dumps({"answer": name}) for name in "yz")
    first = says("y", y)
    with (
        server(lambda number, body: first(number, body) if time.now > 50 else SERVER_ERROR) as one,
        server(says("z", z)) as two,
    ):
        model = model_at(one, two)
        with time.engine(cache=tmp_path) as engine:
            before = answers(model, range(10), engine)
        time.now = 100.0
        with Time().engine(cache=tmp_path) as engine:
            after = answers(model, range(10, 40), engine)
        assert one.count > 1
    assert {reply.content for reply in [*before, *after]} == {z}


def test_one_that_is_left_out_is_never_believed(tmp_path):
    time = Time()

    async def main(model, engine: Engine) -> list[object]:
        await aanswers(model, range(20), engine)
        time.now = 2.0
        calls = (engine.call(model, ask(number), readable=is_json) for number in range(20, 26))
        return await asyncio.gather(*calls, return_exceptions=True)

    with (
        server(down(time, until=10_000)) as good,
        server(ODD["answers in no readable form"]) as odd,
        pytest.warns(UserWarning, match="is left out"),
        time.engine(cache=tmp_path) as engine,
    ):
        found = asyncio.run(main(model_at(good, odd), engine))
        kept = [row["record"]["reply"]["content"] for _, row in engine.cache.rows()]
    assert {type(each) for each in found} == {EndpointError}
    assert "I would rather not." not in kept
    assert time.now < 100


@settings(max_examples=12)
@given(
    kinds=st.lists(st.sampled_from([None, *ODD]), min_size=1, max_size=3),
    place=st.integers(0, 3),
    moody=st.integers(2, 5),
    sick=st.lists(st.integers(8, 16), max_size=3),
)
def test_whatever_the_others_do_one_that_answers_well_is_enough(kinds, place, moody, sick):
    """Odd ones may be so at each call or at every n-th; the good one fails now and then, once it has answered."""
    with ExitStack() as stack, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        scripts = [ODD.get(kind) for kind in kinds]
        if (first := scripts[0]) is not None:
            scripts[0] = lambda number, body: first(number, body) if number % moody == 0 else None
        scripts.insert(place, lambda number, body: SERVER_ERROR if number in sick else None)
        servers = [stack.enter_context(server(script)) for script in scripts]
        engine = Time().engine()
        replies = answers(model_at(*servers), range(24), engine)
        odd = sum(each.count for at, each in enumerate(servers) if at != min(place, len(kinds)))
        assert sum(each.count for each in servers) <= 24 + odd + len({*sick})
    assert [reply.content for reply in replies] == right(range(24))
    assert engine.ledger.total.failures == 0


@pytest.mark.parametrize("what", ["answers with nothing", "refuses a parameter", "is another model"])
def test_a_score_with_an_odd_replica_is_the_score_without_it(what, tmp_path):
    logs = write_chats(tmp_path / "chats.jsonl", 1)
    with LoopbackServer() as one, LoopbackServer() as two, LoopbackServer(faults=ODD[what]) as odd:
        arguments = ["score", logs, "--model", "hosted_vllm/x", "--json"]
        bases = [option for each in (one, two, odd) for option in ("--api-base", each.api_base)]
        alone = collab(*arguments, *bases[:2], "--cache-dir", tmp_path / "alone")
        together = collab(*arguments, *bases, "--cache-dir", tmp_path / "together")
        assert odd.count > 0
    assert together.exit_code == alone.exit_code == 0, together.stderr
    assert together.stdout == alone.stdout
    assert sum("is left out, other replicas go on" in line for line in together.stderr.splitlines()) == 1
