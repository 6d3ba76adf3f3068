"""What the person saw: a graph's messages, and what went into a chain and came out of it."""

import asyncio
import operator
from dataclasses import dataclass, field
from typing import Annotated, Any, TypedDict

import pytest
from collab_langchain import CollabCallbackHandler
from langchain_core.messages import AIMessage, AnyMessage, HumanMessage, RemoveMessage, SystemMessage, trim_messages
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate, MessagesPlaceholder
from langchain_core.runnables import RunnableBranch, RunnableLambda, RunnablePassthrough
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.func import entrypoint
from langgraph.graph import END, START, MessagesState, StateGraph
from langgraph.types import Command, interrupt
from pydantic import BaseModel
from support.langchain_apps import (
    KeptCalls,
    app_server,
    chain_with_history,
    chat_model,
    chatbot,
    graph_of,
    harvest,
    kept_and_config,
    says,
    shown,
)
from support.server import LoopbackServer

from collab_sdk.harvest import suppress

pytestmark = pytest.mark.filterwarnings("ignore::langchain_core._api.LangChainDeprecationWarning")


def brain(body: Any) -> str:
    """A moderator, a rewriter, or a bot that says how much it was sent."""
    system = " ".join(row["content"] for row in body["messages"] if row["role"] == "system")
    asked = [row["content"] for row in body["messages"] if row["role"] == "user"]
    if "MODERATE" in system:
        return "UNSAFE" if "bomb" in asked[-1] else "SAFE"
    if "REWRITE" in system:
        return f"standalone: {asked[-1]}"
    return f"{len(asked)} {asked[-1][-20:]}!"


def says_in_turn(app: Any, config: Any, *texts: str) -> None:
    for text in texts:
        app.invoke({"messages": [("user", text)]}, config)


# Graphs.


def moderated(model: Any, *, alone: bool) -> Any:
    """Refuses in words of its own; `alone` without asking a model, else by a moderator's verdict."""

    def moderate(state: MessagesState) -> Any:
        last = state["messages"][-1].content
        verdict = "UNSAFE" if "bomb" in last else "SAFE"
        if not alone:
            verdict = model.invoke([SystemMessage("MODERATE"), HumanMessage(last)]).content
        if verdict == "UNSAFE":
            return Command(goto=END, update={"messages": [AIMessage("Sorry, no.")]})
        return Command(goto="bot")

    graph = StateGraph(MessagesState)
    graph.add_node("moderate", moderate, destinations=("bot", END))
    graph.add_node("bot", lambda state: {"messages": [model.invoke([SystemMessage("Be kind."), *state["messages"]])]})
    graph.add_edge(START, "moderate")
    return graph.compile(checkpointer=InMemorySaver())


@pytest.mark.parametrize("alone", [True, False])
def test_a_refusal_that_no_model_wrote_is_a_reply_of_the_app(alone):
    kept, _, config = kept_and_config()
    with LoopbackServer(brain) as server:
        says_in_turn(moderated(chat_model(server), alone=alone), config, "hello", "a bomb", "bye")
    chats = [shown(call) for call in kept.answers]
    assert chats[1] == [*chats[0], "user: a bomb", "assistant: Sorry, no."]
    assert chats[2] == [*chats[1], "user: bye", "assistant: 3 bye!"]
    assert [call.model for call in kept.answers] == ["bot", None, "bot"]
    assert kept.beside == ([] if alone else ["SAFE", "UNSAFE", "SAFE"])
    assert {call.conversation_id for call in kept.calls} == {"t"}
    assert not any(call.shown_is_turn for call in kept.calls)


def trimmed(model: Any) -> Any:
    def bot(state: MessagesState) -> Any:
        sent = trim_messages(state["messages"], strategy="last", token_counter=len, max_tokens=3, start_on="human")
        return {"messages": [model.invoke([SystemMessage("Be kind."), *sent])]}

    return graph_of(("bot", bot), checkpointer=InMemorySaver())


def test_a_graph_that_sends_a_window_is_shown_whole():
    kept, _, config = kept_and_config()
    with LoopbackServer(brain) as server:
        says_in_turn(trimmed(chat_model(server)), config, "a", "b", "c", "d")
    assert shown(kept.answers[-1])[::2] == ["user: a", "user: b", "user: c", "user: d"]
    assert [message["role"] for message in kept.answers[-1].messages] == ["system", "user", "assistant", "user"]


def test_a_message_that_the_app_rewrites_for_the_model_is_shown_as_the_person_typed_it():
    kept, _, config = kept_and_config()

    def bot(state: MessagesState) -> Any:
        *before, last = state["messages"]
        return {"messages": [model.invoke([*before, HumanMessage(f"Context: the menu. Question: {last.content}")])]}

    with LoopbackServer(brain) as server:
        model = chat_model(server)
        says_in_turn(graph_of(("bot", bot), checkpointer=InMemorySaver()), config, "tea?", "milk?")
    assert shown(kept.answers[-1])[2] == "user: milk?"
    assert kept.answers[-1].messages[-1]["content"].startswith("Context")


class OwnKey(TypedDict):
    dialog: Annotated[list[AnyMessage], operator.add]
    topic: str


class Model(BaseModel):
    dialog: Annotated[list[AnyMessage], operator.add] = []
    topic: str = ""


@dataclass
class Data:
    dialog: Annotated[list[AnyMessage], operator.add] = field(default_factory=list)
    topic: str = ""


class Dicts(TypedDict):
    messages: Annotated[list[dict[str, str]], operator.add]


class Questions(TypedDict, total=False):
    question: str
    documents: list[str]
    final_answer: str


def said_in(state: Any, key: str) -> Any:
    return state[key] if isinstance(state, dict) else getattr(state, key)


@pytest.mark.parametrize("state", [OwnKey, Model, Data])
def test_a_graphs_messages_are_found_under_any_key(state):
    kept, _, config = kept_and_config()
    graph = StateGraph(state)
    graph.add_node("route", lambda given: {"topic": says("billing").invoke("which topic?").text})
    graph.add_node("bot", lambda given: {"dialog": [says("yes").invoke(said_in(given, "dialog"))]})
    graph.add_edge(START, "route")
    graph.add_edge("route", "bot")
    app: Any = graph.compile(checkpointer=InMemorySaver())
    for text in ("tea?", "milk?"):
        app.invoke({"dialog": [HumanMessage(text)]}, config)
    assert shown(kept.answers[-1]) == ["user: tea?", "assistant: yes", "user: milk?", "assistant: yes"]
    assert kept.beside == ["billing", "billing"]


def test_a_graphs_messages_may_be_dicts():
    kept, _, config = kept_and_config()
    graph = StateGraph(Dicts)

    def bot(state: Dicts) -> Any:
        reply = says("yes").invoke(f"Answer: {state['messages'][-1]['content']}").text
        return {"messages": [{"role": "assistant", "content": reply}]}

    graph.add_node("bot", bot)
    graph.add_edge(START, "bot")
    app: Any = graph.compile(checkpointer=InMemorySaver())
    for text in ("tea?", "milk?"):
        app.invoke({"messages": [{"role": "user", "content": text}]}, config)
    assert shown(kept.answers[-1]) == ["user: tea?", "assistant: yes", "user: milk?", "assistant: yes"]


def test_a_graph_without_messages_has_a_question_and_an_answer():
    kept, _, config = kept_and_config()
    graph = StateGraph(Questions)
    graph.add_node("grade", lambda state: {"documents": [says("relevant").invoke("is this relevant?").text]})
    graph.add_node("bot", lambda state: {"final_answer": says("yes").invoke(f"DOC {state['question']}").text})
    graph.add_edge(START, "grade")
    graph.add_edge("grade", "bot")
    app: Any = graph.compile()
    app.invoke({"question": "tea?"}, config)
    assert shown(kept.answers[0]) == ["user: tea?", "assistant: yes"]
    assert kept.answers[0].shown_is_turn
    assert kept.beside == ["relevant"]


def test_a_graph_whose_messages_end_with_the_persons_gave_no_answer():
    def classify(state: MessagesState) -> Any:
        says("complaint").invoke(state["messages"])
        return {}

    kept = harvest(graph_of(("classify", classify)), {"messages": [("user", "hello")]}, configurable={"thread_id": "t"})
    assert (kept.answers, kept.beside) == ([], ["complaint"])


def test_a_reply_that_the_app_edits_is_shown_as_the_person_saw_it():
    kept, _, config = kept_and_config()

    def edit(state: MessagesState) -> Any:
        last = state["messages"][-1]
        return {"messages": [AIMessage("an edited reply", id=last.id)]}

    def bot(state: MessagesState) -> Any:
        return {"messages": [says("a first draft").invoke(state["messages"])]}

    says_in_turn(graph_of(("bot", bot), ("edit", edit), checkpointer=InMemorySaver()), config, "hello")
    assert shown(kept.only) == ["user: hello", "assistant: an edited reply"]
    assert kept.only.replies[0]["content"] == "a first draft"


def test_a_summary_that_replaces_old_messages_is_nobodys_words():
    kept, _, config = kept_and_config()
    told = HumanMessage("Summary: they want tea.", additional_kwargs={"lc_source": "summarization"})

    def shorten(state: MessagesState) -> Any:
        old = state["messages"][:-1]
        return {"messages": [*(RemoveMessage(id=each.id) for each in old), *([told] if old else [])]}

    def bot(state: MessagesState) -> Any:
        ordered = sorted(state["messages"], key=lambda message: "lc_source" not in message.additional_kwargs)
        return {"messages": [says("yes").invoke(ordered)]}

    says_in_turn(graph_of(("shorten", shorten), ("bot", bot), checkpointer=InMemorySaver()), config, "tea?", "milk?")
    assert "system: Summary: they want tea." in shown(kept.answers[-1])
    assert kept.answers[-1].messages[0] == {"role": "system", "content": "Summary: they want tea."}


def streamed(app: Any, given: Any, config: Any, mode: str) -> None:
    list(app.stream(given, config, stream_mode=mode, subgraphs=True))


def astreamed(app: Any, given: Any, config: Any, mode: str) -> None:
    async def main() -> None:
        async for _ in app.astream(given, config, stream_mode=mode):
            pass

    asyncio.run(main())


@pytest.mark.parametrize("way", [streamed, astreamed])
@pytest.mark.parametrize("mode", ["values", "updates", "messages", ["updates", "custom"]])
def test_however_a_graph_is_streamed_its_messages_are_shown(way, mode):
    kept, _, config = kept_and_config()

    def agent(state: MessagesState) -> Any:
        return {"messages": [says("yes").invoke([("system", "private"), state["messages"][-1]])]}

    app = graph_of(("agent", graph_of(("inner", agent))), checkpointer=InMemorySaver())
    for text in ("tea?", "milk?"):
        way(app, {"messages": [("user", text)]}, config, mode)
    assert shown(kept.answers[-1]) == ["user: tea?", "assistant: yes", "user: milk?", "assistant: yes"]
    assert kept.beside == []


def test_a_graph_that_asks_the_person_goes_on_in_their_chat():
    kept, _, config = kept_and_config()
    graph = StateGraph(MessagesState)
    graph.add_node("bot", lambda state: {"messages": [says("what else?").invoke(state["messages"][-1:])]})
    graph.add_node("ask", lambda state: {"messages": [("user", interrupt("?"))]})
    graph.add_edge(START, "bot")
    graph.add_edge("bot", "ask")
    graph.add_edge("ask", "bot")
    app: Any = graph.compile(checkpointer=InMemorySaver())
    says_in_turn(app, config, "tea")
    app.invoke(Command(resume="milk"), config)
    assert [shown(call)[-2:] for call in kept.answers] == [
        ["user: tea", "assistant: what else?"],
        ["user: milk", "assistant: what else?"],
    ]
    assert len(shown(kept.answers[-1])) == 4


def test_a_workflow_function_is_shown_by_what_it_takes_and_returns():
    kept, _, config = kept_and_config()

    @entrypoint(checkpointer=InMemorySaver())
    def support(question: str, *, previous: Any = None) -> Any:
        says("billing").invoke("which topic?")
        said = f"{previous or ''}\nUser: {question}"
        return entrypoint.final(value=says("yes").invoke(f"Go on: {said}"), save=said)

    for text in ("tea?", "milk?"):
        support.invoke(text, config)
    assert [shown(call) for call in kept.answers] == [
        ["user: tea?", "assistant: yes"],
        ["user: milk?", "assistant: yes"],
    ]


# Chains.

TEMPLATE = ChatPromptTemplate.from_template("Use {context}.\nSo far: {history}\nQuestion: {question}")
IN_SESSION = {"metadata": {"session_id": "s"}}


def given(text: str) -> dict[str, str]:
    return {"context": "the menu", "history": "...", "question": text}


@pytest.mark.parametrize(
    "finish",
    [
        StrOutputParser(),
        RunnableLambda(lambda message: message),
        RunnableLambda(lambda message: {"answer": message.text, "sources": ["menu"], "confidence": "high"}),
        RunnableLambda(lambda message: {"output": {"response": message}}),
        RunnableLambda(lambda message: {"spoken": message.text}),
        RunnableLambda(lambda message: f"{message.text.upper()}  "),
    ],
)
def test_a_chains_question_and_answer_are_the_exchange(finish):
    kept = harvest(TEMPLATE | says("Yes, of course") | finish, given("tea?"), **IN_SESSION)
    call = kept.only
    assert [line.lower().strip() for line in shown(call)] == ["user: tea?", "assistant: yes, of course"]
    assert call.shown_is_turn
    assert call.messages[0]["content"].startswith("Use the menu")


@pytest.mark.parametrize(
    "asked",
    [
        "tea?",
        {"question": "tea?", "language": "en"},
        {"input": "tea?", "chat_history": [HumanMessage("hi"), AIMessage("hello")]},
        {"input": {"query": "tea?"}},
        {"messages": [("user", "hi"), ("assistant", "hello"), ("user", "tea?")]},
        [HumanMessage("tea?")],
        {"wish": "tea?"},
        {"turn": HumanMessage("tea?")},
    ],
)
def test_the_question_is_found_in_what_a_chain_is_given(asked):
    chain = RunnableLambda(lambda value: "a prompt of the app's own") | says("yes") | StrOutputParser()
    for way in ("invoke", "stream"):
        kept = KeptCalls()
        config: Any = {**IN_SESSION, "callbacks": [CollabCallbackHandler(kept, sync=True)]}
        list(getattr(chain, way)(asked, config))
        assert shown(kept.only) == ["user: tea?", "assistant: yes"]


def test_a_chain_that_returns_its_history_and_context_too_is_shown_by_its_answer():
    prompt = ChatPromptTemplate.from_messages(
        [("system", "REWRITE"), MessagesPlaceholder("chat_history"), ("human", "{input}")]
    )
    answer = ChatPromptTemplate.from_messages([("system", "Use {context}."), ("human", "{input}")])
    kept, _, config = kept_and_config()
    with LoopbackServer(brain) as server:
        model = chat_model(server)
        chain = RunnablePassthrough.assign(context=prompt | model | StrOutputParser()).assign(answer=answer | model)
        history = [HumanMessage("tea?"), AIMessage("an old answer")]
        chain.invoke({"input": "milk?", "chat_history": history}, config)
    assert shown(kept.answers[0]) == ["user: milk?", "assistant: 1 milk?!"]
    assert kept.beside == ["standalone: milk?"]


def test_a_chain_that_goes_on_from_its_history_needs_no_other_telling():
    kept = KeptCalls()
    config: Any = {"callbacks": [CollabCallbackHandler(kept, sync=True)], "configurable": {"session_id": "s"}}
    with LoopbackServer(brain) as server:
        app = chain_with_history(chat_model(server))
        for text in ("tea?", "milk?"):
            app.invoke({"input": text}, config)
    first, second = kept.answers
    assert shown(first) == ["user: tea?", "assistant: 1 tea?!"]
    assert (second.shown, len(second.messages)) == ((), 4)


def test_a_question_under_an_unknown_key_is_the_text_that_the_model_was_sent_as_the_persons():
    chain = ChatPromptTemplate([("system", "Know: {facts}"), ("human", "{frage}")]) | says("ja") | StrOutputParser()
    given = {"frage": "Geht das?", "facts": "a, b"}
    assert shown(harvest(chain, given, configurable={"thread_id": "t"}).only) == ["user: Geht das?", "assistant: ja"]


def test_a_chain_whose_question_is_in_none_of_its_texts_is_recorded_as_its_model_was_asked():
    chain = ChatPromptTemplate([("human", "{facts}, so {frage}")]) | says("ja") | StrOutputParser()
    call = harvest(chain, {"frage": "geht das?", "facts": "a, b"}).only
    assert (call.messages[-1]["content"], call.replies[0]["content"], call.shown) == ("a, b, so geht das?", "ja", ())


def test_an_answer_is_found_beside_other_things_that_are_returned():
    chain = says("a draft") | (lambda _: {"result": {"documents": 3}, "output_text": "Here you are."})
    assert shown(harvest(chain).only) == ["user: hello", "assistant: Here you are."]


def test_a_chain_that_refuses_without_its_model_is_shown():
    moderate = RunnableLambda(lambda text: says("UNSAFE").invoke(f"MODERATE {text}").text)
    chain = RunnablePassthrough.assign(
        verdict=RunnableLambda(lambda given: given["input"]) | moderate
    ) | RunnableBranch((lambda given: given["verdict"] == "UNSAFE", lambda given: "Sorry, no."), says("never asked"))
    kept, _, config = kept_and_config()
    for text in ("a bomb", "a big bomb"):
        chain.invoke({"input": text}, config)
    assert [shown(call) for call in kept.answers] == [
        ["user: a bomb", "assistant: Sorry, no."],
        ["user: a big bomb", "assistant: Sorry, no."],
    ]
    assert kept.beside == ["UNSAFE", "UNSAFE"]


def test_what_no_model_said_in_a_chain_without_models_is_no_chat():
    assert harvest(RunnableLambda(str.upper) | RunnableLambda(str.lower), "hello", **IN_SESSION).calls == []
    assert harvest(TEMPLATE, given("tea?"), **IN_SESSION).calls == []


def test_a_run_whose_output_does_not_tell_is_shown_by_its_last_call():
    def handle(text: str) -> int:
        says("billing").invoke("which topic?")
        says("yes").invoke(f"A prompt: {text}")
        return 200

    kept = harvest(RunnableLambda(handle), "tea?", **IN_SESSION)
    assert shown(kept.answers[0]) == ["user: tea?", "assistant: yes"]
    assert kept.answers[0].metadata["answer"] == "guessed"
    assert kept.beside == ["billing"]


def test_a_refusal_is_shown_though_the_guard_is_left_out_and_an_answer_left_out_stays_out():
    def refuse(state: MessagesState) -> Any:
        with suppress():
            says("UNSAFE").invoke(state["messages"])
        return {"messages": [AIMessage("Sorry, no.")]}

    def answer(state: MessagesState) -> Any:
        return {"messages": [says("a secret").invoke(state["messages"], {"tags": ["collab:ignore"]})]}

    asked = {"messages": [("user", "a bomb")]}
    assert shown(harvest(graph_of(("bot", refuse)), asked).only) == ["user: a bomb", "assistant: Sorry, no."]
    assert harvest(graph_of(("bot", answer)), asked).calls == []


def test_where_only_some_nodes_are_to_be_kept_the_answer_is_theirs():
    def node(text: str) -> Any:
        return lambda state: {"messages": [says(text).invoke([*state["messages"][-1:], ("user", "go on")])]}

    app = graph_of(("draft", node("a draft")), ("bot", node("the answer")))
    asked = {"messages": [("user", "tea?")]}
    kept = harvest(app, asked, only=["bot"], configurable={"thread_id": "t"})
    assert shown(kept.only) == ["user: tea?", "assistant: a draft", "assistant: the answer"]
    assert [reply["content"] for reply in harvest(app, asked, only=["draft"]).only.replies] == ["a draft"]


def test_what_a_graph_removes_when_it_has_answered_is_shown_and_its_examples_are_not():
    kept, _, config = kept_and_config()
    examples = [HumanMessage("soup?"), AIMessage("1 soup?!")]

    def bot(state: MessagesState) -> Any:
        return {"messages": [says("yes").invoke([*examples, *state["messages"]])]}

    def forget(state: MessagesState) -> Any:
        return {"messages": [RemoveMessage(id=each.id) for each in state["messages"][:-2]]}

    says_in_turn(graph_of(("bot", bot), ("forget", forget), checkpointer=InMemorySaver()), config, "tea?", "milk?")
    assert shown(kept.answers[-1]) == ["user: tea?", "assistant: yes", "user: milk?", "assistant: yes"]
    assert not kept.answers[-1].shown_is_turn


def test_what_a_person_says_twice_is_in_the_chat_twice():
    kept, _, config = kept_and_config()

    def bot(state: MessagesState) -> Any:
        return {"messages": [model.invoke([("system", f"{len(state['messages'])} so far"), *state["messages"]])]}

    with app_server() as server:
        model = chat_model(server)
        says_in_turn(graph_of(("bot", bot), checkpointer=InMemorySaver()), config, "tea?", "milk?", "milk?")
    assert len(kept.answers) == 3
    assert kept.beside == []


def test_the_exchanges_of_a_graph_that_remembers_nothing_are_one_chat():
    kept, _, config = kept_and_config()
    with app_server() as server:
        app = chatbot(chat_model(server)).copy(update={"checkpointer": None})
        says_in_turn(app, config, "tea?", "where is my order", "milk?")
    assert [call.shown_is_turn for call in kept.answers] == [False, True, True]
    assert [shown(call) for call in kept.answers][1:] == [
        ["user: where is my order", "assistant: 1 where is my order!"],
        ["user: milk?", "assistant: 1 milk?!"],
    ]
    assert [message["role"] for message in kept.answers[1].messages] == ["user", "assistant", "tool"]


@pytest.mark.parametrize(("decision", "saw"), [("fine", "a draft"), ("a better one", "a better one")])
def test_a_draft_that_a_person_approves_or_rewrites_is_in_the_chat_once(decision, saw):
    kept, _, config = kept_and_config()

    def review(state: MessagesState) -> Any:
        said = interrupt("is this fine?")
        return {"messages": [] if said == "fine" else [AIMessage(said, id=state["messages"][-1].id)]}

    draft = ("bot", lambda state: {"messages": [says("a draft").invoke(state["messages"])]})
    app = graph_of(draft, ("review", review), checkpointer=InMemorySaver())
    says_in_turn(app, config, "tea?")
    app.invoke(Command(resume=decision), config)
    assert shown(kept.answers[-1]) == ["user: tea?", f"assistant: {saw}"]
    assert len(kept.answers) == (1 if decision == "fine" else 2)
