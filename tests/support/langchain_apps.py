"""LangChain apps as people write them, over a loopback server, and a store that shows what it is given."""

import json
from collections.abc import Sequence
from typing import Any

import httpx
from collab_langchain import CollabCallbackHandler
from langchain_core.chat_history import InMemoryChatMessageHistory
from langchain_core.language_models.fake_chat_models import FakeListChatModel
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate, MessagesPlaceholder
from langchain_core.runnables import RunnableLambda
from langchain_core.runnables.history import RunnableWithMessageHistory
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.prebuilt import ToolNode, tools_condition

from collab_sdk.logs.store import LoggedCall
from support.faults import Body, Fault, when
from support.server import LoopbackServer

PROMPT = ChatPromptTemplate.from_messages(
    [("system", "Be kind."), MessagesPlaceholder("history"), ("human", "{input}")]
)
WANTED_TOOL = {"id": "call_1", "type": "function", "function": {"name": "look_up", "arguments": '{"order": 7}'}}


class KeptCalls:
    """A store in memory."""

    def __init__(self) -> None:
        self.by_run: dict[str, LoggedCall] = {}

    def record(self, calls: Sequence[LoggedCall]) -> None:
        self.by_run.update({call.run_id: call for call in calls})

    def close(self) -> None:
        pass

    @property
    def calls(self) -> list[LoggedCall]:
        return list(self.by_run.values())

    @property
    def answers(self) -> list[LoggedCall]:
        return [call for call in self.calls if not call.is_side]

    @property
    def beside(self) -> list[str]:
        """What the side calls said."""
        return [reply["content"] for call in self.calls if call.is_side for reply in call.replies]

    @property
    def only(self) -> LoggedCall:
        [call] = self.calls
        return call

    def transcripts(self) -> dict[str | None, list[str]]:
        """The longest history and reply of each conversation, as `role: text` lines."""
        found: dict[str | None, list[str]] = {}
        for call in self.calls:
            lines = [line(message) for message in (*call.messages, *call.replies)]
            found[call.conversation_id] = max(lines, found.get(call.conversation_id, []), key=len)
        return found


def shown(call: LoggedCall) -> list[str]:
    return [line(message) for message in call.shown]


def line(message: Any) -> str:
    calls = [call["function"]["name"] for call in message.get("tool_calls", ())]
    return f"{message['role']}: {message['content'] or calls}"


def reply(body: Body) -> str:
    """Says how many messages of the user it has seen, and the last."""
    asked = [row["content"] for row in body["messages"] if row["role"] == "user"]
    return f"{len(asked)} {asked[-1]}!"


def app_server(**options: Any) -> LoopbackServer:
    """Answers with `reply`, and asks for the tool where the user's last word is `order`."""
    return LoopbackServer(reply, faults=when(_asks_for_order, _TOOL_CALL), **options)


_TOOL_CALL = Fault(message={"content": None, "tool_calls": [WANTED_TOOL]}, choice={"finish_reason": "tool_calls"})


def _asks_for_order(body: Body) -> bool:
    last = body["messages"][-1]
    return last["role"] == "user" and last["content"].endswith("order") and "tools" in body


def chat_model(server: LoopbackServer, **options: Any) -> ChatOpenAI:
    """Keeps no connection: those of the default clients would outlive the test's event loop."""
    limits = httpx.Limits(max_keepalive_connections=0)
    return ChatOpenAI(
        model="bot",
        base_url=server.api_base,
        api_key="sk-test",
        max_retries=0,
        http_client=httpx.Client(limits=limits),
        http_async_client=httpx.AsyncClient(limits=limits),
        **options,
    )


@tool
def look_up(order: int) -> str:
    """The state of an order."""
    return json.dumps({"order": order, "state": "shipped"})


def chatbot(model: ChatOpenAI) -> Any:
    """A LangGraph graph with memory and a tool."""
    able = model.bind_tools([look_up])

    def bot(state: MessagesState) -> Any:
        return {"messages": [able.invoke(state["messages"])]}

    async def abot(state: MessagesState) -> Any:
        return {"messages": [await able.ainvoke(state["messages"])]}

    graph = StateGraph(MessagesState)
    graph.add_node("bot", RunnableLambda(bot, abot))
    graph.add_node("tools", ToolNode([look_up]))
    graph.add_edge(START, "bot")
    graph.add_conditional_edges("bot", tools_condition)
    graph.add_edge("tools", "bot")
    return graph.compile(checkpointer=InMemorySaver())


def chain_with_history(model: ChatOpenAI) -> Any:
    """A LangChain chain that keeps its sessions in memory."""
    sessions: dict[str, InMemoryChatMessageHistory] = {}
    return RunnableWithMessageHistory(
        PROMPT | model | StrOutputParser(),
        lambda session_id: sessions.setdefault(session_id, InMemoryChatMessageHistory()),
        input_messages_key="input",
        history_messages_key="history",
    )


def says(*texts: str, **options: Any) -> FakeListChatModel:
    return FakeListChatModel(responses=list(texts), **options)


def harvest(app: Any, given: Any = "hello", *, only: Any = (), **config: Any) -> KeptCalls:
    kept = KeptCalls()
    handler = CollabCallbackHandler(kept, sync=True, only=only)
    app.invoke(given, {**config, "callbacks": [handler]})
    assert handler.stats().failed == 0
    return kept


def replies(kept: KeptCalls) -> list[str]:
    return [reply["content"] for call in kept.calls for reply in call.replies]


def graph_of(*nodes: tuple[str, Any], **options: Any) -> Any:
    graph = StateGraph(MessagesState)
    for name, node in nodes:
        graph.add_node(name, node)
    for before, after in zip([START, *(name for name, _ in nodes)], nodes, strict=False):
        graph.add_edge(before, after[0])
    return graph.compile(**options)


def kept_and_config(**options: Any) -> tuple[KeptCalls, CollabCallbackHandler, Any]:
    kept = KeptCalls()
    handler = CollabCallbackHandler(kept, sync=True, **options)
    return kept, handler, {"callbacks": [handler], "configurable": {"thread_id": "t"}}
