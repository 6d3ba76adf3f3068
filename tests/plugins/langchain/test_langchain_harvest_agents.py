"""Agents of LangChain and LangGraph: the chat is the person's with the app, whatever its agents say to each other."""

import operator
from typing import Annotated, Any, TypedDict

import pytest
from langchain_core.messages import AIMessage, AnyMessage, HumanMessage, SystemMessage
from langchain_core.tools import tool
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import END, START, MessagesState, StateGraph, add_messages
from langgraph.types import Command, Send
from support.faults import SERVER_ERROR, first
from support.langchain_apps import KeptCalls, app_server, chat_model, chatbot, kept_and_config, look_up, shown
from support.server import LoopbackServer


def says_in_turn(app: Any, config: Any, *texts: str) -> None:
    for text in texts:
        app.invoke({"messages": [("user", text)]}, config)


def assert_chat(kept: KeptCalls, *lines: str) -> None:
    """The last answer shows these lines, and each earlier one the beginning of them."""
    chats = [shown(call) for call in kept.answers]
    assert chats[-1] == list(lines)
    assert all(chat == chats[-1][: len(chat)] for chat in chats)
    assert {call.conversation_id for call in kept.calls} == {"t"}


def brain(body: Any) -> str:
    """Says who was asked, by the first word of the system prompt."""
    system = next((row["content"] for row in body["messages"] if row["role"] == "system"), "NOBODY")
    asked = [row["content"] for row in body["messages"] if row["role"] == "user"]
    return f"{system.split()[0].lower()} on {asked[-1]}"


def test_a_supervisor_and_its_agents_are_one_chat():
    kept, _, config = kept_and_config()

    def supervisor(state: MessagesState) -> Any:
        model.invoke([SystemMessage("SUPERVISOR: who is next?"), *state["messages"]])
        return Command(goto=END if isinstance(state["messages"][-1], AIMessage) else "tea")

    def tea(state: MessagesState) -> Any:
        model.invoke([SystemMessage("PLANNER plans."), state["messages"][-1]])
        reply = model.invoke([SystemMessage("TEA answers."), state["messages"][-1]])
        return Command(goto="supervisor", update={"messages": [reply]})

    graph = StateGraph(MessagesState)
    graph.add_node("supervisor", supervisor, destinations=("tea", END))
    graph.add_node("tea", tea, destinations=("supervisor",))
    graph.add_edge(START, "supervisor")
    with LoopbackServer(brain) as server:
        model = chat_model(server)
        says_in_turn(graph.compile(checkpointer=InMemorySaver()), config, "green?", "black?")
    assert_chat(kept, "user: green?", "assistant: tea on green?", "user: black?", "assistant: tea on black?")
    assert sorted(kept.beside)[:2] == ["planner on black?", "planner on green?"]
    assert len(kept.beside) == 6


class Research(TypedDict):
    messages: Annotated[list[AnyMessage], add_messages]
    found: Annotated[list[str], operator.add]
    topic: str


def test_agents_in_parallel_are_beside_the_answer_that_is_made_of_them():
    kept, _, config = kept_and_config()

    def research(given: Any) -> Any:
        return {"found": [model.invoke([SystemMessage("RESEARCHER finds."), HumanMessage(given["topic"])]).text]}

    def write(state: Research) -> Any:
        text = " and ".join(state["found"][-3:])
        return {"messages": [model.invoke([SystemMessage("WRITER sums up."), HumanMessage(text[:20])])]}

    graph = StateGraph(Research)
    graph.add_node("research", research)
    graph.add_node("write", write)
    graph.add_conditional_edges(START, lambda state: [Send("research", {"topic": topic}) for topic in "abc"])
    graph.add_edge("research", "write")
    app = graph.compile(checkpointer=InMemorySaver())
    with LoopbackServer(brain) as server:
        model = chat_model(server)
        says_in_turn(app, config, "teas?", "milks?")
    asked = [line for line in shown(kept.answers[-1]) if line.startswith("user")]
    assert asked == ["user: teas?", "user: milks?"]
    assert [call.replies[0]["content"].split()[0] for call in kept.answers] == ["writer", "writer"]
    assert sorted(kept.beside) == sorted(f"researcher on {topic}" for topic in "abcabc")


def test_a_sub_agent_with_a_thread_of_its_own_is_in_the_persons_conversation():
    kept, _, config = kept_and_config()

    def inner(state: MessagesState) -> Any:
        return {"messages": [model.invoke([SystemMessage("INNER finds."), *state["messages"]])]}

    graph = StateGraph(MessagesState)
    graph.add_node("inner", inner)
    graph.add_edge(START, "inner")
    sub_agent: Any = graph.compile(checkpointer=InMemorySaver())

    def outer(state: MessagesState) -> Any:
        last = state["messages"][-1].content
        found = sub_agent.invoke({"messages": [("user", f"find {last}")]}, {"configurable": {"thread_id": "inner-1"}})
        return {"messages": [model.invoke([SystemMessage(f"OUTER knows {found}"), *state["messages"]])]}

    outside = StateGraph(MessagesState)
    outside.add_node("outer", outer)
    outside.add_edge(START, "outer")
    with LoopbackServer(brain) as server:
        model = chat_model(server)
        says_in_turn(outside.compile(checkpointer=InMemorySaver()), config, "tea?")
    assert_chat(kept, "user: tea?", "assistant: outer on tea?")
    assert kept.beside == ["inner on find tea?"]


def test_tools_of_a_graph_are_shown_and_are_not_beside_it():
    kept, _, config = kept_and_config()
    with app_server() as server:
        says_in_turn(chatbot(chat_model(server)), config, "where is my order", "bye")
    assert_chat(
        kept,
        "user: where is my order",
        "assistant: ['look_up']",
        'tool: {"order": 7, "state": "shipped"}',
        "assistant: 1 where is my order!",
        "user: bye",
        "assistant: 2 bye!",
    )
    assert kept.beside == []


def test_an_attempt_that_failed_does_not_stand_for_the_answer_that_came_after_it():
    kept, _, config = kept_and_config()
    with LoopbackServer(lambda body: "at last", faults=first(2, SERVER_ERROR)) as server:
        model = chat_model(server).with_retry(stop_after_attempt=3, wait_exponential_jitter=False)
        graph = StateGraph(MessagesState)
        graph.add_node("bot", lambda state: {"messages": [model.invoke([("system", "x"), *state["messages"]])]})
        graph.add_edge(START, "bot")
        says_in_turn(graph.compile(), config, "hello")
    assert shown(kept.only) == ["user: hello", "assistant: at last"]


# Agents of the packages `langchain` and `deepagents`.


def test_summaries_of_an_agents_middleware_are_beside_the_chat_and_nobodys_words():
    agents = pytest.importorskip("langchain.agents")
    middleware = pytest.importorskip("langchain.agents.middleware")
    kept, _, config = kept_and_config()
    with app_server() as server:
        model = chat_model(server)
        summarise = middleware.SummarizationMiddleware(
            model, trigger=("messages", 4), keep=("messages", 2), summary_prompt="Sum up: {messages}"
        )
        app = agents.create_agent(model, [look_up], checkpointer=InMemorySaver(), middleware=[summarise])
        questions = ["a", "where is my order", "c", "d", "where is my order"]
        says_in_turn(app, config, *questions)
    asked = [[line for line in shown(call) if line.startswith("user")] for call in kept.answers]
    assert [lines[-1] for lines in asked] == [f"user: {text}" for text in questions]
    assert {line for lines in asked for line in lines} == {f"user: {text}" for text in questions}
    assert any(
        call.messages[0]["role"] == "system" and "summary" in call.messages[0]["content"] for call in kept.answers
    )
    assert kept.beside
    assert all("Sum up" in text for text in kept.beside)


DECISIONS = {
    "approve": {"type": "approve"},
    "edit": {"type": "edit", "edited_action": {"name": "look_up", "args": {"order": 8}}},
    "reject": {"type": "reject", "message": "not that one"},
}


@pytest.mark.parametrize("decision", DECISIONS)
def test_a_person_who_decides_on_a_tool_goes_on_in_the_same_chat(decision):
    agents = pytest.importorskip("langchain.agents")
    middleware = pytest.importorskip("langchain.agents.middleware")
    kept, handler, config = kept_and_config()
    with app_server() as server:
        decide = middleware.HumanInTheLoopMiddleware(interrupt_on={"look_up": True})
        app = agents.create_agent(chat_model(server), [look_up], checkpointer=InMemorySaver(), middleware=[decide])
        says_in_turn(app, config, "where is my order")
        app.invoke(Command(resume={"decisions": [DECISIONS[decision]]}), config)
    question, call, result, answer = shown(kept.answers[-1])
    assert (question, call) == ("user: where is my order", "assistant: ['look_up']")
    assert {"approve": "7", "edit": "8", "reject": "not that one"}[decision] in result
    assert answer == "assistant: 1 where is my order!"
    assert kept.beside == []
    assert handler.stats().failed == 0


def test_an_agent_in_a_tool_is_beside_the_chat():
    agents = pytest.importorskip("langchain.agents")
    kept, _, config = kept_and_config()

    @tool("look_up")
    def ask(order: int) -> str:
        """The state of an order."""
        return str(expert.invoke({"messages": [("user", f"find {order}")]})["messages"][-1].text)

    with app_server() as server:
        model = chat_model(server)
        expert = agents.create_agent(model, [], system_prompt="You are an expert.")
        app = agents.create_agent(model, [ask], system_prompt="Be kind.", checkpointer=InMemorySaver())
        says_in_turn(app, config, "where is my order")
    assert_chat(
        kept,
        "user: where is my order",
        "assistant: ['look_up']",
        "tool: 1 find 7!",
        "assistant: 1 where is my order!",
    )
    assert kept.beside == ["1 find 7!"]


def test_a_deep_agents_tasks_are_beside_the_chat():
    deepagents = pytest.importorskip("deepagents")
    kept, _, config = kept_and_config()

    def deep(body: Any) -> Any:
        from collab_sdk import ChatReply

        last = body["messages"][-1]
        names = [each["function"]["name"] for each in body.get("tools", ())]
        if last["role"] == "user" and "task" in names:
            arguments = '{"description": "dig", "subagent_type": "general-purpose"}'
            call = {"id": "call_1", "type": "function", "function": {"name": "task", "arguments": arguments}}
            return ChatReply(content="", tool_calls=(call,), finish_reason="tool_calls")
        return "the answer" if "task" in names else "a private finding"

    with LoopbackServer(deep) as server:
        app = deepagents.create_deep_agent(model=chat_model(server), checkpointer=InMemorySaver())
        says_in_turn(app, config, "hello")
    lines = shown(kept.answers[-1])
    assert (lines[0], lines[-1]) == ("user: hello", "assistant: the answer")
    assert kept.beside == ["a private finding"]
