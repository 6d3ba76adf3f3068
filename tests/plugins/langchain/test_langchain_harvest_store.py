"""From a LangChain app through the conversation store to preference pairs."""

import asyncio
import json
from typing import Any

import pytest
from collab_langchain import CollabCallbackHandler
from support.cli import collab
from support.langchain_apps import app_server, chain_with_history, chat_model, chatbot

from collab_sdk.logs.store import ConversationStore

pytestmark = pytest.mark.filterwarnings("ignore::langchain_core._api.LangChainDeprecationWarning")


def texts(store: Any) -> dict[str, list[str]]:
    with ConversationStore(store) as opened:
        return {
            conversation.id: [f"{message.role}: {message.content}" for message in conversation.messages]
            for conversation in opened.conversations()
        }


CHAT = [
    "user: hello",
    "assistant: 1 hello!",
    "user: where is my order",
    "assistant: ",
    'tool: {"order": 7, "state": "shipped"}',
    "assistant: 2 where is my order!",
]


@pytest.mark.parametrize("sync", [True, False])
def test_the_store_holds_the_conversations_that_took_place_once(tmp_path, sync):
    store = tmp_path / "chats.db"
    handler = CollabCallbackHandler(store, sync=sync)

    async def main(app: Any) -> None:
        for text in ("hello", "where is my order"):
            given = {"messages": [("user", text)]}
            await asyncio.gather(*(app.ainvoke(given, config(thread)) for thread in "abc"))
            app.invoke(given, config("d"))

    def config(thread: str) -> Any:
        return {"callbacks": [handler], "configurable": {"thread_id": thread}}

    with app_server() as server:
        model = chat_model(server)
        asyncio.run(main(chatbot(model)))
        for text in ("hello", "bye"):
            chain_with_history(model).invoke({"input": text}, {**config("x"), "configurable": {"session_id": text}})
        model.invoke("once", {"callbacks": [handler]})
    assert handler.flush(10)
    found = texts(store)
    assert {name: found.pop(name) for name in "abcd"} == dict.fromkeys("abcd", CHAT)
    assert found.pop("hello") == ["system: Be kind.", "user: hello", "assistant: 1 hello!"]
    assert found.pop("bye") == ["system: Be kind.", "user: bye", "assistant: 1 bye!"]
    assert list(found.values()) == [["user: once", "assistant: 1 once!"]]  # under an id of the store's own


def test_a_bare_models_calls_are_joined_to_a_conversation_by_their_history(tmp_path):
    handler = CollabCallbackHandler(tmp_path / "chats.db", sync=True)
    history: list[Any] = []
    with app_server() as server:
        model = chat_model(server)
        for text in ("hello", "bye"):
            history.append(("user", text))
            history.append(model.invoke(history, {"callbacks": [handler]}))
    assert list(texts(tmp_path / "chats.db").values()) == [
        ["user: hello", "assistant: 1 hello!", "user: bye", "assistant: 2 bye!"]
    ]


def test_what_is_harvested_becomes_pairs(tmp_path):
    store, prefs = tmp_path / "chats.db", tmp_path / "prefs.jsonl"
    handler = CollabCallbackHandler(store, sync=True)
    with app_server() as server:
        app = chatbot(chat_model(server))
        for thread in range(4):
            for text in ("a mocha please", "no, a large one with oat milk, to go"):
                config: Any = {"callbacks": [handler], "configurable": {"thread_id": str(thread)}}
                app.invoke({"messages": [("user", text)]}, config)
    done = collab("export-prefs", store, "--model", "offline", "-o", prefs)
    assert done.exit_code == 0, done.output
    rows = [json.loads(row) for row in prefs.read_text().splitlines()]
    assert rows
    assert {row["conversation_id"] for row in rows} <= {"0", "1", "2", "3"}
    assert all(row["prompt"][0] == {"role": "user", "content": "a mocha please"} for row in rows)
