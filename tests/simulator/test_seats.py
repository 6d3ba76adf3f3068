"""Whoever takes the user's seat: a function, an object of py:, a script, and what each of them does wrong."""

import asyncio
import json
import sys
import threading
from dataclasses import replace

import pytest
from support.cli import chat_row, collab, write_chats
from support.fakes import chat, user_says

from collab_sdk import Engine, Goal, Limits, Rollout, Simulator
from collab_sdk.concurrency import run_sync
from collab_sdk.errors import BudgetError, SampleError, UsageError, UserFaultError
from collab_sdk.simulator import Fault, FunctionUser, PromptedUser, Script, UserTurn, as_user
from collab_sdk.spec import ModelSettings, Price, UserSpec
from collab_sdk.testing import FakeChatModel
from collab_sdk.types import End, Persona

START = chat("hello", "What can I get you?")


def play(user, *, goal="a mocha", window=3, assistant=None, then=None, engine=None):
    answers = assistant or (lambda messages: f"answer {len(messages)}")
    simulator = Simulator(user, then=then, engine=engine or Engine())
    [future] = Rollout(assistant=answers, simulator=simulator, window=window, samples=1).futures(START, goal=goal)
    return future


def said_by_user(future):
    return [message.content for message in future.messages if message.role == "user"]


class Counting:
    """A user who is an object that is called, and asks for all there is."""

    def __init__(self):
        self.seen = []

    def __call__(self, messages, goal, persona=None, turn=-1, sample=""):
        self.seen.append((messages[-1]["content"], goal.text, persona.name, turn, bool(sample)))
        return f"turn {turn}" if turn < 2 else None


class Waiting:
    async def __call__(self, history):
        await asyncio.sleep(0)
        return UserTurn(message=f"{len(history)} so far", end=End.GAVE_UP, reason="enough")


async def waits(messages, *, turn):
    await asyncio.sleep(0)
    return f"number {turn}"


def test_a_function_of_the_messages_plays_the_user():
    future = play(lambda messages, goal: f"{goal.text} after {len(messages)}", window=2)
    assert said_by_user(future) == ["a mocha after 2", "a mocha after 4"]
    assert (future.end, future.user) == (End.WINDOW, "test_a_function_of_the_messages_plays_the_user.<locals>.<lambda>")


def test_an_object_gets_by_name_what_it_asks_for_and_leaves_by_none():
    user = Counting()
    future = play(user, goal=Goal(text="tea", persona=Persona(name="curt")))
    assert said_by_user(future) == ["turn 0", "turn 1"] and future.end is End.USER_DONE
    assert user.seen[0] == ("What can I get you?", "tea", "curt", 0, True)


@pytest.mark.parametrize(("user", "said"), [(waits, "number 0"), (Waiting(), "2 so far")])
def test_functions_and_objects_may_be_async(user, said):
    assert said_by_user(play(user, window=1)) == [said]


def test_a_function_may_say_how_it_leaves():
    future = play(Waiting())
    assert (future.end, future.reason, future.error) == (End.GAVE_UP, "enough", None)


def test_a_function_sees_what_a_user_sees(recwarn):
    seen = []

    def user(messages):
        seen.extend(messages)
        return messages[-1]["content"][:3]

    start = [{"role": "system", "content": "secret rules"}, *START]
    Rollout(assistant="offline", simulator=Simulator(user, engine=Engine()), window=1, samples=1).futures(
        start, goal="a mocha"
    )
    assert seen == [dict(message) for message in START]
    assert not recwarn.list, "who reads the last message alone may do so"


class Watching:
    """A User of one's own, with all that it is told."""

    name, fingerprint, model, settings = "watching", {"user": "watching"}, None, None

    def __init__(self):
        self.seen = []

    async def anext(self, situation, *, engine):
        self.seen.append([(message.role, message.content, message.tool_calls) for message in situation.messages])
        return UserTurn(message="and a tea" if situation.messages else "a mocha")


def test_a_user_of_ones_own_sees_neither_the_system_prompt_nor_calls_nor_results():
    call = {"id": "c1", "type": "function", "function": {"name": "menu", "arguments": "{}"}}
    start = [
        {"role": "system", "content": "secret rules"},
        {"role": "user", "content": "hello"},
        {"role": "assistant", "content": "", "tool_calls": [call]},
        {"role": "tool", "content": "mocha 3.20", "tool_call_id": "c1"},
        {"role": "assistant", "content": "What can I get you?", "tool_calls": [{**call, "id": "c2"}]},
        {"role": "tool", "content": "tea 2.10", "tool_call_id": "c2"},
        {"role": "assistant", "content": "Well?"},
    ]
    user = Watching()
    rollout = Rollout(assistant="offline", simulator=Simulator(user, engine=Engine()), window=1, samples=1)
    rollout.futures(start, goal="a mocha")
    assert user.seen == [[("user", "hello", ()), ("assistant", "What can I get you?", ()), ("assistant", "Well?", ())]]
    rollout.simulator.reply(start[:1], goal="a mocha")
    assert user.seen[1:] == [[]], "nothing has been said"


class Spending:
    """A user who asks a model of their own, whose budget may be spent."""

    def __init__(self, error):
        self.error = error

    def __call__(self, messages):
        raise self.error


class Own:
    """A User of one's own that says what it is given, or raises it."""

    name, fingerprint, model, settings = "own", None, None, None

    def __init__(self, said):
        self.said = said

    async def anext(self, situation, *, engine):
        if isinstance(self.said, Exception):
            raise self.said
        return self.said


@pytest.mark.parametrize(
    ("said", "error"),
    [
        (ValueError("no\nway"), "own as user raised ValueError: no way"),
        (UsageError("no such option"), "own as user raised UsageError: no such option"),
        ("a text", "own as user returned str: expected a UserTurn."),
        (UserTurn(message="hi", end=End.USER_FAILED), "own as user says that it failed: it does not say why"),
        (UserTurn(message="hi", end=End.WINDOW), "the end 'window', which no user decides"),
        (UserTurn(message="hi", end="gone"), "its end is an End or None."),
        (UserTurn(message="", written=True), "own says nothing."),
    ],
)
def test_what_a_user_of_ones_own_does_wrong_is_its_failure_in_one_line(said, error):
    future = play(Own(said))
    assert (future.end, future.reward) == (End.USER_FAILED, None)
    assert future.error is not None and error in future.error and "\n" not in future.error
    with pytest.raises(BudgetError):
        play(Own(BudgetError("max_calls is reached")))


@pytest.mark.parametrize("shares", [(float("inf"), 1), (0, 1), (float("nan"), 1), ("x", 1), (None, 1), (True, 1)])
def test_a_share_is_a_number_above_0(shares):
    with pytest.raises(UsageError, match="a number above 0"):
        Simulator(dict(zip(("offline", "script"), shares, strict=True)))


def test_large_shares_are_drawn_from_too():
    users = Simulator({"offline": 1e308, "script": 1e308}, engine=Engine())
    assert {users.seat(Goal(text="a"), draw=f"{n}").name for n in range(40)} == {"offline", "script"}


def test_a_budget_that_is_spent_within_a_function_ends_the_run():
    with pytest.raises(BudgetError, match="max_calls"):
        play(Spending(BudgetError("max_calls is reached")))


@pytest.mark.parametrize(
    ("error", "fault", "said"),
    [
        (UserFaultError("nobody wants this", fault=Fault.CONTRADICTS), Fault.CONTRADICTS, "nobody wants this"),
        (SampleError("its model fails"), "", "its model fails"),
        (TimeoutError("the menu's server"), "", "Spending as user raised TimeoutError: the menu's server"),
        (UsageError("no such option"), "", "Spending as user raised UsageError: no such option"),
    ],
)
def test_what_a_function_knows_to_be_the_matter_is_said_as_it_is(error, fault, said):
    future = play(Spending(error))
    assert (future.end, future.fault, future.error) == (End.USER_FAILED, fault, said)


def never(messages):
    threading.Event().wait(20)


def broken(messages):
    raise ValueError("no\nway")


@pytest.mark.parametrize(
    ("user", "error"),
    [
        (broken, "broken as user raised ValueError: no way"),
        (lambda messages: sys.exit(3), "as user raised SystemExit: 3"),
        (lambda messages: 7, "as user returned int: expected a text, None to leave, or a UserTurn."),
        (lambda messages: UserTurn(message="hi", end="gone"), "its end is an End or None."),
        (lambda messages: UserTurn(message=None), "its message and reason are texts"),
        (
            lambda messages: UserTurn(message="hi", end=End.USER_FAILED, reason="no idea"),
            "says that it failed: no idea",
        ),
        (lambda messages: UserTurn(message="hi", end=End.CALLS), "the end 'too many calls', which no user decides"),
        (lambda messages: UserTurn(message="hi", end=End.OBSERVED), "the end 'observed', which no user decides"),
        (lambda messages: UserTurn(message="", written=True), "says nothing."),
        (lambda messages: UserTurn(message="How can I help you today?", written=True), "answers as the assistant"),
        (lambda messages: "\x00\x07", "says nothing."),
        (lambda messages: "", "says nothing."),
        (never, "never as user gave no answer in 0.2 s."),
    ],
)
def test_what_a_function_does_wrong_is_the_users_failure_in_one_line(user, error):
    future = play(user, engine=Engine(limits=Limits(timeout=0.2)), assistant="offline")
    assert future.end is End.USER_FAILED and future.reward is None
    assert future.error is not None and error in future.error and "\n" not in future.error


@pytest.mark.parametrize(
    ("user", "error"),
    [
        (lambda: "hi", "cannot play the user: it takes the messages"),
        (lambda messages, mood: "hi", "cannot play the user: it takes the messages"),
        (7, "int cannot play the user"),
        (FunctionUser, "FunctionUser is a class"),
        ([], "The script has no turn"),
        ("script:turns.txt", "names no script"),
        ("plain:", "The model name is empty"),
        ("logs:", "'logs:' names no logs: write logs:PATH."),
        ("logs", "'logs' names no logs"),
        (["hi", " "], "Turn 2 of the script is empty"),
        (["hi", 3], "Turn 2 of the script is int"),
        (["offline", "plain:offline"], r"'offline' in a list is a line of a script.*\{name: share"),
        (["openai/gpt-4o-mini"], r"'openai/gpt-4o-mini' in a list is a line of a script"),
        ("script, then offline", "a script with turns of its own, which Python alone can make"),
        (["hi", None], r"Turn 2 of the script is to be made up, and nobody is there"),
    ],
)
def test_what_can_play_no_user_is_refused_in_one_line(user, error):
    with pytest.raises(UsageError, match=error) as caught:
        Simulator(user)
    assert "\n" not in str(caught.value)


def test_a_line_of_a_script_may_read_like_a_name_where_it_is_said_to_be_one():
    assert said_by_user(play(Script(["offline"]), window=1)) == ["offline"]
    assert said_by_user(play(["offline", "I mean it"], window=1)) == ["offline"]


CODE = """
from collab_sdk.simulator import UserTurn
from collab_sdk.testing import FakeChatModel

def user(messages, goal):
    calls.append(goal)
    return f"with oat milk, {len(messages)}"

calls = []
script = ["large", "no nuts"]
model = FakeChatModel(['{"message": "small", "done": true}'], name="own")

class Own:
    name = "own user"
    fingerprint = {"user": "own", "version": 2}
    model = settings = None

    async def anext(self, situation, *, engine):
        return UserTurn(message=f"turn {situation.turn}")

own = Own()
"""


@pytest.fixture
def module(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(tmp_path))
    path = tmp_path / "own_users.py"
    path.write_text(CODE)
    yield path
    sys.modules.pop("own_users", None)


@pytest.mark.parametrize(
    ("name", "said", "user"),
    [
        ("user", ["with oat milk, 2", "with oat milk, 4"], "py:own_users:user"),
        ("script", ["large", "no nuts"], "script"),
        ("model", ["small"], "own"),
        ("own", ["turn 0", "turn 1"], "own user"),
    ],
)
def test_py_names_a_function_a_list_a_model_or_a_user(module, name, said, user):
    future = play(f"py:own_users:{name}", window=2)
    assert (said_by_user(future), future.user) == (said, user)


def test_a_py_model_is_asked_as_its_spec_says(module):
    module.write_text(CODE.replace('name="own")', 'name="own")\nmodel.takes = frozenset({"temperature"})'))
    spec = UserSpec(name="py:own_users:model", settings=ModelSettings(temperature=0.2))
    assert Simulator([spec]).users[0].settings.temperature == 0.2
    with pytest.raises(UsageError, match="takes no price"):
        Simulator([replace(spec, price=Price(prompt=1.0, completion=1.0))])


@pytest.mark.parametrize("name", ["user", "script", "own"])
@pytest.mark.parametrize(
    "given",
    [
        {"settings": ModelSettings(temperature=0.2)},
        {"price": Price(prompt=1.0, completion=1.0)},
        {"api_base": ("http://127.0.0.1:1/v1",)},
        {"api_key_env": "KEY"},
    ],
)
def test_what_is_said_of_a_model_is_refused_for_a_user_without_one(module, name, given):
    with pytest.raises(UsageError, match=f"py:own_users:{name} takes no settings, address, key or price") as caught:
        Simulator([UserSpec(name=f"py:own_users:{name}", **given)])
    assert "\n" not in str(caught.value)
    with pytest.raises(UsageError, match="script takes no settings, address, key or price"):
        Simulator([UserSpec(name="script", **given)])


@pytest.mark.parametrize(
    "options", [("--simulator-option", "temperature=0.2"), ("--simulator-api-base", "http://x/v1")]
)
def test_options_for_a_py_function_are_refused_in_one_line(module, tmp_path, options):
    logs = write_chats(tmp_path / "chats.jsonl", 1)
    result = collab("score", logs, "--model", "offline", "--simulator", "py:own_users:user", *options)
    assert result.exit_code == 1 and result.stderr.startswith("Error: py:own_users:user takes no settings")


def test_the_code_of_a_py_function_is_part_of_who_it_is(module):
    before = as_user("py:own_users:user").fingerprint
    sys.modules.pop("own_users")
    module.write_text(CODE.replace("oat", "soy"))
    after = as_user("py:own_users:user").fingerprint
    assert before != after and before["user"].startswith("py:own_users:user@")
    assert as_user(broken).fingerprint is None, "nobody knows whether it is the same tomorrow"


def test_the_code_of_a_py_object_is_part_of_who_it_is(module):
    before = as_user("py:own_users:own").fingerprint
    sys.modules.pop("own_users")
    module.write_text(CODE.replace("turn {", "time {"))
    after = as_user("py:own_users:own").fingerprint
    assert before["user"] == after["user"] == "own" and before != after


def test_what_a_py_function_said_is_not_asked_again(module, tmp_path):
    for _ in range(2):
        with Engine(cache=tmp_path / "cache") as engine:
            play("py:own_users:user", window=1, engine=engine)
    assert len(sys.modules["own_users"].calls) == 1


def test_a_script_says_its_turns_and_ends_typed():
    future = play(["large", "no nuts"], window=5)
    assert said_by_user(future) == ["large", "no nuts"]
    assert (future.end, future.error, future.user) == (End.SCRIPT, None, "script")


def test_a_live_user_makes_up_what_a_script_leaves_open_and_goes_on_after_it():
    live = FakeChatModel([user_says("hm"), user_says("bye", done=True)], name="live")
    future = play(["large", None, "no nuts"], then=live, window=5)
    assert said_by_user(future) == ["large", "hm", "no nuts", "bye"]
    assert (future.end, future.user) == (End.USER_DONE, "script, then live")


@pytest.mark.parametrize("user", ["script", Script(["large"])])
def test_who_comes_then_joins_any_script(user):
    live = FakeChatModel([user_says("bye", done=True)], name="live")
    assert said_by_user(play(user, then=live))[-1] == "bye"


def test_no_script_goes_on_after_a_script():
    with pytest.raises(UsageError, match="write its turns behind the others"):
        Simulator(["a", None, "b"], then=["x y"])


def test_nobody_comes_after_who_says_everything():
    with pytest.raises(UsageError, match="leave then= out"):
        Simulator(lambda messages: "hi", then="offline")


def test_a_rows_script_comes_first_whoever_plays():
    goal = Goal(text="a mocha", script=("large", None))
    live = FakeChatModel([user_says("hm"), user_says("bye", done=True)], name="live")
    assert said_by_user(play(live, goal=goal, window=5)) == ["large", "hm", "bye"]
    assert said_by_user(play(["not this"], goal=Goal(text="a mocha", script=("large",)), window=5)) == ["large"]
    alone = play("script", goal=goal)
    assert alone.end is End.USER_FAILED and "left to a live user" in (alone.error or "")


def test_in_evaluate_a_rows_script_goes_on_after_the_opening(tmp_path):
    path, target = tmp_path / "chats.jsonl", tmp_path / "out.jsonl"
    path.write_text(json.dumps(chat_row(0, script=["a large one", "no nuts"])) + "\n")
    result = collab(
        *("evaluate", "-t", "logs", "--data", path, "--model", "offline", "-a", "offline", "--simulator", "script"),
        *("-o", target, "--cache", tmp_path / "cache"),
    )
    assert result.exit_code == 0, result.output
    [line] = [json.loads(line) for line in target.read_text().splitlines()]
    [played] = line["results"][0]["conversations"]
    said = [message["content"] for message in played["messages"] if message["role"] == "user"]
    assert (said, played["end"]) == (["a large one", "no nuts"], "script ended"), "the opening was said before"


def test_the_rows_of_any_task_may_have_a_script(tmp_path):
    path, target = tmp_path / "maths.jsonl", tmp_path / "out.jsonl"
    rows = [{"question": "What is 2 + 2?", "answer": "#### 4", "script": script} for script in (["2 + 2?"], "2 + 2?")]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    result = collab(
        *("evaluate", "-t", "math-chat", "--data", path, "--model", "offline", "-a", "offline"),
        *("--simulator", "script", "-o", target, "--cache", tmp_path / "cache"),
    )
    assert f"{path}:2: script must be a list" in result.stderr, result.output
    [line] = [json.loads(line) for line in target.read_text().splitlines()]
    [played] = line["results"][0]["conversations"]
    assert played["messages"][0] == {"role": "user", "content": "2 + 2?"} and played["end"] == "script ended"


@pytest.mark.parametrize(
    ("name", "end"), [("script", "script ended"), ("py:own_users:own", "window"), ("py:own_users:script", "window")]
)
def test_seats_without_a_model_play_from_the_command_line(module, tmp_path, name, end):
    logs, target = write_chats(tmp_path / "chats.jsonl", 1), tmp_path / "out.jsonl"
    result = collab(
        *("score", logs, "--model", "offline", "--simulator", name, "--samples", 1, "--window", 2),
        *("-o", target, "--cache", tmp_path / "cache"),
    )
    assert result.exit_code == 0, result.output
    rows = [json.loads(line) for line in target.read_text().splitlines()]
    assert {future["end"] for row in rows for future in row["futures"]} == {end}


def test_a_user_who_begins_is_asked_with_an_empty_history():
    rollout = Rollout(assistant="offline", simulator=Simulator(["a mocha"], engine=Engine()), window=1)
    assert run_sync(rollout.aconverse([], goal="drink: mocha")).messages[0].content == "a mocha"


def test_a_turn_of_a_script_is_had_by_its_place():
    simulator = Simulator(["a mocha", "no nuts"], engine=Engine())
    said = [simulator.reply(START, goal="a mocha", turn=turn) for turn in range(3)]
    assert [turn.message for turn in said] == ["a mocha", "no nuts", ""] and said[2].end is End.SCRIPT


def test_a_chat_model_is_told_to_play_and_a_function_is_the_user():
    assert isinstance(as_user(FakeChatModel(["{}"])), PromptedUser)
    assert isinstance(as_user(lambda messages: "hi"), FunctionUser)
    assert isinstance(as_user(("hi",)), Script)
