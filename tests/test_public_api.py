"""What a newcomer sees of the public names: a docstring for each, values that print short."""

import importlib
import inspect
import pkgutil
from collections.abc import Iterator
from typing import Any, get_args

import pytest
from support.fakes import says

import collab_sdk
from collab_sdk import ChatModel, Conversation, Engine, MRScore, MRScorer, PreferenceExporter, Rollout, Simulator
from collab_sdk.concurrency import run_sync
from collab_sdk.evaluation import Evaluator
from collab_sdk.messages import Message
from collab_sdk.models import ModelLike
from collab_sdk.preferences import ScoredConversation
from collab_sdk.types import Future, Goal

ROOMS = sorted(module.name for module in pkgutil.iter_modules(collab_sdk.__path__))


def public_classes() -> Iterator[type]:
    """Those of the front door, and of the rooms all that have a sync and an async form of a method."""
    yield from (value for name in collab_sdk.__all__ if inspect.isclass(value := getattr(collab_sdk, name)))
    for room in ROOMS:
        module = importlib.import_module(f"collab_sdk.{room}")
        for name in getattr(module, "__all__", ()):
            if inspect.isclass(value := getattr(module, name)) and list(twins(value)):
                yield value


def twins(cls: type) -> Iterator[tuple[str, str]]:
    for name in dir(cls):
        if not name.startswith("_") and inspect.iscoroutinefunction(getattr(cls, f"a{name}", None)):
            yield name, f"a{name}"


PUBLIC = sorted(set(public_classes()), key=lambda cls: cls.__name__)


@pytest.mark.parametrize("cls", PUBLIC, ids=lambda cls: cls.__name__)
def test_every_public_method_says_what_it_does(cls):
    members = [cls, *(value for name, value in inspect.getmembers(cls) if name in vars(cls) and name[0] != "_")]
    methods = [one for one in members if callable(one) or isinstance(one, property)]
    assert [one for one in methods if not inspect.getdoc(one)] == []


def test_every_public_function_says_what_it_does():
    functions = [value for name in collab_sdk.__all__ if inspect.isfunction(value := getattr(collab_sdk, name))]
    assert functions
    assert [one for one in functions if not inspect.getdoc(one)] == []


@pytest.mark.parametrize("cls", [cls for cls in PUBLIC if list(twins(cls))], ids=lambda cls: cls.__name__)
def test_a_sync_method_says_what_its_async_twin_says(cls):
    for name, twin in twins(cls):
        assert inspect.getdoc(getattr(cls, name)) == inspect.getdoc(getattr(cls, twin))


def test_the_first_methods_that_anybody_calls_have_a_docstring():
    for method in (MRScorer.score, MRScorer.rank, PreferenceExporter.export, Rollout.futures, Simulator.reply):
        assert len(inspect.getdoc(method) or "") > 40


READ_ELSEWHERE = {
    "Anything.read", "DaemonThreads.submit", "Flag.read", "Form.read", "Items.read", "Note.read", "Number.read",
    "PartialCompletion.add", "PartialMessage.add", "PartialResponse.add",
    "Record.read", "Text.read", "bot_reply", "completion_answer", "conversation_id_in",
    "difference", "dumps",
    "field_of", "format_of", "json_line", "loads", "loosened", "message_answer", "presidio_redactor", "read_goal",
    "message_of", "read_messages", "read_persona", "read_value", "record_client", "response_answer", "run_row",
    "setting", "system_messages", "text_of", "to_json", "token_usage", "tool_calls_in", "tools_of",
}  # fmt: skip
"""Take Any for a reason: JSON of whatever shape, or an object of somebody else's package."""
CALL_PATH = {
    "Engine.call",
    "Engine.dialects",
    "Engine.negotiation",
    "InstructedModel",
    "ReplicatedModel",
    "Roles",
    "ask_json",
    "call_identity",
    "keys_of",
    "settings_for",
    "spec_of",
}
"""Take what as_chat_model made: below them nobody brings a model of their own."""


def public_parameters() -> Iterator[tuple[str, inspect.Parameter]]:
    """Every parameter of every public function, class and method, with the name of what takes it."""
    for module in (collab_sdk, *(importlib.import_module(f"collab_sdk.{room}") for room in ROOMS)):
        for name in getattr(module, "__all__", ()):
            value = getattr(module, name)
            if inspect.isclass(value) and issubclass(value, BaseException):
                continue
            methods = vars(value).items() if inspect.isclass(value) else ()
            own = [(f"{name}.{each}", member) for each, member in methods if each[0] != "_"]
            for called, member in [(name, value), *own]:
                if inspect.isclass(member) or inspect.isfunction(member):
                    yield from ((called, parameter) for parameter in inspect.signature(member).parameters.values())


def test_whoever_takes_a_model_takes_a_name_a_spec_or_any_bot():
    taken = 0
    for called, parameter in public_parameters():
        kinds = get_args(parameter.annotation) or (parameter.annotation,)
        if called not in CALL_PATH and (ChatModel in kinds or Simulator in kinds):
            assert all(kind in kinds for kind in get_args(ModelLike)), f"{called}({parameter})"
            taken += 1
    assert taken > 10


def test_no_public_parameter_is_of_any_type_without_a_reason():
    assert {called for called, parameter in public_parameters() if parameter.annotation is Any} == READ_ELSEWHERE


def test_a_name_is_taken_for_simulator_judge_task_and_bot():
    evaluator = Evaluator("logs", simulator="offline", judge="offline", exchanges=2, engine=Engine())
    start = Conversation(id="one", messages=(), goal=Goal(text="drink: mocha"))
    assert evaluator.task.name == "logs"
    assert isinstance(evaluator.simulator, Simulator)
    [episode] = run_sync(evaluator.aplay_samples("offline", start))
    assert episode.conversation_id == "one"
    assert Rollout(assistant="offline", simulator="offline").simulator.model.name == "offline"


@pytest.mark.parametrize("response", ["latte", "an essay " * 10_000, "\0" * 500, "\n\n'\"" * 99, "\U000e0001" * 500])
def test_a_score_prints_short(response):
    futures = tuple(
        Future(sample=n, messages=(Message(role="user", content="x" * 500),), reward=0.5, reason="long " * 100)
        for n in range(8)
    )
    score = MRScore(response=says(response), futures=futures, value=1.1961234, stderr=0.0312345, goal="a goal " * 100)
    assert len(repr(score)) < 200
    assert repr(score).startswith(
        "MRScore(value=1.196 ± 0.0312, 8/8 samples, response='" if "'" not in response else ""
    )
    assert len(repr(futures[0])) < 200
    assert len(repr(ScoredConversation(goal=Goal(text="g" * 500), turns=()))) < 200


def test_a_score_that_is_missing_prints_as_that():
    failed = Future(sample=0).failed(ValueError("the server went away " * 50))
    score = MRScore(response=says("latte"), futures=(failed,), value=None, stderr=None)
    assert repr(score) == "MRScore(value=None, 0/1 samples, response='latte')"
    assert repr(failed).startswith("Future(sample=0, 0 messages, end='failed', error='the server went away")
    assert len(repr(failed)) < 200


def test_a_notebook_shows_a_score_without_running_what_the_chat_holds():
    hostile = "<script>alert(1)</script>\x1b[2J<img src=x onerror=alert(2)>"
    failed = Future(sample=0, error=hostile)
    score = MRScore(
        response=(Message(role="assistant", content=hostile),),
        futures=(failed, Future(sample=1, reward=1.25)),
        value=1.25,
        stderr=None,
        metrics={"<b>own</b>": 1.25},
    )
    shown = score._repr_html_()
    assert not [tag for tag in ("<script", "<img", "<b>", "\x1b") if tag in shown]
    assert "&lt;script&gt;" in shown
    assert "<th>MR</th><td>1.25</td>" in shown
    assert "1 of 2" in shown
