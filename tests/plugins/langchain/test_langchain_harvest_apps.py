"""Real LangChain apps, harvested: each conversation that took place, once, under its id."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from collab_langchain import CollabCallbackHandler
from support.langchain_apps import KeptCalls, app_server, chain_with_history, chat_model, chatbot
from support.server import LoopbackServer

pytestmark = pytest.mark.filterwarnings("ignore::langchain_core._api.LangChainDeprecationWarning")


def config(handler: CollabCallbackHandler, **configurable: Any) -> dict[str, Any]:
    return {"callbacks": [handler], "configurable": configurable}


def user(text: str) -> dict[str, Any]:
    return {"messages": [("user", text)]}


def with_invoke(app, given, config):
    app.invoke(given, config)


def with_ainvoke(app, given, config):
    asyncio.run(app.ainvoke(given, config))


def with_stream(app, given, config):
    list(app.stream(given, config))


def with_astream(app, given, config):
    async def main():
        async for _ in app.astream(given, config):
            pass

    asyncio.run(main())


def with_batch(app, given, config):
    app.batch([given], config)


def with_astream_events(app, given, config):
    async def main():
        async for _ in app.astream_events(given, config):
            pass

    asyncio.run(main())


WAYS = [with_invoke, with_ainvoke, with_stream, with_astream, with_batch, with_astream_events]

GRAPH_CHAT = [
    "user: hello",
    "assistant: 1 hello!",
    "user: where is my order",
    "assistant: ['look_up']",
    'tool: {"order": 7, "state": "shipped"}',
    "assistant: 2 where is my order!",
]


@pytest.mark.parametrize("way", WAYS)
def test_a_graph_with_memory_and_a_tool(way):
    kept = KeptCalls()
    handler = CollabCallbackHandler(kept, sync=True)
    with app_server() as server:
        app = chatbot(chat_model(server))
        for thread in ("a", "b"):
            for text in ("hello", "where is my order"):
                way(app, user(text), config(handler, thread_id=thread))
    assert kept.transcripts() == {"a": GRAPH_CHAT, "b": GRAPH_CHAT}
    assert len(kept.calls) == 4  # of six that were made: a tool step is part of the call after it
    assert {call.metadata["node"] for call in kept.calls} == {"bot"}
    assert handler.stats().failed == 0


@pytest.mark.parametrize("way", WAYS)
def test_a_chain_with_message_history(way):
    kept = KeptCalls()
    handler = CollabCallbackHandler(kept, sync=True)
    with app_server() as server:
        app = chain_with_history(chat_model(server))
        for session in ("a", "b"):
            for text in ("hello", "bye"):
                way(app, {"input": text}, config(handler, session_id=session))
    chat = ["system: Be kind.", "user: hello", "assistant: 1 hello!", "user: bye", "assistant: 2 bye!"]
    assert kept.transcripts() == {"a": chat, "b": chat}
    assert len(kept.calls) == 4
    assert handler.stats().failed == 0


@pytest.mark.parametrize("way", WAYS)
def test_a_bare_model(way):
    kept = KeptCalls()
    handler = CollabCallbackHandler(kept, sync=True)
    with app_server() as server:
        way(chat_model(server, temperature=0.3), "hello", {"callbacks": [handler], "metadata": {"session_id": 17}})
    call = kept.only
    assert kept.transcripts() == {"17": ["user: hello", "assistant: 1 hello!"]}
    assert (call.status, call.source, call.model, call.cached) == ("ok", "langchain", "bot", False)
    assert call.parameters["temperature"] == 0.3
    assert "sk-test" not in str(call)
    assert 0 < call.started <= call.ended
    if way in (with_invoke, with_ainvoke, with_batch):
        assert call.usage == {"prompt_tokens": 1, "completion_tokens": 2}


def test_eight_threads_at_once():
    kept = KeptCalls()
    handler = CollabCallbackHandler(kept, sync=True)
    with app_server() as server, ThreadPoolExecutor(8) as pool:
        app = chatbot(chat_model(server))

        def talk(thread: int) -> None:
            for text in ("hello", "where is my order"):
                app.invoke(user(text), config(handler, thread_id=str(thread)))

        list(pool.map(talk, range(40)))
    assert kept.transcripts() == {str(thread): GRAPH_CHAT for thread in range(40)}
    assert len(kept.calls) == 80


def test_many_tasks_at_once():
    kept = KeptCalls()
    handler = CollabCallbackHandler(kept, sync=True)

    async def main(app: Any) -> None:
        async def talk(session: int) -> None:
            for text in ("hello", "bye"):
                await app.ainvoke({"input": text}, config(handler, session_id=str(session)))

        await asyncio.gather(*map(talk, range(40)))

    with app_server() as server:
        asyncio.run(main(chain_with_history(chat_model(server))))
    assert {transcript[-1] for transcript in kept.transcripts().values()} == {"assistant: 2 bye!"}
    assert set(kept.transcripts()) == {str(session) for session in range(40)}


def test_a_batch_is_as_many_conversations():
    kept = KeptCalls()
    handler = CollabCallbackHandler(kept, sync=True)
    with app_server() as server:
        chat_model(server).batch(["one", "two", "three"], {"callbacks": [handler]})
        app = chatbot(chat_model(server))
        app.batch([user("four"), user("five")], [config(handler, thread_id=thread) for thread in "ab"])
    said = {(call.conversation_id, call.replies[0]["content"]) for call in kept.calls}
    assert said == {(None, "1 one!"), (None, "1 two!"), (None, "1 three!"), ("a", "1 four!"), ("b", "1 five!")}


def test_all_generations_are_kept():
    kept = KeptCalls()
    with LoopbackServer(lambda body: ["one way", "another way"]) as server:
        chat_model(server, n=2).invoke("hello", {"callbacks": [CollabCallbackHandler(kept, sync=True)]})
    assert [reply["content"] for reply in kept.only.replies] == ["one way", "another way"]
    assert kept.only.usage == {"prompt_tokens": 1, "completion_tokens": 4}
