"""Which calls of a LangChain app are recorded, and under which conversation."""

import asyncio
import copy
import threading
from typing import Any

import pytest
from collab_langchain import CollabCallbackHandler, as_chat_model
from langchain_core.caches import InMemoryCache
from langchain_core.language_models.fake_chat_models import FakeListChatModel, GenericFakeChatModel
from langchain_core.messages import AIMessage
from langchain_core.output_parsers import StrOutputParser
from langchain_core.runnables import RunnableConfig, RunnableLambda
from langchain_core.tools import tool
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import MessagesState
from support.langchain_apps import KeptCalls, graph_of, harvest, replies, says

from collab_sdk.concurrency import run_sync
from collab_sdk.harvest import CallContext, conversation, suppress
from collab_sdk.messages import as_messages
from collab_sdk.models.base import CallRole, ChatRequest


def answering(model: Any) -> Any:
    return lambda state: {"messages": [model.invoke(state["messages"])]}


def asking(model: Any) -> Any:
    """A node that calls a model for the app's own purposes."""

    def node(state: MessagesState) -> Any:
        model.invoke("a question of the app's own")
        return {}

    return node


USER = {"messages": [("user", "hello")]}


# The conversation.


@pytest.mark.parametrize("key", ["thread_id", "session_id", "conversation_id", "langfuse_session_id"])
def test_a_conversation_has_the_id_that_metadata_or_config_give_it(key):
    assert harvest(says("a"), metadata={key: "m"}).only.conversation_id == "m"
    chain = RunnableLambda(lambda text: text) | says("a")
    assert harvest(chain, configurable={key: "c"}).only.conversation_id == "c"
    assert harvest(chain, configurable={key: 7}).only.conversation_id == "7"
    assert harvest(chain, configurable={key: "c"}, metadata={key: "m"}).only.conversation_id == "m"


def test_an_explicit_id_goes_before_all_others():
    chain = RunnableLambda(lambda text: text) | says("a")
    explicit = {"collab_conversation_id": "x", "thread_id": "t"}
    assert harvest(chain, configurable=explicit, metadata={"thread_id": "m"}).only.conversation_id == "x"
    assert harvest(chain, metadata=explicit).only.conversation_id == "x"
    with conversation("y"):
        assert harvest(chain, metadata={"thread_id": "m"}).only.conversation_id == "y"


def test_a_bare_model_or_an_app_that_names_nothing_leaves_the_id_to_the_store():
    assert harvest(says("a"), configurable={"session_id": "s"}).only.conversation_id is None
    assert harvest(graph_of(("bot", answering(says("a")))), USER).only.conversation_id is None


def test_a_call_in_a_thread_of_its_own_belongs_to_the_run_above_it():
    def bot(text: str, config: RunnableConfig) -> str:
        said: list[str] = []
        call = threading.Thread(
            target=lambda: said.append(says("a").invoke(text, {"callbacks": config["callbacks"]}).text)
        )
        call.start()
        call.join()
        return said[0]

    chain = RunnableLambda(lambda text: text) | RunnableLambda(bot)
    assert harvest(chain, configurable={"session_id": "s"}).only.conversation_id == "s"


def test_a_user_is_recorded_under_a_salted_hash_only():
    for model, metadata in (
        (says("a"), {"user_id": "ann"}),
        (says("a"), {"langfuse_user_id": "ann"}),
        (says("a").bind(user="ann"), {}),
    ):
        kept = KeptCalls()
        model.invoke("hello", {"metadata": metadata, "callbacks": [CollabCallbackHandler(kept, sync=True, salt="s")]})
        assert len(kept.only.user) == 32
        assert "ann" not in str(kept.only)
    assert harvest(says("a"), metadata={"user_id": "ann"}).only.user is None


def test_a_loop_over_conversations_in_one_run_is_as_many_conversations():
    bot = RunnableLambda(lambda text: text) | says("a", "b")

    def loop(texts: list[str]) -> None:
        for text in texts:
            bot.invoke(text, {"configurable": {"thread_id": text}})

    kept = harvest(RunnableLambda(loop), ["one", "two"])
    assert {call.conversation_id: call.replies[0]["content"] for call in kept.calls} == {"one": "a", "two": "b"}


# The answer.


def test_what_is_asked_before_or_after_the_answer_is_no_conversation():
    nodes = [
        ("route", asking(says("billing"))),
        ("bot", answering(says("the answer"))),
        ("title", asking(says("Chat"))),
    ]
    assert replies(harvest(graph_of(*nodes), USER)) == ["the answer"]
    chain = RunnableLambda(lambda text: says("rewritten").invoke(text).text) | says("the answer") | StrOutputParser()
    checked = chain | RunnableLambda(lambda text: says("is fine").invoke(text) and text)
    assert replies(harvest(checked)) == ["the answer"]
    assert replies(harvest(checked | RunnableLambda(lambda text: {"output": f" {text}\n"}))) == ["the answer"]


def test_of_replies_that_the_app_reworks_the_last_is_kept():
    chain = RunnableLambda(lambda text: says("rewritten").invoke(text).text) | says("the answer")
    assert replies(harvest(chain | RunnableLambda(lambda reply: reply.text.upper()))) == ["the answer"]


def test_models_within_tools_are_part_of_the_answer_that_uses_them():
    @tool
    def look_up(order: int) -> str:
        """The state of an order."""
        return says("shipped, says the model").invoke(f"order {order}").text

    def bot(state: MessagesState) -> Any:
        found = look_up.invoke({"order": 7})
        return {"messages": [says("It is on its way.").invoke([*state["messages"], ("user", found)])]}

    assert replies(harvest(graph_of(("bot", bot)), USER)) == ["It is on its way."]


def test_a_stream_that_is_read_to_its_end_is_kept_once():
    kept = KeptCalls()
    chain = RunnableLambda(lambda text: text) | says("the answer") | StrOutputParser()
    config = {"callbacks": [CollabCallbackHandler(kept, sync=True)]}
    assert "".join(chain.stream("hello", config)) == "the answer"
    assert replies(kept) == ["the answer"]


def test_of_replies_that_the_app_reworks_a_tool_step_is_none():
    step = AIMessage("", tool_calls=[{"name": "note", "args": {}, "id": "1"}])

    def bot(text: str) -> str:
        answer = says("the answer").invoke(text).text
        GenericFakeChatModel(messages=iter([step])).invoke("anything to note?")
        return answer.upper()

    assert replies(harvest(RunnableLambda(bot))) == ["the answer"]


def test_an_errand_that_outlives_the_answer_is_no_conversation():
    answered, asked = threading.Event(), threading.Event()

    class SlowModel(FakeListChatModel):
        def _call(self, *args: Any, **options: Any) -> str:
            asked.set()
            answered.wait(10)
            return "a title"

    threads = []

    def bot(text: str, config: RunnableConfig) -> str:
        slow = SlowModel(responses=[])
        threads.append(threading.Thread(target=lambda: slow.invoke(text, {"callbacks": config["callbacks"]})))
        threads[0].start()
        asked.wait(10)
        return says("the answer").invoke(text).text

    kept = harvest(RunnableLambda(bot), metadata={"session_id": "s"})
    assert replies(kept) == ["the answer"]
    answered.set()
    threads[0].join()
    assert [reply["content"] for call in kept.answers for reply in call.replies] == ["the answer"]
    assert kept.beside == ["a title"]


def test_an_errand_that_begins_after_the_answer_is_no_conversation_either():
    configs: list[RunnableConfig] = []

    def bot(text: str, config: RunnableConfig) -> str:
        configs.append(config)
        return says("the answer").invoke(text).text

    kept = harvest(RunnableLambda(bot), metadata={"session_id": "s"})
    says("a title").invoke("hello", {"callbacks": configs[0]["callbacks"]})
    assert [reply["content"] for call in kept.answers for reply in call.replies] == ["the answer"]
    assert kept.beside == ["a title"]


def test_an_answer_that_is_drawn_after_its_run_has_returned_is_one_all_the_same():
    configs: list[RunnableConfig] = []
    kept = harvest(RunnableLambda(lambda text, config: configs.append(config)), metadata={"session_id": "s"})
    says("the answer").invoke("hello", {"callbacks": configs[0]["callbacks"], "metadata": {"session_id": "s"}})
    assert [reply["content"] for call in kept.answers for reply in call.replies] == ["the answer"]


def test_a_run_that_goes_on_beyond_its_time_is_still_recorded():
    now = [0.0]
    kept = KeptCalls()

    def turn(text: str) -> None:
        for number in range(2):
            says(f"{text} {number}").invoke(text)
            now[0] += 35

    def talk(texts: list[str]) -> None:
        for text in texts:
            RunnableLambda(turn).invoke(text)

    handler = CollabCallbackHandler(kept, sync=True, time_limit=60, clock=lambda: now[0])
    RunnableLambda(talk).invoke(["one", "two"], {"callbacks": [handler]})
    assert replies(kept) == ["one 1", "two 0", "two 1"]


def test_handlers_run_where_the_app_runs():
    threads = set()

    def consent(context: CallContext) -> bool:
        threads.add(threading.get_ident())
        return True

    handler = CollabCallbackHandler(KeptCalls(), sync=True, consent=consent)
    asyncio.run(says("a").ainvoke("hello", {"callbacks": [handler]}))
    assert threads == {threading.get_ident()}


# What is left out.


def test_calls_of_the_apps_own_are_left_out():
    assert harvest(says("a"), tags=["collab:ignore"]).calls == []
    assert harvest(graph_of(("bot", answering(says("a")))), USER, tags=["collab:ignore"]).calls == []
    with suppress():
        assert harvest(says("a")).calls == []
    assert replies(harvest(says("a"))) == ["a"]


@pytest.mark.parametrize("mark", [{"lc_source": "summarization"}, {"lc_internal_call": True}])
def test_calls_of_langchains_own_middleware_are_beside_the_conversation(mark):
    kept = harvest(says("a"), metadata={**mark, "session_id": "s"})
    assert (kept.answers, kept.beside) == ([], ["a"])
    assert harvest(says("a"), metadata=mark).calls == []  # beside which, nobody says


def test_an_ignored_call_within_an_answer_leaves_the_answer():
    def bot(text: str) -> str:
        answer = says("the answer").invoke(text).text
        says("a title").invoke(text, {"tags": ["collab:ignore"]})
        with suppress():
            says("a check").invoke(text)
        return answer.upper()

    assert replies(harvest(RunnableLambda(bot))) == ["the answer"]


def test_only_calls_in_nodes_or_runs_of_these_names_are_kept():
    app = graph_of(("bot", answering(says("the answer"))), ("check", asking(says("fine"))))
    assert replies(harvest(app, USER, only=["bot"])) == ["the answer"]
    assert replies(harvest(app, USER, only=["check"])) == ["fine"]
    assert harvest(app, USER, only=["other"]).calls == []
    chain = (RunnableLambda(lambda text: text) | says("a")).with_config(run_name="support")
    assert replies(harvest(chain, only=["support"])) == ["a"]
    assert replies(harvest(says("a"), only=["mine"], run_name="mine")) == ["a"]
    assert harvest(says("a"), only=["mine"]).calls == []


@pytest.mark.parametrize("is_models", [True, False])
def test_simulated_conversations_are_left_out_and_change_nothing_of_the_real_ones(is_models):
    kept = KeptCalls()
    handler = CollabCallbackHandler(kept, sync=True)
    model = says("a", callbacks=[handler]) if is_models else says("a")
    app = graph_of(("bot", answering(model)), checkpointer=InMemorySaver())
    app = app if is_models else app.with_config(callbacks=[handler])
    config: Any = {"configurable": {"thread_id": "t"}}
    app.invoke(USER, config)
    request = ChatRequest(role=CallRole.ASSISTANT, messages=as_messages([{"role": "user", "content": "simulated"}]))
    assert run_sync(as_chat_model(app).achat(request)).content == "a"
    app.invoke(USER, config)
    assert len(kept.calls) == 2
    assert "simulated" not in str(kept.calls)
    assert {call.conversation_id for call in kept.answers} == {"t"}


def test_two_handlers_record_once_and_a_copied_one_is_the_same():
    kept = KeptCalls()
    first, second = CollabCallbackHandler(kept, sync=True), CollabCallbackHandler(kept, sync=True)
    model = says("a", callbacks=[second])
    graph_of(("bot", answering(model))).invoke(USER, {"callbacks": [first, copy.deepcopy(first), copy.copy(first)]})
    assert len(kept.calls) == 1


def test_replies_from_the_apps_cache_are_flagged():
    model = says("a", "b", cache=InMemoryCache())
    assert [harvest(model).only.cached for _ in range(2)] == [False, True]
