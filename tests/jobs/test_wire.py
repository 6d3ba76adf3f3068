"""The package's values on the way to another process."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.specs import run_spec

from collab_sdk import Conversation, Future, Goal, Message, ModelSpec, MRScore, TokenPenalty
from collab_sdk.engine.usage import Usage
from collab_sdk.errors import BudgetError, CollabError, InputError, ModelCallError, SampleError
from collab_sdk.jobs.jobs import JOBS, EvaluateJob, ExportJob, ScoreJob
from collab_sdk.jobs.wire import error_of, error_row
from collab_sdk.preferences import Noise, Pilot, PreferenceExporter, ScoredConversation
from collab_sdk.types import End
from collab_sdk.values import dumps, loads

texts = st.text(st.characters(exclude_categories=()), max_size=20)  # lone surrogates too
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=5,
)
messages = st.builds(
    Message,
    role=st.sampled_from(["system", "user", "assistant", "tool"]),
    content=texts,
    name=st.none() | texts,
    tool_calls=st.lists(st.dictionaries(texts, json_values, max_size=2), max_size=2).map(tuple),
)
responses = st.lists(messages, max_size=2).map(tuple)
goals = st.builds(Goal, text=texts, reference=st.none() | texts, style=st.lists(texts, max_size=2).map(tuple))
conversations = st.builds(
    Conversation,
    id=texts,
    messages=st.lists(messages, max_size=4).map(tuple),
    goal=st.none() | goals,
    metadata=st.dictionaries(texts, json_values, max_size=2),
    alternatives=st.dictionaries(st.integers(0, 9), st.lists(responses, max_size=2).map(tuple), max_size=2),
)
futures = st.builds(
    Future,
    sample=st.integers(0, 9),
    messages=st.lists(messages, max_size=2).map(tuple),
    end=st.sampled_from(End),
    metrics=st.dictionaries(texts, st.floats(allow_nan=False), max_size=2),
    reward=st.none() | st.floats(allow_nan=False),
    error=st.none() | texts,
)
scores = st.builds(
    MRScore,
    response=responses,
    futures=st.lists(futures, max_size=2).map(tuple),
    value=st.none() | st.floats(allow_nan=False),
    stderr=st.none() | st.floats(allow_nan=False),
    observed=st.none() | futures,
)


@given(conversations)
def test_a_conversation_comes_back_as_it_was(conversation):
    assert loads(Conversation, dumps(conversation)) == conversation


@given(st.lists(scores, max_size=3))
def test_scores_come_back_as_they_were(scores):
    text = dumps(scores)
    assert loads(ScoreJob.result, text) == scores
    assert text.isascii()


def test_whatever_an_export_makes_of_a_conversation_comes_back_and_is_written_alike(tmp_path):
    from support.cli import chat_row

    from collab_sdk import MRScorer, Rollout, Simulator
    from collab_sdk.concurrency import run_sync
    from collab_sdk.logs.formats.registry import format_of

    found, row = format_of(chat_row(1), None)
    chat = found.read(row)
    exporter = PreferenceExporter(MRScorer(Rollout(assistant="offline", simulator=Simulator("offline"))))
    begun = run_sync(exporter.ascore_conversation(chat, None))
    pilot = Pilot(noise=Noise.of([[[1.0, 0.9], [0.1, 0.2]]] * 9), price=0.1, conversations=9)
    scored = run_sync(exporter.ascore_conversation(chat, pilot, begun))
    assert any(turn.pair for turn in scored.turns)
    assert loads(ScoredConversation, dumps(scored)) == scored
    job = ExportJob(spec=run_spec("a", "b", "c"), pilot=pilot, begun={chat.id: begun})
    assert loads(ExportJob, dumps(job)) == job


@pytest.mark.parametrize(
    "job",
    [
        ScoreJob(spec=run_spec("a", "b", "c", metrics={TokenPenalty(rate=0.1): 1.0})),
        ExportJob(spec=run_spec("a", "b", "c", candidates=4, fixed_samples=True)),
        EvaluateJob(spec=run_spec("proactive:a", "b", "c"), task="order-desk"),
        ScoreJob(
            spec=run_spec(
                "a", tools=("py:own:tools",), tools_model=ModelSpec(name="t"), per="decision", calls_per_turn=3
            )
        ),
    ],
    ids=lambda job: type(job).__name__,
)
def test_a_job_comes_back_by_its_name(job):
    assert loads(JOBS[type(job).__name__], dumps(job)) == job


def test_a_function_cannot_travel_and_is_told_how_to():
    with pytest.raises(CollabError, match=r"^A model in a RunSpec is a name.*py:MODULE:NAME"):
        ModelSpec(name=lambda messages: "hi")


@pytest.mark.parametrize(
    "error", [SampleError("lost"), BudgetError("spent"), ModelCallError("500"), InputError("bad", where="a:1")]
)
def test_an_error_keeps_its_type_and_message(error):
    back = error_of(error_row(error))
    assert type(back) is type(error)
    assert str(back) == str(error)


def test_an_error_of_a_plugin_that_is_not_here_is_still_one_of_ours():
    assert type(error_of(["ElsewhereError", "broken"])) is CollabError


def test_totals_by_role_come_back():
    usage = {"judge": Usage(calls=2, usd=0.1), "assistant": Usage(seconds=1.5)}
    assert loads(dict[str, Usage], dumps(usage)) == usage


def test_what_is_no_value_of_ours_is_refused():
    with pytest.raises(TypeError, match="object cannot travel"):
        dumps({"report": object()})
    for kind, text in ((set[int], "[1]"), (Goal, "{}"), (Goal, "[]"), (Goal, '{"text":1,"reference":null,"style":[]}')):
        with pytest.raises(ValueError, match="no value of"):
            loads(kind, text)
