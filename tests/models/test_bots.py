"""Whatever bot the user brings is scored by the same five lines, and what goes wrong in it is never a score."""

import asyncio
import copy
import functools
import importlib
import json
import subprocess
import sys
import threading
import time
import uuid
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import pytest
from langchain_core.chat_history import InMemoryChatMessageHistory
from langchain_core.language_models.chat_models import SimpleChatModel
from langchain_core.messages import AIMessage
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate, MessagesPlaceholder
from langchain_core.runnables import RunnableConfig, RunnableLambda
from langchain_core.runnables.history import RunnableWithMessageHistory
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import START, MessagesState, StateGraph
from openai.types.chat import ChatCompletion
from pydantic import BaseModel
from support.fakes import chat, user_says

from collab_sdk import Conversation, Engine, Goal, MRScorer, Rollout, Simulator, as_chat_model
from collab_sdk.concurrency import run_sync
from collab_sdk.engine.retry import RetryPolicy
from collab_sdk.errors import EndpointError, NotEnoughSamplesError, UsageError
from collab_sdk.messages import Ending, as_messages
from collab_sdk.models.base import CallRole, ChatReply, ChatRequest
from collab_sdk.spec import Limits
from collab_sdk.testing import FakeChatModel
from collab_sdk.tokens import count_tokens

# LangChain's own message histories are deprecated, and in many apps.
pytestmark = pytest.mark.filterwarnings("ignore::langchain_core._api.LangChainDeprecationWarning")

CHAT = chat("I need a coffee.", "Which one?")
GOAL = "drink: a mocha"
SAMPLES, WINDOW = 2, 2
INTERACTIVITY = {"future-0": 0.2, "future-1": 0.9}


class Spy:
    """Answers for every bot below, by all that it was shown, and keeps what that was."""

    def __init__(self) -> None:
        self.seen: list[list[str]] = []
        self.threads: list[str] = []

    def answer(self, messages: Any, thread_id: str | None = None) -> str:
        texts = [text_in(message) for message in messages]
        self.seen.append(texts)
        if thread_id is not None:
            self.threads.append(thread_id)
        return answer_to(texts)


def text_in(message: Any) -> str:
    return str(message["content"] if isinstance(message, dict) else message.content)


def answer_to(texts: list[str]) -> str:
    return f"After {len(texts)} messages and {sum(map(len, texts))} letters: {texts[-1]}?"


def plain_function(spy: Spy) -> Any:
    def bot(messages):
        return spy.answer(messages)

    return bot


def async_function(spy: Spy) -> Any:
    async def bot(messages, thread_id):
        await asyncio.sleep(0)
        return spy.answer(messages, thread_id)

    return bot


def a_lambda(spy: Spy) -> Any:
    return lambda history: spy.answer(history)


def callable_object(spy: Spy) -> Any:
    class Bot:
        def __call__(self, messages, *, thread_id):
            return spy.answer(messages, thread_id)

    return Bot()


def async_callable_object(spy: Spy) -> Any:
    class Bot:
        async def __call__(self, messages):
            return spy.answer(messages)

    return Bot()


def bound_method(spy: Spy) -> Any:
    return spy.answer  # takes messages and thread_id


def a_partial(spy: Spy) -> Any:
    def bot(temperature, messages, thread_id, metadata):
        assert temperature == 0.5 and metadata["simulated"] is True
        return spy.answer(messages, thread_id)

    return functools.partial(bot, 0.5)


def async_partial(spy: Spy) -> Any:
    async def bot(messages, model):
        return spy.answer(messages)

    return functools.partial(bot, model="m")


def own_history_by_thread(spy: Spy) -> Any:
    memory: dict[str, list[Any]] = {}

    def bot(messages, thread_id):
        known = memory.setdefault(thread_id, [])
        known.extend(messages[len(known) :])
        return spy.answer(known, thread_id)

    return bot


def returns_a_dict(spy: Spy) -> Any:
    return lambda messages: {"role": "assistant", "content": spy.answer(messages)}


def returns_parts(spy: Spy) -> Any:
    return lambda messages: {"role": "assistant", "content": [{"type": "text", "text": spy.answer(messages)}]}


def returns_the_list(spy: Spy) -> Any:
    return lambda messages: [*messages, {"role": "assistant", "content": spy.answer(messages)}]


def returns_an_ai_message(spy: Spy) -> Any:
    return lambda messages: AIMessage(spy.answer(messages))


def returns_a_state(spy: Spy) -> Any:
    return lambda messages: {"messages": [AIMessage(spy.answer(messages))]}


def returns_a_completion(spy: Spy) -> Any:
    return lambda messages: completion(spy.answer(messages))


def completion(text: str) -> ChatCompletion:
    message = {"role": "assistant", "content": text}
    return ChatCompletion.model_validate(
        {
            "id": "1",
            "object": "chat.completion",
            "created": 0,
            "model": "m",
            "choices": [{"index": 0, "finish_reason": "stop", "message": message}],
            "usage": {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5},
        }
    )


def with_finish(reason: str, text: str | None) -> ChatCompletion:
    done = completion("")
    done.choices[0].finish_reason, done.choices[0].message.content = reason, text
    return done


def client_of(create: Any) -> Any:
    return SimpleNamespace(chat=SimpleNamespace(completions=SimpleNamespace(create=create)))


def openai_client(spy: Spy) -> Any:
    def create(*, model, messages, temperature):
        return completion(spy.answer(messages))

    return as_chat_model(client_of(create), model="m")


def async_openai_client(spy: Spy) -> Any:
    async def create(*, model, messages, temperature):
        return completion(spy.answer(messages))

    return as_chat_model(client_of(create), model="m")


class SpyModel(SimpleChatModel):
    """A LangChain chat model; a system message of a prompt's own is not shown to the spy."""

    spy: Any
    own_system: ClassVar[str] = "Be kind."

    @property
    def _llm_type(self) -> str:
        return "spy"

    def _call(self, messages: Any, stop: Any = None, run_manager: Any = None, **kwargs: Any) -> str:
        return self.spy.answer([message for message in messages if message.content != self.own_system])


def chat_model(spy: Spy) -> Any:
    return SpyModel(spy=spy)


def runnable_function(spy: Spy) -> Any:
    def bot(messages: list) -> str:
        return spy.answer(messages)

    return RunnableLambda(bot)


def lcel_chain(spy: Spy) -> Any:
    prompt = ChatPromptTemplate.from_messages([("system", SpyModel.own_system), MessagesPlaceholder("messages")])
    return prompt | SpyModel(spy=spy) | StrOutputParser()


def lcel_chain_with_an_input(spy: Spy) -> Any:
    prompt = ChatPromptTemplate.from_messages(
        [("system", SpyModel.own_system), MessagesPlaceholder("history"), ("human", "{input}")]
    )
    return prompt | SpyModel(spy=spy) | StrOutputParser()


def graph_with_memory(spy: Spy) -> Any:
    def node(state: MessagesState, config: RunnableConfig) -> Any:
        return {"messages": [("ai", spy.answer(state["messages"], config["configurable"]["thread_id"]))]}

    graph = StateGraph(MessagesState)
    graph.add_node("bot", node)
    graph.add_edge(START, "bot")
    return graph.compile(checkpointer=InMemorySaver())


def agent(spy: Spy) -> Any:
    agents = pytest.importorskip("langchain.agents")
    return agents.create_agent(SpyModel(spy=spy), tools=[], system_prompt=SpyModel.own_system)


def runnable_with_message_history(spy: Spy) -> Any:
    sessions: dict[str, InMemoryChatMessageHistory] = {}

    def session(session_id: str) -> InMemoryChatMessageHistory:
        if session_id not in sessions:
            spy.threads.append(session_id)
        return sessions.setdefault(session_id, InMemoryChatMessageHistory())

    prompt = ChatPromptTemplate.from_messages([MessagesPlaceholder("history"), ("human", "{input}")])
    return RunnableWithMessageHistory(
        prompt | SpyModel(spy=spy), session, input_messages_key="input", history_messages_key="history"
    )


BOTS = [
    plain_function,
    async_function,
    a_lambda,
    callable_object,
    async_callable_object,
    bound_method,
    a_partial,
    async_partial,
    own_history_by_thread,
    returns_a_dict,
    returns_parts,
    returns_the_list,
    returns_an_ai_message,
    returns_a_state,
    returns_a_completion,
    openai_client,
    async_openai_client,
    chat_model,
    runnable_function,
    lcel_chain,
    lcel_chain_with_an_input,
    graph_with_memory,
    agent,
    runnable_with_message_history,
]
NAMES_ITS_THREAD = {
    async_function,
    callable_object,
    bound_method,
    a_partial,
    own_history_by_thread,
    graph_with_memory,
    runnable_with_message_history,
}


def user(request):
    """The user's messages tell which future they are from, and how far it is."""
    return user_says(f"I said a bit more, {request.sample}")


def judge(request):
    transcript = request.messages[-1].content
    return json.dumps(
        {"interactivity": {"score": next(score for name, score in INTERACTIVITY.items() if name in transcript)}}
    )


def scorer_of(bot: Any, *, samples: int = SAMPLES, engine: Engine | None = None) -> MRScorer:
    """The five lines."""
    engine = engine or Engine()
    simulator = Simulator(FakeChatModel(user, name="user"), engine=engine)
    rollout = Rollout(assistant=bot, simulator=simulator, window=WINDOW, samples=samples)
    metrics = {"interactivity": 1.0, "token_penalty": 1.0}
    return MRScorer(rollout, metrics=metrics, judge=FakeChatModel(judge, name="judge"))


def expected() -> tuple[float, list[list[str]]]:
    """By hand: the score, and the histories that the bot is to be shown."""
    rewards, histories = [], []
    for sample in range(SAMPLES):
        texts = [message["content"] for message in CHAT]
        for step in range(WINDOW):
            texts.append(f"I said a bit more, /future-{sample}/{step}")
            histories.append(list(texts))
            texts.append(answer_to(texts))
        rewards.append(INTERACTIVITY[f"future-{sample}"] - 5e-4 * sum(map(count_tokens, texts[1:])))
    return sum(rewards) / len(rewards), histories


@pytest.mark.parametrize("build", BOTS, ids=lambda build: build.__name__)
def test_every_kind_of_bot_is_scored_by_the_same_five_lines(build):
    spy = Spy()
    score = scorer_of(build(spy)).score(CHAT, goal=GOAL)
    value, histories = expected()
    assert (score.errors, score.n_ok) == ((), SAMPLES)
    assert float(score) == pytest.approx(value)
    assert sorted(spy.seen) == sorted(histories)
    assert len(set(spy.threads)) == len(spy.threads) == (len(spy.seen) if build in NAMES_ITS_THREAD else 0)


def test_two_futures_at_once_and_a_second_score_never_share_a_thread():
    spy = Spy()
    scorer = scorer_of(graph_with_memory(spy))
    first, second = scorer.score(CHAT, goal=GOAL), scorer.score(CHAT, goal=GOAL)
    assert float(first) == float(second) == pytest.approx(expected()[0])
    assert len(set(spy.threads)) == 2 * SAMPLES * WINDOW
    assert all(uuid.UUID(thread) for thread in spy.threads)


# Bots that ignore the history.


def test_a_bot_that_reads_only_the_last_message_is_warned_of_exactly_once():
    def forgetful(messages):
        return f"You say {messages[-1]['content']}"

    scorer = scorer_of(forgetful)
    with pytest.warns(UserWarning) as caught:
        score = scorer.score(CHAT, goal=GOAL)
        scorer.score(CHAT, goal=GOAL)
    assert score.n_ok == SAMPLES
    assert len(caught) == 1
    assert "forgetful read only the last message of the history it was given" in str(caught[0].message)


class Body(BaseModel):
    messages: list[dict[str, Any]]


def loop_over(messages: Any) -> str:
    return " ".join(message["content"] for message in messages)


READINGS = {
    "json.dumps": json.dumps,
    "json.dumps with indent": lambda messages: json.dumps(messages, indent=1),
    "list": list,
    "tuple": tuple,
    "loop": loop_over,
    "by index": lambda messages: [messages[index] for index in range(len(messages))],
    "slice": lambda messages: messages[:],
    "last two": lambda messages: messages[-2:],
    "system before": lambda messages: [{"role": "system", "content": "x"}] + messages,  # noqa: RUF005
    "unpacked": lambda messages: [{"role": "system", "content": "x"}, *messages],
    "appended to": lambda messages: messages + [{"role": "user", "content": "x"}],  # noqa: RUF005
    "extend": lambda messages: [].extend(messages),
    "copy method": lambda messages: messages.copy(),
    "copy.copy": copy.copy,
    "copy.deepcopy": copy.deepcopy,
    "reversed": lambda messages: list(reversed(messages)),
    "popped": lambda messages: messages.pop(0),
    "str": str,
    "f-string": lambda messages: f"{messages}",
}


@pytest.mark.parametrize("read", READINGS.values(), ids=READINGS.keys())
def test_a_bot_that_reads_all_messages_is_not_warned_of(read):
    def bot(messages):
        last = messages[-1]["content"]
        read(messages)
        return f"You say {last}"

    assert scorer_of(bot).score(CHAT, goal=GOAL).n_ok == SAMPLES  # a warning would be an error


def test_a_bot_that_hands_the_list_to_pydantic_is_not_warned_of():
    # pydantic reads behind the list's back, so that nothing is seen to be read, not even the last
    def bot(messages):
        return f"You say {Body(messages=messages).messages[-1]['content']}"

    assert scorer_of(bot).score(CHAT, goal=GOAL).n_ok == SAMPLES


def test_a_bot_may_do_with_its_messages_what_it_likes():
    def vandal(messages):
        reply = answer_to([message["content"] for message in messages])
        messages[0]["content"] = "spoilt"
        messages.clear()
        return reply

    assert float(scorer_of(vandal).score(CHAT, goal=GOAL)) == pytest.approx(expected()[0])


def test_a_bot_that_changes_tool_calls_in_place_changes_its_own_copy():
    def vandal(messages):
        messages[1]["tool_calls"][0]["function"]["arguments"] = "spoilt"
        return "Done."

    call = {"id": "1", "type": "function", "function": {"name": "order", "arguments": "{}"}}
    history = [*CHAT, {"role": "user", "content": "And?"}]
    history[1] = {"role": "assistant", "content": "", "tool_calls": [call]}
    answer(as_chat_model(vandal), history)
    assert call["function"]["arguments"] == "{}"


def answer(model: Any, history: Any) -> ChatReply:
    request = ChatRequest(role=CallRole.ASSISTANT, messages=as_messages(history))
    return asyncio.run(model.achat(request))


@pytest.mark.parametrize("reason", ["stop", "length", "content_filter"])
@pytest.mark.parametrize("text", ["So far", None])
def test_the_finish_reason_of_a_completion_is_kept(reason, text):
    reply = answer(as_chat_model(lambda messages: with_finish(reason, text)), CHAT[:1])
    assert (reply.finish_reason, reply.content) == (reason, text or "")


def test_thanks_may_answer_thanks():
    assert answer(as_chat_model(lambda messages: "Thanks!"), [{"role": "user", "content": "Thanks!"}]).content


# Bots imported by name.


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """On the import path; what is imported from it is forgotten after the test."""
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    yield tmp_path
    forget(tmp_path)


def forget(folder: Path) -> None:
    for name, module in list(sys.modules.items()):
        known = getattr(module, "__dict__", {})  # by attribute, torch's lazy modules raise
        if str(folder) in f"{known.get('__path__')}{known.get('__file__')}":
            del sys.modules[name]
    importlib.invalidate_caches()


def name_in_the_cache(folder: Path, spec: str) -> str:
    forget(folder)
    return as_chat_model(spec).fingerprint["bot"]


@pytest.mark.parametrize(
    ("spec", "bot", "helper"),
    [
        ("py:hashed_bot:bot", "hashed_bot.py", "hashed_helper.py"),
        ("py:hashed_app.bots.main:bot", "hashed_app/bots/main.py", "hashed_app/helper.py"),
    ],
)
def test_a_bot_whose_helper_changes_is_another_bot_in_the_cache(folder, spec, bot, helper):
    for file in (folder / bot, folder / helper):
        file.parent.mkdir(parents=True, exist_ok=True)
    (folder / helper).write_text("TEXT = 'one'")
    module = helper.removesuffix(".py").replace("/", ".")
    (folder / bot).write_text(f"from {module} import TEXT\ndef bot(messages):\n    return TEXT\n")
    (folder / "unused.py").write_text("")
    first = name_in_the_cache(folder, spec)
    (folder / "unused.py").write_text("TEXT = 'three'")
    assert name_in_the_cache(folder, spec) == first
    (folder / helper).write_text("TEXT = 'two'")
    assert name_in_the_cache(folder, spec) != first


def test_a_bot_is_the_same_whatever_is_installed_beside_it(folder):
    packages = folder / ".venv" / "lib" / "site-packages"
    packages.mkdir(parents=True)
    (packages / "hashed_library.py").write_text("TEXT = 'one'")
    code = f"import sys\nsys.path.insert(0, {str(packages)!r})\nimport hashed_library\nsys.path.pop(0)\n"
    (folder / "hashed_bot.py").write_text(f"{code}def bot(messages):\n    return 'x'\n")
    first = name_in_the_cache(folder, "py:hashed_bot:bot")
    (packages / "hashed_library.py").write_text("TEXT = 'two'")
    assert name_in_the_cache(folder, "py:hashed_bot:bot") == first


# Bots that fail.


def raises(messages):
    raise ValueError("no such table: orders\nsk-abcdefghijklmnop")


async def raises_async(messages):
    raise KeyError("thread")


def stop_iteration(messages):
    return next(iter([]))


def exits(messages):
    sys.exit("goodbye")


async def exits_in_a_task(messages):
    async def step():
        sys.exit(3)

    await asyncio.gather(step())


def exits_in_langchain(messages: list):
    sys.exit(3)


FAILING = [
    (raises, "raises raised ValueError: no such table: orders [secret]"),
    (raises_async, "raises_async raised KeyError: 'thread'"),
    (stop_iteration, "stop_iteration raised RuntimeError: StopIteration"),
    (exits, "exits raised SystemExit: goodbye"),
    (exits_in_a_task, "exits_in_a_task raised SystemExit: 3"),
    (RunnableLambda(exits_in_langchain), "exits_in_langchain raised SystemExit: 3"),
    (
        RunnableLambda(raises, name="chain").with_types(input_type=list),
        "chain raised ValueError: no such table: orders",
    ),
    (lambda messages: None, "The bot returned None"),
    (lambda messages: messages, "The bot returned a message with role 'user'"),
    (lambda messages: messages[-1] and messages[0:][-1]["content"], "The bot returned the user's own message"),
    (lambda messages: [messages and "not used"][:0], "The bot returned an empty list"),
    (lambda messages: ["text"], "The bot returned a list that does not end with a message"),
    (lambda messages: 42, "The bot returned int"),
    (lambda messages: {"reply": "hello"}, "The bot returned dict"),
    (lambda messages: {"role": "assistant", "content": None}, "The bot returned dict"),
    (lambda messages: {"role": "assistant", "content": 7}, "cannot be read"),
    (lambda messages: b"bytes", "The bot returned a list that does not end"),
]


@pytest.mark.parametrize(("bot", "problem"), FAILING, ids=[problem for _, problem in FAILING])
def test_a_bot_that_fails_is_a_missing_sample_and_never_a_score(bot, problem):
    score = scorer_of(bot).score(CHAT, goal=GOAL)
    assert (score.n_ok, score.value, score.metrics) == (0, None, {})
    assert len(score.errors) == SAMPLES
    assert all(problem in error and "\n" not in error for error in score.errors)
    with pytest.raises(NotEnoughSamplesError, match=r"0 of 2 samples succeeded\. First failure: "):
        float(score)


def test_a_bot_that_only_ever_fails_ends_the_run_with_its_own_words():
    with pytest.raises(EndpointError, match=r"raises has never answered; the run stops.* no such table: orders"):
        score_two_chats(scorer_of(raises, samples=3))


def score_two_chats(scorer):
    async def main():
        goal, messages = Goal(text=GOAL), as_messages(CHAT)
        chats = [Conversation(id=name, messages=messages, goal=goal) for name in ("one", "two")]
        async for outcome in scorer.ascore_all(chats):
            if outcome.error is not None:
                raise outcome.error

    run_sync(main())


def test_a_bot_that_fails_now_and_then_loses_those_samples_alone():
    def moody(messages):
        if "future-1" in messages[-1]["content"] and messages[0]:
            raise ValueError("not today")
        return answer_to([message["content"] for message in messages])

    score = scorer_of(moody).score(CHAT, goal=GOAL)
    assert score.n_ok == 1
    assert score.errors == (f"{moody.__qualname__} raised ValueError: not today",)


def test_an_empty_answer_is_asked_for_once_more_and_then_judged_as_what_the_user_got():
    async def no_wait(seconds):
        pass

    calls = []

    def silent(messages):
        calls.append(list(messages))
        return "  "

    score = scorer_of(silent, engine=Engine(sleep=no_wait)).score(CHAT, goal=GOAL)
    assert score.n_ok == score.n_broken_off == SAMPLES
    replies = [message for future in score.futures for message in future.messages if message.role == "assistant"]
    assert {message.ended for message in replies} == {Ending.EMPTY}
    assert len(calls) == 2 * len(replies)


@pytest.mark.parametrize("bot", [lambda: "x", lambda messages, order_id: "x", lambda *args: "x"])
def test_a_function_that_cannot_be_called_with_messages_is_refused_at_once(bot):
    with pytest.raises(UsageError, match="cannot be called"):
        as_chat_model(bot)


@pytest.mark.parametrize("thing", [None, 7, object(), ["a"], {"role": "user"}])
def test_a_thing_that_is_no_bot_is_refused_with_what_a_bot_may_be(thing):
    with pytest.raises(UsageError, match="is not a bot: expected a model name, a function of messages"):
        as_chat_model(thing)


def test_a_client_needs_the_name_of_its_model():
    with pytest.raises(UsageError, match="model='gpt-4o-mini'"):
        as_chat_model(client_of(print))


# Event loops and threads.


@pytest.mark.parametrize("method", ["score", "rank", "score_conversation"])
def test_the_sync_form_inside_a_running_loop_names_the_async_one(method):
    scorer = scorer_of(plain_function(Spy()))
    arguments = {"score": [CHAT], "rank": [CHAT[:1], ["a", "b"]], "score_conversation": [None]}[method]
    options = {} if method == "score_conversation" else {"goal": GOAL}

    async def main():
        with pytest.raises(UsageError, match=rf"use `await MRScorer\.a{method}\(\.\.\.\)` instead"):
            getattr(scorer, method)(*arguments, **options)

    asyncio.run(main())


@pytest.mark.parametrize("build", [plain_function, async_function, graph_with_memory, openai_client])
def test_one_scorer_serves_the_users_own_loops_and_sync_calls_in_turn(build):
    scorer = scorer_of(build(Spy()))

    async def main():
        one, two = await asyncio.gather(scorer.ascore(CHAT, goal=GOAL), scorer.ascore(CHAT, goal=GOAL))
        return float(one), float(two)

    value = pytest.approx(expected()[0])
    assert asyncio.run(main()) == (value, value)
    assert float(scorer.score(CHAT, goal=GOAL)) == value
    assert asyncio.run(main()) == (value, value)


def test_sync_bots_run_side_by_side_and_do_not_stop_the_users_loop():
    together = threading.Barrier(SAMPLES)
    ticks = []

    def bot(messages):
        if len(messages) > len(CHAT) + 1:
            together.wait(timeout=10)  # returns only if the other future is in its second exchange as well
        return answer_to([message["content"] for message in messages])

    async def main():
        scoring = asyncio.ensure_future(scorer_of(bot).ascore(CHAT, goal=GOAL))
        while not scoring.done():
            ticks.append(time.monotonic())
            await asyncio.sleep(0)
        return await scoring

    assert float(asyncio.run(main())) == pytest.approx(expected()[0])
    assert len(ticks) > 1


@pytest.mark.parametrize("wrap", [lambda bot: bot, RunnableLambda], ids=["function", "runnable"])
def test_a_bot_that_blocks_forever_is_a_missing_sample(wrap):
    forever = threading.Event()

    def bot(messages: list):
        texts = [text_in(message) for message in messages]
        if "future-1" in texts[-1]:
            forever.wait()
        return answer_to(texts)

    engine = Engine(retry=RetryPolicy(attempts=1), limits=Limits(timeout=0.1))
    try:
        score = scorer_of(wrap(bot), engine=engine).score(CHAT, goal=GOAL)
    finally:
        forever.set()
    assert score.n_ok == 1
    assert score.errors[0].endswith("gave no answer in 0.1 s.")


BLOCKING = """
import threading
from langchain_core.runnables import RunnableLambda
from collab_sdk import Engine, MRScorer, Rollout, Simulator
from collab_sdk.engine.retry import RetryPolicy
from collab_sdk.errors import EndpointError
from collab_sdk.spec import Limits
from collab_sdk.testing import FakeChatModel

def blocked(messages: list):
    threading.Event().wait()

for bot in (blocked, RunnableLambda(blocked)):
    engine = Engine(limits=Limits(timeout=0.05), retry=RetryPolicy(attempts=1))
    user = FakeChatModel(lambda _: '{"message": "more", "done": false}')
    rollout = Rollout(assistant=bot, simulator=Simulator(user, engine=engine))
    scorer = MRScorer(rollout, metrics={"token_penalty": 1.0})
    try:
        scorer.score([{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}], goal="x")
    except EndpointError as error:
        print(error)
"""


@pytest.mark.slow
def test_a_process_ends_even_if_its_bot_blocks_forever():
    done = subprocess.run([sys.executable, "-c", BLOCKING], capture_output=True, text=True, timeout=60)
    line = "blocked has never answered; the run stops. blocked gave no answer in 0.05 s."
    assert (done.stdout.splitlines(), done.stderr, done.returncode) == ([line, line], "", 0)
