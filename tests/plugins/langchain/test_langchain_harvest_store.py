"""From a LangChain app through the conversation store to preference pairs."""

import asyncio
import json
from typing import Any, TypedDict

import pytest
from collab_langchain import CollabCallbackHandler
from langchain_core.messages import AIMessage, HumanMessage, RemoveMessage
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables import RunnableLambda
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import END, START, MessagesState, StateGraph
from langgraph.types import Command
from support.cli import collab
from support.langchain_apps import app_server, chain_with_history, chat_model, chatbot, graph_of
from support.server import LoopbackServer

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


# What the person saw is what the store holds.


def brain(body: Any) -> str:
    prompt = " ".join(str(row["content"]) for row in body["messages"])
    if "MODERATE" in prompt:
        return "UNSAFE" if "bomb" in body["messages"][-1]["content"] else "SAFE"
    if "Name this chat" in prompt or "Sum up" in prompt:
        return "On drinks"
    return f"an answer to {body['messages'][-1]['content'][-12:]}"


def moderated(model: Any) -> Any:
    def moderate(state: MessagesState) -> Any:
        if model.invoke([("system", "MODERATE"), state["messages"][-1]]).text == "UNSAFE":
            return Command(goto=END, update={"messages": [AIMessage("Sorry, no.")]})
        return Command(goto="bot")

    graph = StateGraph(MessagesState)
    graph.add_node("moderate", moderate, destinations=("bot", END))
    graph.add_node("bot", lambda state: {"messages": [model.invoke([("system", "Be kind."), *state["messages"]])]})
    graph.add_edge(START, "moderate")
    return graph.compile(checkpointer=InMemorySaver())


def windowed(model: Any) -> Any:
    def bot(state: MessagesState) -> Any:
        clock = ("system", f"There are {len(state['messages'])} messages.")
        return {"messages": [model.invoke([clock, *state["messages"][-3:]])]}

    return graph_of(("bot", bot), checkpointer=InMemorySaver())


def titled(model: Any) -> Any:
    def bot(state: MessagesState) -> Any:
        reply = model.invoke([("system", "Be kind."), *state["messages"]])
        model.invoke([*state["messages"], reply, ("user", "Name this chat.")])
        return {"messages": [reply]}

    return graph_of(("bot", bot), checkpointer=InMemorySaver())


def summarised(model: Any) -> Any:
    agents = pytest.importorskip("langchain.agents")
    middleware = pytest.importorskip("langchain.agents.middleware")
    summarise = middleware.SummarizationMiddleware(
        model, trigger=("messages", 4), keep=("messages", 2), summary_prompt="Sum up: {messages}"
    )
    return agents.create_agent(model, [], checkpointer=InMemorySaver(), middleware=[summarise])


EXAMPLES = [HumanMessage("soup?"), AIMessage("1 soup?!")]


def shortened(model: Any) -> Any:
    """Removes the beginning when its answer is given, and sets examples before what is left."""

    class State(MessagesState):
        summary: str

    def bot(state: State) -> Any:
        so_far = [("system", f"So far: {state['summary']}")] if state.get("summary") else []
        return {"messages": [model.invoke([*so_far, *EXAMPLES, *state["messages"]])]}

    def shorten(state: State) -> Any:
        old = state["messages"][:-2]
        told = model.invoke([*state["messages"], ("user", "Sum up the chat.")]) if old else None
        return {"summary": told.text if told else "", "messages": [RemoveMessage(id=each.id) for each in old]}

    graph = StateGraph(State)
    graph.add_node("bot", bot)
    graph.add_node("shorten", shorten)
    graph.add_edge(START, "bot")
    graph.add_edge("bot", "shorten")
    return graph.compile(checkpointer=InMemorySaver())


def cut(model: Any) -> Any:
    """Keeps a list of its own, of which it returns the end alone."""

    class State(TypedDict):
        messages: list[Any]

    graph = StateGraph(State)
    graph.add_node(
        "bot", lambda state: {"messages": [*state["messages"], model.invoke([*EXAMPLES, *state["messages"]])]}
    )
    graph.add_node("cut", lambda state: {"messages": state["messages"][-2:]})
    graph.add_edge(START, "bot")
    graph.add_edge("bot", "cut")
    app = graph.compile()
    kept: list[Any] = []

    def ask(given: Any, config: Any) -> Any:
        nonlocal kept
        state = app.invoke({"messages": [*kept, *map(HumanMessage, [given["messages"][0][1]])]}, config)
        kept = state["messages"]
        return state

    return RunnableLambda(ask)


@pytest.mark.parametrize("make", [moderated, windowed, titled, summarised, shortened, cut])
def test_a_graphs_chat_is_what_the_person_saw(tmp_path, make):
    handler = CollabCallbackHandler(tmp_path / "chats.db", sync=True)
    config: Any = {"callbacks": [handler], "configurable": {"thread_id": "t"}}
    saw = []
    with LoopbackServer(brain) as server:
        app = make(chat_model(server))
        for text in ("tea?", "milk?", "a bomb?", "cocoa?", "bye"):
            saw += [f"user: {text}"]
            saw += [f"assistant: {app.invoke({'messages': [('user', text)]}, config)['messages'][-1].text}"]
    chats = texts(tmp_path / "chats.db")
    assert {name: [line for line in chat if not line.startswith("system")] for name, chat in chats.items()} == {
        "t": saw
    }


@pytest.mark.parametrize("title", [None, "Name this chat: {history}"])
def test_a_chains_chat_is_what_the_person_saw(tmp_path, title):
    handler = CollabCallbackHandler(tmp_path / "chats.db", sync=True)
    config: Any = {"callbacks": [handler], "metadata": {"session_id": "s"}}
    saw: list[str] = []
    with LoopbackServer(brain) as server:
        model = chat_model(server)
        chain = ChatPromptTemplate.from_template("So far: {history} Context: the menu. Question: {question}") | model
        for text in ("tea?", "milk?", "cocoa?"):
            reply = chain.invoke({"history": "\n".join(saw), "question": text}, config)
            saw += [f"user: {text}", f"assistant: {reply.text}"]
        if title:
            (ChatPromptTemplate.from_template(title) | model).invoke({"history": "\n".join(saw)}, config)
    assert texts(tmp_path / "chats.db") == {"s": saw}
    with ConversationStore(tmp_path / "chats.db") as store:
        assert len(store.side_calls("s")) == bool(title)
