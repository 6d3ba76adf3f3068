"""Calls that end badly, early, never or in between: what is recorded of them."""

import asyncio
import gc
import subprocess
import sys
import textwrap
from collections.abc import AsyncIterator
from typing import Any
from uuid import uuid4

import openai
import pytest
from collab_langchain import CollabCallbackHandler
from collab_langchain.runs import AppRun
from langchain_core.language_models.fake_chat_models import FakeListChatModel
from langchain_core.messages import HumanMessage
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables import RunnableLambda
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.prebuilt import ToolNode, tools_condition
from langgraph.types import Command, interrupt
from support.faults import SERVER_ERROR, Fault, first, when
from support.langchain_apps import (
    PROMPT,
    WANTED_TOOL,
    KeptCalls,
    app_server,
    chat_model,
    chatbot,
    graph_of,
    kept_and_config,
    line,
    shown,
)
from support.server import LoopbackServer

from collab_sdk.logs.store import ConversationStore, LoggedCall

HELLO = {"input": "hello", "history": []}


# Failed.


@pytest.mark.parametrize(
    "make", [chat_model, lambda server: PROMPT | chat_model(server), lambda s: chatbot(chat_model(s))]
)
def test_a_failed_call_is_recorded_as_failed_and_raises_as_ever(make):
    kept, handler, config = kept_and_config()
    given = {"messages": [("user", "hello")], **HELLO}
    with LoopbackServer(faults=lambda number, body: SERVER_ERROR) as server:
        app = make(server)
        with pytest.raises(openai.InternalServerError):
            app.invoke("hello" if make is chat_model else given, config)
    assert (kept.only.status, kept.only.replies) == ("failed", ())
    assert "Error code: 500" in kept.only.error
    assert kept.only.messages[-1] == {"role": "user", "content": "hello"}
    assert handler.stats().failed == 0


def test_of_a_call_and_its_fallback_the_one_that_answered_is_kept():
    kept, _, config = kept_and_config()
    with app_server() as server, LoopbackServer(faults=lambda number, body: SERVER_ERROR) as broken:
        model = chat_model(broken).with_fallbacks([chat_model(server)])
        assert (PROMPT | model).invoke(HELLO, config).content == "1 hello!"
    assert (kept.only.status, kept.only.replies[0]["content"]) == ("ok", "1 hello!")


def test_an_answer_that_failed_is_replaced_by_what_the_app_said_instead():
    kept, _, config = kept_and_config()
    with app_server() as server, LoopbackServer(faults=lambda number, body: SERVER_ERROR) as broken:
        route, answer = chat_model(server), chat_model(broken)

        def apologise(given: Any) -> str:
            route.invoke("which topic is this?")
            try:
                return answer.invoke("hello").text
            except openai.InternalServerError:
                return "Sorry."

        assert RunnableLambda(apologise).invoke("hello", config) == "Sorry."
    [apology] = kept.answers
    assert shown(apology) == ["user: hello", "assistant: Sorry."]
    assert {call.status for call in kept.calls if call.is_side} == {"ok", "failed"}


def test_an_answer_that_failed_is_not_replaced_by_what_was_asked_before_it():
    kept, _, config = kept_and_config()
    with app_server() as server, LoopbackServer(faults=lambda number, body: SERVER_ERROR) as broken:
        route, answer = chat_model(server), chat_model(broken)
        with pytest.raises(openai.InternalServerError):
            (RunnableLambda(lambda text: route.invoke(text).text) | answer).invoke("hello", config)
    [failed] = kept.answers
    assert (failed.status, failed.replies) == ("failed", ())
    assert kept.beside == ["1 hello!"]


def test_a_retry_of_the_app_is_one_answer():
    kept, _, config = kept_and_config()
    with LoopbackServer(lambda body: "at last", faults=first(2, SERVER_ERROR)) as server:
        chain = PROMPT | chat_model(server).with_retry(stop_after_attempt=3, wait_exponential_jitter=False)
        assert chain.invoke(HELLO, config).content == "at last"
    assert kept.only.replies[0]["content"] == "at last"


# Broken off.


def break_off(app: Any, given: Any, config: Any, **options: Any) -> None:
    for piece in app.stream(given, config, **options):
        if "1" in text_of(piece):
            break


async def abreak_off(app: Any, given: Any, config: Any, model: Any) -> None:
    stream = app.astream(given, config)
    async for piece in stream:
        if "1" in text_of(piece):
            break
    await stream.aclose()
    await model.http_async_client.aclose()


def parsed(model: Any, parse: bool) -> Any:
    return PROMPT | model | StrOutputParser() if parse else PROMPT | model


def text_of(piece: Any) -> str:
    message = piece[0] if isinstance(piece, tuple) else piece  # LangGraph adds metadata
    return str(getattr(message, "text", message))


@pytest.mark.parametrize("parse", [False, True])
def test_of_a_stream_that_is_broken_off_what_had_come_is_kept(parse):
    kept, _, config = kept_and_config()
    with app_server() as server:
        model = chat_model(server)
        break_off(model, "hello", config)
        break_off(parsed(model, parse), HELLO, config)
        asyncio.run(abreak_off(model, "hello", config, model))
        model = chat_model(server)
        asyncio.run(abreak_off(parsed(model, parse), HELLO, config, model))
    statuses = [call.status for call in kept.calls]
    assert len(statuses) == 4
    assert set(statuses) == {"partial"}
    assert all(call.replies[0]["content"] in ("1 he", "1 hello!") for call in kept.calls)


def test_of_a_graph_whose_stream_is_broken_off_the_answer_is_kept():
    kept, handler, config = kept_and_config()
    with app_server() as server:
        app = chatbot(chat_model(server))
        break_off(app, {"messages": [("user", "hello")]}, config, stream_mode="messages")
    assert [line(message) for message in kept.only.replies] in (["assistant: 1 hello!"], ["assistant: 1"])
    assert handler.stats().failed == 0


def test_of_a_stream_that_nobody_reads_on_what_had_come_is_kept():
    kept, _, config = kept_and_config()
    with app_server() as server:
        stream = chat_model(server).stream("hello", config)
        while "1" not in text_of(next(stream)):
            pass
        del stream
        gc.collect()
    assert kept.only.status == "partial"
    assert kept.only.replies[0]["content"] in ("1", "1 he", "1 hello")


async def read_a_little(stream: Any) -> str:
    """The text of a stream's first pieces; it is left open."""
    read = ""
    async for piece in stream:
        read += text_of(piece)
        if "1" in read:
            break
    return read


def streaming(server: LoopbackServer) -> Any:
    """Waits for each piece by itself: a wait with a time limit may lose the cancellation that comes with a piece."""
    return chat_model(server, streaming=True, stream_chunk_timeout=None)


async def aclosed(stream: Any) -> None:
    await stream.aclose()


async def cancelled(stream: Any) -> None:
    async def wait() -> None:
        async for _ in stream:
            pass

    task = asyncio.create_task(wait())
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait([task])


async def recorded(kept: KeptCalls) -> None:
    """Let the loop close what a chain has left to it."""
    for _ in range(1000):
        if kept.calls:
            return
        await asyncio.sleep(0)


TEMPLATE = ChatPromptTemplate.from_template("Use the menu. Question: {input}")


def stalls(number: int, body: Any) -> Fault:
    return Fault(act="stall")


@pytest.mark.parametrize("end", [aclosed, cancelled])
@pytest.mark.parametrize("make", [lambda model: model, lambda model: PROMPT | model, TEMPLATE.__or__, chatbot])
def test_an_async_stream_that_the_app_closes_is_kept_at_once_as_far_as_it_came(make, end):
    kept, handler, config = kept_and_config()

    async def main() -> None:
        model = streaming(server)
        app = make(model)
        given = "hello" if app is model else {"messages": [("user", "hello")], **HELLO}
        more = {} if app is model else {"stream_mode": "messages"}
        stream = app.astream(given, config, **more)
        read = await read_a_little(stream)
        assert kept.calls == []
        await end(stream)
        await recorded(kept)
        [reply] = kept.only.replies
        assert reply["content"].startswith(read)
        await model.http_async_client.aclose()

    with LoopbackServer(lambda body: "1 long story", faults=stalls) as server:
        asyncio.run(main())
    assert kept.only.status == "partial"
    assert shown(kept.only) == (["user: hello", "assistant: 1 lo"] if make == TEMPLATE.__or__ else [])
    handler.close()
    assert len(kept.calls) == 1


def test_of_a_stream_that_was_closed_the_guard_is_not_the_answer():
    kept, _, config = kept_and_config()

    async def main() -> None:
        model = streaming(server)

        async def guard(state: MessagesState) -> Any:
            await model.ainvoke([("system", "GUARD"), *state["messages"]], {"tags": ["nostream"]})
            return {}

        async def bot(state: MessagesState) -> Any:
            return {"messages": [await model.ainvoke(state["messages"])]}

        app = graph_of(("guard", guard), ("bot", bot))
        stream = app.astream({"messages": [("user", "hello")]}, config, stream_mode="messages")
        await read_a_little(stream)
        await stream.aclose()
        await model.http_async_client.aclose()

    with LoopbackServer(lambda body: "1 long story", faults=when(is_no_guard, stalls)) as server:
        asyncio.run(main())
    [answer] = kept.answers
    assert (answer.status, answer.metadata["node"]) == ("partial", "bot")
    assert kept.beside == ["1 long story"]


@pytest.mark.parametrize("tags", [[], ["nostream"]])
def test_of_calls_that_run_at_once_the_one_that_the_person_saw_is_the_answer(tags):
    kept, _, config = kept_and_config()

    async def main() -> None:
        model = streaming(server)

        async def guard(state: MessagesState) -> Any:
            await model.ainvoke([("system", "GUARD"), *state["messages"]], {"tags": tags})
            return {}

        async def bot(state: MessagesState) -> Any:
            return {"messages": [await model.ainvoke(state["messages"])]}

        graph = StateGraph(MessagesState)
        for name, node in (("bot", bot), ("guard", guard)):
            graph.add_node(name, node)
            graph.add_edge(START, name)
        app: Any = graph.compile()
        stream = app.astream({"messages": [("user", "hello")]}, config, stream_mode="messages")
        seen: set[str] = set()
        async for piece, about in stream:
            seen |= {about["langgraph_node"]} if piece.text else set()
            if seen >= ({"bot"} if tags else {"bot", "guard"}):
                break
        await stream.aclose()
        await model.http_async_client.aclose()

    with LoopbackServer(lambda body: "1 long story" if is_no_guard(body) else "ok", faults=stalls) as server:
        asyncio.run(main())
    [answer] = kept.answers
    assert (answer.status, answer.metadata["node"]) == ("partial", "bot")


def is_no_guard(body: Any) -> bool:
    return body["messages"][0]["content"] != "GUARD"


def test_a_tools_arguments_that_did_not_all_come_are_kept_as_they_came():
    kept, _, config = kept_and_config()

    async def main() -> None:
        model = streaming(server)
        app = chatbot(model)
        stream = app.astream({"messages": [("user", "where is my order")]}, config, stream_mode="messages")
        async for piece, _ in stream:
            if any(chunk["args"] for chunk in piece.tool_call_chunks):
                break
        await stream.aclose()
        await model.http_async_client.aclose()

    call = Fault(act="stall", message={"content": None, "tool_calls": [WANTED_TOOL]})
    with LoopbackServer(faults=lambda number, body: call) as server:
        asyncio.run(main())
    assert kept.only.status == "partial"
    [made] = kept.only.replies[0]["tool_calls"]
    assert made == {"id": "call_1", "type": "function", "function": {"name": "look_up", "arguments": '{"or'}}


def test_a_client_that_leaves_a_streaming_response_ends_the_stream_as_far_as_it_came():
    responses = pytest.importorskip("fastapi.responses")
    kept, _, config = kept_and_config()

    async def main() -> None:
        model = streaming(server)
        app = chatbot(model)

        async def pieces() -> AsyncIterator[str]:
            async for piece, _ in app.astream({"messages": [("user", "hello")]}, config, stream_mode="messages"):
                yield text_of(piece)

        left = asyncio.Event()
        sent: list[bytes] = []

        async def receive() -> Any:
            await left.wait()
            return {"type": "http.disconnect"}

        async def send(message: Any) -> None:
            sent.append(message.get("body", b""))
            if b"1" in message.get("body", b""):
                left.set()

        response = responses.StreamingResponse(pieces())
        scope = {"type": "http", "asgi": {"spec_version": "2.3", "version": "3.0"}}
        await response(scope, receive, send)
        await recorded(kept)
        await model.http_async_client.aclose()

    with LoopbackServer(lambda body: "1 long story", faults=stalls) as server:
        asyncio.run(main())
    assert (kept.only.status, kept.only.replies[0]["content"][:4]) == ("partial", "1 lo")


# Cancelled.


async def cancel_when_asked(make: Any, given: Any, config: Any) -> None:
    asked, loop = asyncio.Event(), asyncio.get_running_loop()

    async def brain(body: Any) -> str:
        loop.call_soon_threadsafe(asked.set)
        return await asyncio.get_running_loop().create_future()

    with LoopbackServer(brain) as server:
        task = asyncio.create_task(make(server).ainvoke(given, config))
        await asked.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task


@pytest.mark.parametrize("make", [chat_model, lambda s: PROMPT | chat_model(s), lambda s: chatbot(chat_model(s))])
def test_a_call_that_is_cancelled_is_recorded_at_once(make):
    kept, _, config = kept_and_config()
    given = "hello" if make is chat_model else {"messages": [("user", "hello")], **HELLO}
    asyncio.run(cancel_when_asked(make, given, config))
    assert (kept.only.status, kept.only.replies, kept.only.error) == ("cancelled", (), None)


# Lost: LangChain never says how they ended.


def lose(handler: CollabCallbackHandler, text: str) -> None:
    handler.on_chat_model_start(None, [[HumanMessage(text)]], run_id=uuid4())


def test_a_call_that_never_ends_is_given_up_when_its_time_is_up_and_counted():
    now = [1000.0]
    kept, handler, config = kept_and_config(time_limit=60, clock=lambda: now[0])
    lose(handler, "lost")
    with app_server() as server:
        for later in (0, 59, 2):
            now[0] += later
            assert not [call for call in kept.calls if call.status == "cancelled"]
            chat_model(server).invoke("hello", config)
    [cancelled] = [call for call in kept.calls if call.status == "cancelled"]
    assert cancelled.messages[-1]["content"] == "lost"
    assert (cancelled.started, cancelled.ended) == (1000, 1061)
    assert handler.stats().unrecorded == {"calls whose end was never reported": 1}


def test_closing_records_what_is_still_going_on():
    kept, handler, _ = kept_and_config()
    lose(handler, "lost")
    assert kept.calls == []
    handler.close()
    assert kept.only.status == "cancelled"


def test_a_stream_that_a_script_holds_until_it_ends_is_partial_and_does_not_hold_it_up(tmp_path):
    code = """
    import sys
    from collab_langchain import CollabCallbackHandler
    from langchain_core.language_models.fake_chat_models import FakeListChatModel

    model = FakeListChatModel(responses=["one two three"])
    stream = model.stream("hello", {"callbacks": [CollabCallbackHandler(sys.argv[1])]})
    next(stream)
    """
    command = [sys.executable, "-W", "ignore", "-c", textwrap.dedent(code), str(tmp_path / "chats.db")]
    subprocess.run(command, check=True, timeout=60)
    with ConversationStore(tmp_path / "chats.db") as store:
        [chat] = store.conversations()
    assert [message.content for message in chat.messages] == ["hello", "o"]


def test_what_is_remembered_of_an_app_that_never_ends_is_bounded(monkeypatch):
    monkeypatch.setattr("collab_langchain.runs.ENDED", 10)
    monkeypatch.setattr("collab_langchain.chats.CHARACTERS", 5_000)
    handler = CollabCallbackHandler(Forgetful(), sync=True)
    model = FakeListChatModel(responses=["yes"])
    asked, echo = PROMPT | model, RunnableLambda(lambda given: given)
    for number in range(100):
        config: Any = {"callbacks": [handler], "configurable": {"thread_id": str(number)}}
        asked.invoke({"input": "hello" * 100, "history": []}, config)
        echo.invoke("no model", config)
    held = [each for each in gc.get_objects() if type(each) in (AppRun, LoggedCall)]
    calls = [each for each in held if isinstance(each, LoggedCall) and each.messages[-1]["content"] == "hello" * 100]
    assert 0 < len(calls) <= 10
    assert len([each for each in held if isinstance(each, AppRun) and each.identity.conversation == "99"]) <= 10
    assert not [each for each in held if isinstance(each, AppRun) and each.identity.conversation == "1"]


class Forgetful(KeptCalls):
    def record(self, calls: Any) -> None:
        pass


def test_there_are_never_too_many_calls_going_on(monkeypatch):
    monkeypatch.setattr("collab_langchain.handler.PENDING_LIMIT", 2)
    kept, handler, _ = kept_and_config()
    for number in range(5):
        lose(handler, f"lost {number}")
    assert [call.messages[-1]["content"] for call in kept.calls] == ["lost 0", "lost 1"]


def test_what_was_going_on_at_a_fork_is_left_to_the_process_that_forked(monkeypatch):
    kept, handler, _ = kept_and_config()
    lose(handler, "lost")
    monkeypatch.setattr("os.getpid", lambda: 0)
    handler.close()
    assert kept.calls == []


# Paused.


def graph_that_asks_a_human(model: Any) -> Any:
    def look_up(order: int) -> str:
        """The state of an order."""
        return interrupt("may I?")

    able = model.bind_tools([look_up])
    graph = StateGraph(MessagesState)
    graph.add_node("bot", lambda state: {"messages": [able.invoke(state["messages"])]})
    graph.add_node("tools", ToolNode([look_up]))
    graph.add_edge(START, "bot")
    graph.add_conditional_edges("bot", tools_condition)
    graph.add_edge("tools", "bot")
    return graph.compile(checkpointer=InMemorySaver())


def test_a_graph_that_waits_for_a_human_has_not_failed_and_goes_on_in_the_same_conversation():
    kept, handler, config = kept_and_config()
    with app_server() as server:
        app = graph_that_asks_a_human(chat_model(server))
        app.invoke({"messages": [("user", "where is my order")]}, config)
        assert kept.transcripts() == {"t": ["user: where is my order", "assistant: ['look_up']"]}
        app.invoke(Command(resume="shipped"), config)
    assert kept.transcripts()["t"][1:] == ["assistant: ['look_up']", "tool: shipped", "assistant: 1 where is my order!"]
    assert {call.status for call in kept.calls} == {"ok"}
    assert handler.stats().failed == 0


def test_a_model_that_waits_for_a_human_has_not_answered_yet():
    class CarefulModel(FakeListChatModel):
        def _call(self, *args: Any, **options: Any) -> str:
            return interrupt("may I?")

    kept, _, config = kept_and_config()
    app = graph_of(
        ("bot", lambda state: {"messages": [CarefulModel(responses=[]).invoke(state["messages"])]}),
        checkpointer=InMemorySaver(),
    )
    app.invoke({"messages": [("user", "hello")]}, config)
    assert kept.calls == []
    app.invoke(Command(resume="yes"), config)
    assert kept.transcripts() == {"t": ["user: hello", "assistant: yes"]}
