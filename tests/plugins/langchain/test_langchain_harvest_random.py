"""Random LangGraph apps: what the store reads is what their state says was said, whatever their models were sent."""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pytest
from collab_langchain import CollabCallbackHandler
from langchain_core.messages import AIMessage, AnyMessage, HumanMessage
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import END, START, MessagesState, StateGraph
from langgraph.prebuilt import ToolNode, tools_condition
from langgraph.types import Command
from support.langchain_apps import chat_model, look_up
from support.server import LoopbackServer

from collab_sdk import ChatReply
from collab_sdk.logs.store import ConversationStore

SAID = ["hello", "where is my order", "a bomb", "yes", "what does it cost?"]
ROLES = {"human": "user", "ai": "assistant", "tool": "tool"}


def brain(body: Any) -> Any:
    *_, last = body["messages"]
    system = body["messages"][0]["content"]
    if "MODERATE" in system:
        return "UNSAFE" if "bomb" in last["content"] else "SAFE"
    if "TITLE" in system:
        return "On drinks"
    if last["role"] == "user" and "order" in last["content"] and body.get("tools"):
        function = {"name": "look_up", "arguments": '{"order": 7}'}
        call = {"id": f"call_{len(body['messages'])}", "type": "function", "function": function}
        return ChatReply(content="", tool_calls=(call,), finish_reason="tool_calls")
    return f"an answer to {last['content'][-20:]}"


@dataclass(frozen=True)
class Habits:
    """What an app does besides sending its messages to a model."""

    sends: str
    moderates: bool
    titles: bool
    has_tool: bool
    edits: bool

    @classmethod
    def drawn(cls, rng: random.Random) -> "Habits":
        sends = rng.choice(["everything", "a window", "a context", "a summary"])
        return cls(sends, *(rng.random() < 0.5 for _ in range(4)))

    def sent(self, messages: Sequence[AnyMessage]) -> list[AnyMessage]:
        said = [place for place, message in enumerate(messages) if message.type == "human"]
        if self.sends == "a window":
            return list(messages[said[-2:][0] :])
        if self.sends == "a context":
            asked = HumanMessage(f"Context: the menu.\nQuestion: {messages[said[-1]].content}")
            return [*messages[: said[-1]], asked, *messages[said[-1] + 1 :]]
        if self.sends == "a summary" and len(said) > 2:
            return [HumanMessage("Summary of the conversation so far: drinks."), *messages[said[-1] :]]
        return list(messages)


def app_of(habits: Habits, model: Any) -> Any:
    able = model.bind_tools([look_up]) if habits.has_tool else model

    def moderate(state: MessagesState) -> Any:
        verdict = model.invoke([("system", "MODERATE"), state["messages"][-1]]).text if habits.moderates else "SAFE"
        if verdict == "UNSAFE":
            return Command(goto=END, update={"messages": [AIMessage("Sorry, no.")]})
        return Command(goto="bot")

    def bot(state: MessagesState) -> Any:
        sent = habits.sent(state["messages"])
        reply = able.invoke([("system", f"These are {len(sent)} messages."), *sent])
        if habits.edits and not reply.tool_calls:
            reply = AIMessage(f"{reply.text} Goodbye.", id=reply.id)
        return {"messages": [reply]}

    def title(state: MessagesState) -> Any:
        if habits.titles:
            model.invoke([("system", "TITLE"), *state["messages"]])
        return {}

    graph = StateGraph(MessagesState)
    graph.add_node("moderate", moderate, destinations=("bot", END))
    graph.add_node("bot", bot)
    graph.add_node("tools", ToolNode([look_up]))
    graph.add_node("title", title)
    graph.add_edge(START, "moderate")
    graph.add_conditional_edges("bot", tools_condition, {"tools": "tools", END: "title"})
    graph.add_edge("tools", "bot")
    return graph.compile(checkpointer=InMemorySaver())


@pytest.mark.parametrize("seed", range(16))
def test_the_chat_of_any_app_is_its_state(tmp_path, seed):
    rng = random.Random(seed)
    workers = [CollabCallbackHandler(tmp_path / "chats.db", sync=True) for _ in range(rng.choice([1, 2]))]
    thread: Any = {"thread_id": "t"}
    with LoopbackServer(brain) as server:
        app = app_of(Habits.drawn(rng), chat_model(server))
        for text in rng.choices(SAID, k=rng.randint(2, 7)):
            config = {"callbacks": [rng.choice(workers)], "configurable": thread}
            given = {"messages": [("user", text)]}
            if rng.random() < 0.5:
                app.invoke(given, config)
            else:
                list(app.stream(given, config, stream_mode="messages"))
    state = app.get_state({"configurable": thread}).values["messages"]
    with ConversationStore(tmp_path / "chats.db") as store:
        chats = [[(each.role, each.content) for each in chat.messages] for chat in store.conversations()]
    said = [(ROLES[message.type], message.text) for message in state]
    assert [[line for line in chat if line[0] != "system"] for chat in chats] == [said]
