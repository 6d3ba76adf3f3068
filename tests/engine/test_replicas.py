"""Several servers of one model: who answers, who rests, who takes over."""

import asyncio
import socket
from collections import Counter
from dataclasses import replace

import pytest
from support.cli import collab, write_chats
from support.faults import BAD_KEY, DROP, SERVER_ERROR, always, rate_limited
from support.server import LoopbackServer

from collab_sdk import ChatReply, ChatRequest, Engine, Message, as_chat_model
from collab_sdk.errors import EndpointError, UsageError
from collab_sdk.models.base import CallRole
from collab_sdk.spec import Limits


async def no_wait(seconds: float) -> None:
    return


def ask(number: object) -> ChatRequest:
    message = Message(role="user", content=f"question {number}")
    return ChatRequest(role=CallRole.ASSISTANT, messages=(message,), sample=str(number))


def answers(model, requests, engine: Engine | None = None, *, conversation=lambda n: n) -> list[ChatReply]:
    engine = engine or Engine(sleep=no_wait, limits=Limits(concurrency=8))

    async def one(number: int, request: ChatRequest) -> ChatReply:
        return await engine.call(model, replace(request, conversation_id=str(conversation(number))))

    async def main() -> list[ChatReply]:
        return await asyncio.gather(*(one(number, request) for number, request in enumerate(requests)))

    return asyncio.run(main())


def server(name: str = "", **options) -> LoopbackServer:
    return LoopbackServer(lambda body: name or f"answer to {body['messages'][-1]['content']}", **options)


def both(*servers: LoopbackServer):
    return as_chat_model("hosted_vllm/x", api_base=[each.api_base for each in servers])


@pytest.fixture
def nobody() -> str:
    """The address of a server that is not there."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{taken.getsockname()[1]}/v1"


def test_the_calls_are_shared_about_evenly():
    with server() as one, server() as two, server() as three:
        replies = answers(both(one, two, three), map(ask, range(120)))
        counts = [each.count for each in (one, two, three)]
    assert [reply.content for reply in replies] == [f"answer to question {number}" for number in range(120)]
    assert sum(counts) == 120
    assert min(counts) >= 20


def test_a_conversation_stays_with_one_replica_while_that_one_has_room():
    with server("one") as one, server("two") as two:
        engine, model = Engine(limits=Limits(concurrency=8)), both(one, two)
        told: dict[int, set[str]] = {}
        for conversation in range(12):
            for turn in range(3):
                request = ask(f"of {conversation}")
                later = ChatRequest(role=request.role, messages=request.messages, sample=f"{conversation}/{turn}")
                [reply] = answers(model, [later], engine, conversation=lambda _, c=conversation: c)
                told.setdefault(conversation, set()).add(reply.content)
    assert all(len(replicas) == 1 for replicas in told.values())
    assert set().union(*told.values()) == {"one", "two"}


def test_a_replica_that_is_slow_gets_fewer_calls():
    with server() as fast, server(latency=lambda: 0.5) as slow:
        answers(both(slow, fast), map(ask, range(150)))
        assert fast.count > slow.count


def test_what_one_server_was_paid_for_is_there_when_another_joins_it(tmp_path):
    with server() as one, server() as two:
        answers(as_chat_model("hosted_vllm/x", api_base=one.api_base), map(ask, range(10)), Engine(cache=tmp_path))
        answers(both(one, two), map(ask, range(12)), Engine(cache=tmp_path))
        assert one.count + two.count == 12


def test_a_replica_that_was_never_there_is_told_and_the_others_do_the_work(nobody):
    with server() as one:
        model = as_chat_model("hosted_vllm/x", api_base=[nobody, one.api_base])
        with pytest.warns(UserWarning, match=rf"x at {nobody} has not answered yet, other replicas go on") as told:
            replies = answers(model, map(ask, range(60)))
        assert one.count == 60
    assert len(replies) == 60
    assert len(told) == 1


@pytest.mark.parametrize("fault", [DROP, SERVER_ERROR])
def test_a_replica_that_dies_in_the_middle_costs_no_sample(fault):
    with (
        server(faults=lambda number, body: fault if number >= 10 else None) as dying,
        server() as healthy,
    ):
        engine = Engine(sleep=no_wait, limits=Limits(concurrency=8))
        replies = answers(both(dying, healthy), map(ask, range(100)), engine)
        assert dying.count + healthy.count >= 100
        assert healthy.count >= 80
    assert [reply.content for reply in replies] == [f"answer to question {number}" for number in range(100)]
    assert engine.ledger.total.failures == 0
    assert engine.ledger.total.retries == dying.count - 10


def test_one_that_has_rested_is_tried_again_with_a_single_call_and_then_trusted():
    now, sick = 0.0, True
    with (
        server(faults=lambda number, body: SERVER_ERROR if sick else None) as one,
        server() as two,
        pytest.warns(UserWarning, match="has not answered yet"),
    ):
        engine, model = Engine(sleep=no_wait, clock=lambda: now, limits=Limits(concurrency=8)), both(one, two)
        answers_of = iter(range(1000))

        async def crowd(n: int) -> int:
            before = one.count
            await asyncio.gather(*(engine.call(model, ask(next(answers_of))) for _ in range(n)))
            return one.count - before

        async def main() -> list[int]:
            nonlocal now, sick
            seen = [await crowd(20)]  # the first call fails, and it rests
            seen.append(await crowd(20))
            now = 1.5
            seen.append(await crowd(20))  # tried once, and rests for longer
            now = 2.9
            seen.append(await crowd(20))
            now, sick = 10.0, False
            await crowd(1)
            seen.append(await crowd(40))
            return seen

        first, second, third, fourth, last = asyncio.run(main())
    assert (first, second, third, fourth) == (1, 0, 1, 0)
    assert last >= 5


def test_a_replica_that_refuses_is_left_out_and_told():
    with server(faults=always(BAD_KEY)) as refusing, server() as healthy:
        with pytest.warns(UserWarning, match=r"is left out, other replicas go on: .* refuses the request") as told:
            replies = answers(both(refusing, healthy), map(ask, range(50)))
        assert refusing.api_base in str(told[0].message)
        assert (refusing.count, healthy.count) == (1, 50)
    assert len(replies) == 50


@pytest.mark.filterwarnings("ignore:.*is left out")
def test_if_all_refuse_the_run_stops():
    with (
        server(faults=always(BAD_KEY)) as one,
        server(faults=always(BAD_KEY)) as two,
        pytest.raises(EndpointError, match="refuses the request"),
    ):
        answers(both(one, two), map(ask, range(50)))
    assert one.count + two.count == 2


@pytest.mark.filterwarnings("ignore:.*has not answered yet")
def test_if_none_is_there_the_run_stops(nobody):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        other = f"http://127.0.0.1:{taken.getsockname()[1]}/v1"
        with pytest.raises(EndpointError, match="has never answered"):
            answers(as_chat_model("hosted_vllm/x", api_base=[nobody, other]), map(ask, range(20)))


def test_a_rate_limit_of_one_replica_is_waited_for_there_and_does_not_narrow_the_other():
    with server(faults=lambda number, body: rate_limited(0) if number % 3 == 2 else None) as limited, server() as free:
        engine, model = Engine(sleep=no_wait, limits=Limits(concurrency=32)), both(limited, free)

        async def main() -> dict[str, float]:
            await asyncio.gather(*(engine.call(model, ask(number)) for number in range(200)))
            return {endpoint.name: endpoint.admission.limit for endpoint in engine._replicas(model)._model_of}

        limits = asyncio.run(main())
        assert limits[f"hosted_vllm/x at {free.api_base}"] == 32
        assert limits[f"hosted_vllm/x at {limited.api_base}"] < 32
        assert limited.count > 0
    assert engine.ledger.total.failures == 0


def test_the_same_server_twice_is_a_mistake():
    with pytest.raises(UsageError, match=r"The same server is given twice: http://h/v1"):
        as_chat_model("hosted_vllm/x", api_base=["http://h/v1", "http://me:pw@h/v1/"])


def test_a_single_address_in_a_list_is_that_address():
    assert as_chat_model("hosted_vllm/x", api_base=["http://h/v1"]).name == "hosted_vllm/x"
    assert as_chat_model("offline", api_base=["http://h/v1", "http://i/v1"]).name == "offline"


def test_a_bot_under_instructions_has_its_replicas_too():
    with server() as one, server() as two:
        bot = as_chat_model("proactive:hosted_vllm/x", api_base=[one.api_base, two.api_base])
        answers(bot, map(ask, range(40)))
        assert min(one.count, two.count) >= 8
        systems = Counter(request.body["messages"][0]["role"] for each in (one, two) for request in each.requests)
    assert systems == {"system": 40}


def test_the_command_line_takes_several_addresses(tmp_path):
    logs = write_chats(tmp_path / "chats.jsonl", 2)
    with LoopbackServer() as one, LoopbackServer() as two:
        model = ["--model", "hosted_vllm/x", "--json"]
        alone = collab("score", logs, *model, "--api-base", one.api_base, "--cache-dir", tmp_path / "alone")
        counted = one.count
        bases = ["--api-base", one.api_base, "--api-base", two.api_base]
        together = collab("score", logs, *model, *bases, "--cache-dir", tmp_path / "together")
        assert together.exit_code == 0, together.stderr
        assert one.count + two.count == 2 * counted
        assert two.count > 0
    assert together.stdout == alone.stdout
