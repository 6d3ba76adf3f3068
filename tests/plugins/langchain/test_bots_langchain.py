"""LangChain's own: which form of input each runnable gets, and what a simulated call leaves behind."""

import asyncio
from operator import itemgetter
from typing import Annotated, Any, TypedDict

import pytest
from collab_langchain import RunnableModel
from langchain_core.chat_history import BaseChatMessageHistory, InMemoryChatMessageHistory
from langchain_core.language_models.fake_chat_models import FakeListChatModel, GenericFakeChatModel
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, trim_messages
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate, MessagesPlaceholder, PromptTemplate
from langchain_core.runnables import (
    ConfigurableFieldSpec,
    RunnableConfig,
    RunnableLambda,
    RunnableParallel,
    RunnablePassthrough,
)
from langchain_core.runnables.history import RunnableWithMessageHistory
from langchain_core.tools import tool
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.func import entrypoint
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.graph.message import add_messages
from langgraph.prebuilt import ToolNode, tools_condition
from langgraph.types import interrupt
from support.fakes import judged, user_says

from collab_sdk import (
    ChatModel,
    ChatReply,
    ChatRequest,
    Engine,
    MRScorer,
    Rollout,
    Simulator,
    as_chat_model,
)
from collab_sdk.concurrency import run_sync
from collab_sdk.errors import BotError, EndpointError, ModelCallError, UsageError
from collab_sdk.messages import Ending, Message, as_messages
from collab_sdk.models.base import CallRole
from collab_sdk.testing import FakeChatModel

# LangChain's own message histories are deprecated, and in many apps.
pytestmark = pytest.mark.filterwarnings("ignore::langchain_core._api.LangChainDeprecationWarning")

HISTORY = as_messages(
    [
        {"role": "user", "content": "one"},
        {"role": "assistant", "content": "two"},
        {"role": "user", "content": "three"},
    ]
)
ALL = ["one", "two", "three"]
REPLY = "a reply"


def ask(bot: Any, history: tuple[Message, ...] = HISTORY, **metadata: Any) -> ChatReply:
    request = ChatRequest(role=CallRole.ASSISTANT, messages=history, metadata=metadata)
    return run_sync(as_chat_model(bot).achat(request))


def plain(value: Any) -> Any:
    """What a runnable was given, with messages as their texts."""
    if isinstance(value, BaseMessage):
        return value.content
    if isinstance(value, dict):
        return {key: plain(part) for key, part in value.items()}
    return [plain(part) for part in value] if isinstance(value, list) else value


def model() -> FakeListChatModel:
    return FakeListChatModel(responses=[REPLY])


def graph_of(node: Any, state: Any = MessagesState, **options: Any) -> Any:
    graph = StateGraph(state)
    graph.add_node("bot", node)
    graph.add_edge(START, "bot")
    return graph.compile(**options)


def replying(state: Any) -> Any:
    return {"messages": [("ai", REPLY)]}


# Input.

WITH_INPUT = ChatPromptTemplate.from_messages([MessagesPlaceholder("history"), ("human", "{input}")])
ODD_NAMES = ChatPromptTemplate.from_messages([MessagesPlaceholder("past"), ("human", "Asked: {utterance}")])
OPTIONAL = ChatPromptTemplate.from_messages(
    [MessagesPlaceholder("chat_history", optional=True), ("human", "{q}"), MessagesPlaceholder("pad", optional=True)]
)
WHOLE = ChatPromptTemplate.from_messages([("system", "Be kind."), MessagesPlaceholder("messages")])
WITH_TONE = ChatPromptTemplate.from_messages([("system", "Be {tone}."), MessagesPlaceholder("messages")])
SPLIT = {"history": ["one", "two"], "input": "three"}


class OldState(TypedDict):  # pydantic has no schema for it before Python 3.12
    messages: Annotated[list, add_messages]
    documents: list[str]


def takes_list(messages: list) -> str:
    return REPLY


def takes_langchain_messages(messages: list[BaseMessage]) -> str:
    return REPLY


def takes_dicts(conversation: list[dict]) -> str:
    return REPLY


def takes_either(conversation: str | list) -> str:
    return REPLY


async def untyped(messages):
    return REPLY


def takes_state(state: OldState) -> str:
    return REPLY


def fills_context(chain: Any) -> Any:
    return RunnablePassthrough.assign(context=lambda given: "c") | chain


FORMS = {
    "chat model": (model(), ALL),
    "bound model": (model().bind(stop=["x"]), ALL),
    "model with retry": (model().with_retry(), ALL),
    "model with fallbacks": (model().with_fallbacks([model()]), ALL),
    "trimmed model": (trim_messages(max_tokens=99, token_counter=len) | model(), ALL),
    "list": (RunnableLambda(takes_list), ALL),
    "list of LangChain messages": (RunnableLambda(takes_langchain_messages), ALL),
    "list of dicts": (RunnableLambda(takes_dicts), [message.to_dict() for message in HISTORY]),
    "text or list": (RunnableLambda(takes_either), ALL),
    "parameter called messages": (RunnableLambda(untyped), ALL),
    "functional graph": (entrypoint()(takes_list), ALL),
    "graph": (graph_of(replying), {"messages": ALL}),
    "graph in a chain": (graph_of(replying) | RunnableLambda(lambda state: state["messages"][-1]), {"messages": ALL}),
    "configured graph": (graph_of(replying).with_config(recursion_limit=9), {"messages": ALL}),
    "graph on a TypedDict": (graph_of(replying, OldState), {"messages": ALL}),
    "history and input": (WITH_INPUT | model(), SPLIT),
    "with retrieval": (fills_context(WITH_INPUT | model()), SPLIT),
    "by itemgetter": (
        {"history": itemgetter("history"), "input": itemgetter("input")} | WITH_INPUT | model(),
        SPLIT,
    ),
    "odd names": (ODD_NAMES | model(), {"past": ["one", "two"], "utterance": "three"}),
    "odd names, configured": ((ODD_NAMES | model()).with_config(tags=["x"]), {"past": ALL[:2], "utterance": "three"}),
    "optional history": (OPTIONAL | model(), {"chat_history": ["one", "two"], "q": "three"}),
    "messages alone": (WHOLE | model(), {"messages": ALL}),
    "partial": (WITH_TONE.partial(tone="kind") | model(), {"messages": ALL}),
}


def given_to(bot: Any) -> Any:
    """What the bot's first step is called with."""
    return plain(RunnableModel(bot)._form(HISTORY))


@pytest.mark.parametrize(("bot", "given"), FORMS.values(), ids=FORMS.keys())
def test_a_runnable_gets_the_history_in_the_form_it_takes(bot, given):
    assert given_to(bot) == given
    assert ask(bot).content == REPLY


TEXT_ONLY = {
    "prompt": ChatPromptTemplate.from_template("{anything}") | model(),
    "text prompt": PromptTemplate.from_template("Say {x}") | model(),
    "function": RunnableLambda(lambda text: REPLY).with_types(input_type=str),
}


@pytest.mark.parametrize("bot", TEXT_ONLY.values(), ids=TEXT_ONLY.keys())
def test_a_runnable_that_takes_one_text_gets_the_last_and_a_warning_that_it_cannot_see_the_history(bot):
    with pytest.warns(UserWarning, match="takes one text and no messages") as caught:
        chat_model = as_chat_model(bot)
    request = ChatRequest(role=CallRole.ASSISTANT, messages=HISTORY)
    assert [run_sync(chat_model.achat(request)).content for _ in range(2)] == [REPLY, REPLY]
    assert len(caught) == 1


UNTOLD = {
    "untyped": (RunnableLambda(lambda given: REPLY), "takes an input of no known type"),
    "passthrough": (RunnablePassthrough() | model(), "takes an input of no known type"),
    "a dict of anything": (
        RunnableLambda(lambda given: REPLY).with_types(input_type=dict),
        "an input of no known type",
    ),
    "parallel": (RunnableParallel(a=lambda x: x) | model(), "does not tell where the messages go"),
    "graph of its own": (graph_of(replying, TypedDict("S", {"query": str})), "under the key 'messages'"),
    "unbound variable": (WITH_TONE | model(), r"tone \(text\).*Bind 'tone'"),
    "state": (RunnableLambda(takes_state), r"messages \(.*documents \(.*Nothing to fill 'documents'"),
    "history as text": (PromptTemplate.from_template("{history} {input}") | model(), "Nothing to fill 'history'"),
    "two histories": (
        ChatPromptTemplate.from_messages([MessagesPlaceholder("a"), MessagesPlaceholder("b")]) | model(),
        "Nothing to fill 'a'",
    ),
}


@pytest.mark.parametrize(("bot", "found"), UNTOLD.values(), ids=UNTOLD.keys())
def test_a_runnable_whose_input_cannot_be_told_is_refused_with_the_way_out(bot, found):
    with pytest.raises(UsageError, match=found) as caught:
        as_chat_model(bot)
    assert "Wrap it in a function of messages: as_chat_model(lambda messages: bot.invoke({...}))." in str(caught.value)


def test_langchain_objects_that_answer_nothing_are_refused():
    with pytest.raises(UsageError, match="HumanMessage cannot answer by itself"):
        as_chat_model(HumanMessage("hello"))


def test_tool_steps_travel_to_a_bot_that_takes_messages_and_are_left_to_one_that_takes_text():
    call = {"id": "1", "type": "function", "function": {"name": "look_up", "arguments": '{"order": 7}'}}
    steps = as_messages(
        [
            {"role": "assistant", "content": "", "tool_calls": [call]},
            {"role": "tool", "content": "shipped", "tool_call_id": "1"},
        ]
    )
    received = RunnableModel(RunnableLambda(takes_list))._form(HISTORY + steps)
    assert received[3].tool_calls[0]["args"] == {"order": 7}
    assert (received[4].type, received[4].tool_call_id) == ("tool", "1")
    assert plain(RunnableModel(WITH_INPUT | model())._form(HISTORY + steps)) == SPLIT


def test_a_history_that_langchain_cannot_represent_is_a_bot_error():
    call = {"id": "1", "type": "function", "function": {"name": "f", "arguments": "{broken"}}
    history = as_messages(
        [{"role": "assistant", "content": "", "tool_calls": [call]}, {"role": "user", "content": "x"}]
    )
    with pytest.raises(BotError, match="LangChain cannot take this history"):
        ask(model(), history)
    with pytest.raises(BotError, match="no user message in this history"):
        ask(WITH_INPUT | model(), history[:1])


# Sessions, threads, tags.


class Recorder(BaseChatMessageHistory):
    """A store that keeps what each session held at its fullest."""

    def __init__(self) -> None:
        self.messages: list[BaseMessage] = []
        self.fullest: list[str] = []

    def add_messages(self, messages: Any) -> None:
        self.messages = [*self.messages, *messages]
        self.fullest = plain(self.messages)

    def clear(self) -> None:
        self.messages = []


def sessions_of(**options: Any) -> tuple[dict[Any, Recorder], dict[str, Any]]:
    sessions: dict[Any, Recorder] = {}
    return sessions, {"get_session_history": lambda session_id: sessions.setdefault(session_id, Recorder()), **options}


SEEN: list[Any] = []


def seeing(messages: list) -> str:
    SEEN.append(plain(messages))
    return REPLY


def seeing_prompt(value: Any) -> str:
    return seeing(value.to_messages())


HISTORIES = {
    "history and input": (
        WITH_INPUT | seeing_prompt,
        {"input_messages_key": "input", "history_messages_key": "history"},
    ),
    "messages in one key": (WHOLE | seeing_prompt, {"input_messages_key": "messages"}),
    "messages alone": (RunnableLambda(seeing), {}),
}


@pytest.mark.parametrize(("chain", "options"), HISTORIES.values(), ids=HISTORIES.keys())
@pytest.mark.parametrize("wrap", [lambda bot: bot, lambda bot: bot.with_config(tags=["x"]) | StrOutputParser()])
def test_a_runnable_with_a_message_history_finds_the_earlier_messages_in_a_session_of_its_own(chain, options, wrap):
    SEEN.clear()
    sessions, options = sessions_of(**options)
    bot = wrap(RunnableWithMessageHistory(chain, **options))
    assert [ask(bot).content for _ in range(2)] == [REPLY, REPLY]
    assert [[text for text in seen if text != "Be kind."] for seen in SEEN] == [ALL, ALL]
    assert len(sessions) == 2
    for session in sessions.values():
        assert session.fullest[:3] == ALL
        assert session.messages == []  # nothing stays in the app's own store


def test_a_session_may_be_chosen_by_several_keys():
    sessions: dict[Any, InMemoryChatMessageHistory] = {}

    def session(user_id: str, conversation_id: str) -> InMemoryChatMessageHistory:
        return sessions.setdefault((user_id, conversation_id), InMemoryChatMessageHistory())

    keys = [
        ConfigurableFieldSpec(id=key, annotation=str, name=key, description="", default="", is_shared=True)
        for key in ("user_id", "conversation_id")
    ]
    SEEN.clear()
    bot = RunnableWithMessageHistory(RunnableLambda(seeing), session, history_factory_config=keys)
    assert ask(bot).content == ask(bot).content == REPLY
    assert SEEN == [ALL, ALL]
    assert len(sessions) == 2


def test_message_histories_that_cannot_be_kept_apart_or_filled_are_refused():
    history = Recorder()
    with pytest.raises(UsageError, match="get_session_history must take a session_id"):
        as_chat_model(RunnableWithMessageHistory(model(), lambda: history))
    _, options = sessions_of(history_messages_key="history")
    with pytest.raises(UsageError, match="input_messages_key"):
        as_chat_model(RunnableWithMessageHistory(WITH_INPUT | model(), **options))


class SyncOnlySaver(InMemorySaver):
    """As LangGraph's SqliteSaver: no async form."""

    async def aget_tuple(self, *args: Any, **kwargs: Any) -> Any:
        raise NotImplementedError

    aput = aput_writes = adelete_thread = aget_tuple


class SaverThatKeeps(InMemorySaver):
    async def adelete_thread(self, thread_id: str) -> None:
        raise NotImplementedError

    def delete_thread(self, thread_id: str) -> None:
        raise NotImplementedError


@pytest.mark.parametrize("saver", [InMemorySaver, SyncOnlySaver])
def test_a_graph_with_a_checkpointer_starts_afresh_and_leaves_no_thread_behind(saver):
    checkpointer = saver()
    counts = []

    def node(state: MessagesState) -> Any:
        counts.append(len(state["messages"]))
        return replying(state)

    graph = graph_of(node, checkpointer=checkpointer)
    assert [ask(graph).content for _ in range(3)] == [REPLY] * 3
    assert counts == [3, 3, 3]
    assert list(checkpointer.list(None)) == []


def test_a_checkpointer_that_cannot_delete_is_no_error():
    checkpointer = SaverThatKeeps()
    assert ask(graph_of(replying, checkpointer=checkpointer)).content == REPLY
    assert len({row.config["configurable"]["thread_id"] for row in checkpointer.list(None)}) == 1


def test_simulated_calls_carry_a_tag_their_metadata_and_ids_of_their_own():
    configs = []

    def bot(messages: list, config: RunnableConfig) -> str:
        configs.append(config)
        return REPLY

    for _ in range(2):
        ask(RunnableLambda(bot), tenant="acme")
    assert all("collab:ignore" in config["tags"] for config in configs)
    assert all(config["metadata"]["tenant"] == "acme" for config in configs)
    ids = {config["configurable"][key] for config in configs for key in ("thread_id", "session_id")}
    assert len(ids) == 2


def test_the_tag_reaches_the_models_inside_a_graph():
    tags = []

    def node(state: MessagesState) -> Any:
        return {"messages": [inner.invoke(state["messages"])]}

    def inner_bot(messages: list, config: RunnableConfig) -> AIMessage:
        tags.append(config["tags"])
        return AIMessage(REPLY)

    inner = RunnableLambda(inner_bot)
    assert ask(graph_of(node)).content == REPLY
    assert "collab:ignore" in tags[0]


# Output.


def message_model(**fields: Any) -> GenericFakeChatModel:
    return GenericFakeChatModel(messages=iter([AIMessage(**fields)] * 2))


USAGE = {"input_tokens": 11, "output_tokens": 7, "total_tokens": 18}


@pytest.mark.parametrize("finish", [lambda model: model, lambda model: model | StrOutputParser()])
def test_tokens_are_those_that_the_models_inside_have_counted(finish):
    reply = ask(finish(message_model(content=REPLY, usage_metadata=USAGE)))
    assert (reply.content, reply.prompt_tokens, reply.completion_tokens) == (REPLY, 11, 7)


def test_tokens_of_all_model_calls_of_an_answer_are_summed_and_nobodys_are_none():
    counted = message_model(content=REPLY, usage_metadata=USAGE)
    reply = ask(graph_of(lambda state: {"messages": [counted.invoke("a"), counted.invoke("b")]}))
    assert (reply.prompt_tokens, reply.completion_tokens) == (22, 14)
    reply = ask(model())
    assert (reply.prompt_tokens, reply.completion_tokens, reply.usd) == (None, None, None)


def test_a_reply_leaves_reasoning_out():
    parts = [{"type": "thinking", "thinking": "hm"}, {"type": "text", "text": "Yes"}, {"type": "text", "text": "."}]
    assert ask(message_model(content=parts)).content == "Yes."


@pytest.mark.parametrize(
    ("said", "ended"),
    [
        ({"finish_reason": "length"}, Ending.CUT_OFF),
        ({"stop_reason": "max_tokens"}, Ending.CUT_OFF),
        ({"finish_reason": "SAFETY"}, Ending.FILTERED),
        ({"status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}}, Ending.CUT_OFF),
        ({"stopReason": "guardrail_intervened"}, Ending.FILTERED),
        ({"done": True, "done_reason": "length"}, Ending.CUT_OFF),
    ],
)
def test_a_reply_that_was_cut_off_says_so(said, ended):
    assert ask(message_model(content=REPLY, response_metadata=said)).ended is ended
    assert ask(message_model(content=REPLY, response_metadata={"finish_reason": "stop"})).ended is None
    graph = graph_of(lambda state: {"messages": [AIMessage(REPLY, response_metadata=said)]})
    assert ask(graph).ended is ended
    assert ask(lambda messages: AIMessage(REPLY, response_metadata=said)).ended is ended


@pytest.mark.parametrize(
    ("bot", "problem"),
    [
        (RunnableLambda(lambda messages: None), "returned None"),
        (RunnableLambda(lambda messages: messages), "role 'human'"),
        (RunnableLambda(lambda messages: []), "returned an empty list"),
        (RunnableLambda(lambda messages: {"answer": REPLY}), "returned dict"),
        (graph_of(lambda state: {"messages": []}), "role 'human'"),
        (graph_of(replying, interrupt_before=["bot"], checkpointer=InMemorySaver()), "role 'human'"),
        (graph_of(lambda state: interrupt({"may I": "go on?"})), "LangGraph stopped for a human"),
    ],
)
def test_what_is_no_reply_is_a_bot_error(bot, problem):
    with pytest.raises(BotError, match=problem):
        ask(bot)


# Agents with tools.


@tool
def look_up(order: int) -> str:
    """Where an order is."""
    return f"order {order}: SHIPPED"


@tool
def cancel(order: int) -> str:
    """Cancel an order that was not shipped."""
    raise ValueError("too late")


class ToolModel(GenericFakeChatModel):
    """Says its messages in turn, and takes whatever tools it is given."""

    def bind_tools(self, tools: Any, **kwargs: Any) -> Any:
        return self


def wants(name: str, id: str, content: Any = "") -> AIMessage:
    return AIMessage(content, tool_calls=[{"name": name, "args": {"order": 5}, "id": id}])


def agent(*messages: AIMessage, **options: Any) -> Any:
    """A graph whose model calls tools until it speaks."""
    chat = ToolModel(messages=iter(messages)).bind_tools([look_up, cancel])

    def think(state: MessagesState) -> Any:
        return {"messages": [chat.invoke(state["messages"])]}

    graph = StateGraph(MessagesState)
    graph.add_node("think", think)
    graph.add_node("tools", ToolNode([look_up, cancel], handle_tool_errors=True))
    graph.add_edge(START, "think")
    graph.add_conditional_edges("think", tools_condition)
    graph.add_edge("tools", "think")
    return graph.compile(**options)


STEPS = (wants("look_up", "a", "Let me see."), wants("cancel", "b"), AIMessage("It is too late for that."))


def lines(messages: Any) -> list[str]:
    return [
        " ".join([each.role, each.content, *(call.name + call.arguments for call in each.calls)]) for each in messages
    ]


@pytest.mark.parametrize("saver", [None, InMemorySaver()])
def test_an_agents_steps_are_kept_and_its_history_is_not_among_them(saver):
    reply = ask(agent(*STEPS, checkpointer=saver))
    said = lines(reply.messages)
    assert said[:3] == [
        'assistant Let me see. look_up{"order":5}',
        "tool order 5: SHIPPED",
        'assistant  cancel{"order":5}',
    ]
    assert "too late" in said[3]
    assert said[4:] == ["assistant It is too late for that."]
    assert [step.tool_call_id for step in reply.steps] == [None, "a", None, "b"]


def test_an_agent_with_two_tools_is_scored_with_its_steps():
    bot = agent(*STEPS)
    simulator = Simulator(FakeChatModel(lambda _: user_says("cancel order 5"), name="user"), engine=Engine())
    rollout = Rollout(assistant=bot, simulator=simulator, window=1, samples=1)
    scorer = MRScorer(rollout, metrics={"goal": 1.0}, judge=FakeChatModel(lambda _: judged(), name="judge"))
    [future] = scorer.score(HISTORY[:2], goal="order 5 is cancelled").futures
    assert future.error is None
    assert lines(future.messages[1:3]) == ['assistant Let me see. look_up{"order":5}', "tool order 5: SHIPPED"]
    assert future.messages[-1].content == "It is too late for that."


def test_the_call_of_a_graph_that_stops_before_its_tools_is_left_to_us():
    reply = ask(agent(wants("look_up", "a"), interrupt_before=["tools"], checkpointer=InMemorySaver()))
    assert lines(reply.messages) == ['assistant  look_up{"order":5}']


def test_a_chat_model_alone_gets_the_tools_of_the_conversation():
    given = []

    class Bound(ToolModel):
        def bind_tools(self, tools: Any, **kwargs: Any) -> Any:
            given.append((tools, kwargs))
            return self

    tools = ({"type": "function", "function": {"name": "look_up"}},)
    request = ChatRequest(role=CallRole.ASSISTANT, messages=HISTORY, tools=tools, tool_choice="required")
    reply = run_sync(as_chat_model(Bound(messages=iter(STEPS))).achat(request))
    assert given == [(list(tools), {"tool_choice": "required"})]
    assert [each["function"]["name"] for each in reply.tool_calls] == ["look_up"]
    assert run_sync(as_chat_model(model()).achat(request)).content == REPLY


# Errors.


def raising(error: BaseException) -> Any:
    def bot(messages: list) -> str:
        raise error

    return RunnableLambda(bot)


class ProviderError(Exception):
    def __init__(self, status_code: int) -> None:
        super().__init__("the provider says no")
        self.status_code = status_code


class APIConnectionError(Exception):
    """Named as OpenAI's and Anthropic's."""


@pytest.mark.parametrize(
    ("error", "kind", "retryable"),
    [
        (ProviderError(429), ModelCallError, True),
        (ProviderError(503), ModelCallError, True),
        (ProviderError(400), ModelCallError, False),
        (APIConnectionError("reset"), ModelCallError, True),
        (TimeoutError("slow"), ModelCallError, True),
    ],
    ids=repr,
)
def test_a_providers_error_is_retried_where_that_may_help(error, kind, retryable):
    with pytest.raises(kind) as caught:
        ask(raising(error))
    assert caught.value.retryable is retryable


def test_a_refused_key_ends_the_run():
    with pytest.raises(EndpointError, match="Check the key"):
        ask(raising(ProviderError(401)))


def test_a_bots_own_error_is_one_line():
    with pytest.raises(BotError, match=r"^bot raised ValueError: two lines$"):
        ask(raising(ValueError("two\n  lines")))
    with pytest.raises(BotError, match="LangGraph raised GraphRecursionError: Recursion limit of 1 reached"):
        ask(endless().with_config(recursion_limit=1))


def endless() -> Any:
    graph = StateGraph(MessagesState)
    graph.add_node("a", replying)
    graph.add_edge(START, "a")
    graph.add_edge("a", "a")
    return graph.compile()


# The edge of the core.


def test_replies_are_kept_only_under_a_name():
    assert as_chat_model(model()).fingerprint is None
    named = as_chat_model(model(), name="support@2")
    assert (named.name, named.fingerprint) == ("support", {"bot": "support@2"})
    assert isinstance(named, ChatModel)


def test_a_graph_can_be_named_on_the_command_line(tmp_path, monkeypatch):
    (tmp_path / "my_graph_app.py").write_text(
        "from langchain_core.language_models.fake_chat_models import FakeListChatModel\n"
        f"bot = FakeListChatModel(responses=[{REPLY!r}])\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    chat_model = as_chat_model("py:my_graph_app:bot")
    assert chat_model.name == "py:my_graph_app:bot"
    assert chat_model.fingerprint["bot"].startswith("py:my_graph_app:bot@")
    assert ask(chat_model).content == REPLY


def test_calls_at_once_do_not_mix():
    async def main() -> list[str]:
        bot = as_chat_model(graph_of(echo, checkpointer=InMemorySaver()))
        requests = [
            ChatRequest(role=CallRole.ASSISTANT, messages=as_messages([{"role": "user", "content": f"I am {number}"}]))
            for number in range(20)
        ]
        return [reply.content for reply in await asyncio.gather(*map(bot.achat, requests))]

    assert asyncio.run(main()) == [f"1: I am {number}!" for number in range(20)]


async def echo(state: MessagesState) -> Any:
    await asyncio.sleep(0)
    return {"messages": [("ai", f"{len(state['messages'])}: {state['messages'][-1].content}!")]}
