"""A RunSpec as JSON, what of it is refused, and what of it nobody may see."""

import json
import math
import string
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.cli import collab, write_chats
from support.faults import always, refusal
from support.server import LoopbackServer

from collab_sdk import ChatRequest, Engine, as_chat_model
from collab_sdk.cache.record import call_identity
from collab_sdk.concurrency import run_sync
from collab_sdk.errors import CollabError, EndpointError, UsageError
from collab_sdk.jobs import ScoreJob, build_scorer, dumps, loads
from collab_sdk.messages import as_messages
from collab_sdk.metrics import TokenPenalty
from collab_sdk.models import CallRole
from collab_sdk.models.base import settings_for
from collab_sdk.spec import (
    ROLE_DEFAULTS,
    EvaluationSpec,
    Limits,
    MetricSpec,
    ModelSettings,
    ModelSpec,
    PairRule,
    Price,
    RunnerSpec,
    RunSpec,
    UserSpec,
)
from collab_sdk.types import Persona

VALUE = "7f3a-not-like-a-key-91"
"""What stands in an environment variable, and looks like nothing."""
BASE = RunSpec(assistants=(ModelSpec(name="m"),), simulators=(UserSpec(name="m"),), judge=ModelSpec(name="m"))

words = st.text(string.ascii_letters, min_size=1, max_size=8)
numbers = st.floats(0, 1e6, allow_nan=False)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | numbers | words,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(words.map("x_{}".format), inner, max_size=3),
    max_leaves=6,
)
tables = st.dictionaries(words.map("x_{}".format), json_values, max_size=3)


def maybe(strategy):
    return st.none() | strategy


model_settings = st.builds(
    ModelSettings,
    temperature=maybe(st.floats(0, 2)),
    max_tokens=maybe(st.integers(1, 10**6)),
    top_p=maybe(st.floats(0, 1)),
    seed=maybe(st.integers()),
    stop=maybe(st.lists(words, max_size=3).map(tuple)),
    reasoning_effort=maybe(words),
    extra_body=maybe(tables),
    extra_headers=maybe(st.dictionaries(words.map("x-{}".format), words, max_size=2)),
)
models = st.builds(
    ModelSpec,
    name=words,
    api_base=st.lists(words.map("http://{}:8000/v1".format), max_size=2, unique=True).map(tuple),
    api_key_env=maybe(words),
    settings=maybe(model_settings),
    price=maybe(st.builds(Price, prompt=numbers, completion=numbers)),
)
metrics = st.builds(MetricSpec, name=words, weight=numbers, options=tables)
limits = st.builds(
    Limits,
    max_usd=maybe(numbers),
    max_calls=maybe(st.integers(0, 10**9)),
    concurrency=st.integers(1, 999),
    requests_per_minute=maybe(st.floats(0.1, 1e9)),
    tokens_per_minute=maybe(st.floats(0.1, 1e9)),
    timeout=st.floats(0.1, 1e4),
)
personas = st.builds(
    Persona,
    name=st.text(min_size=1, max_size=9),
    traits=st.lists(st.text(max_size=9), max_size=2).map(tuple),
    patience=maybe(st.integers(1, 9)),
    writes=st.text(max_size=9),
    forgets=st.text(max_size=9),
)
specs = st.builds(
    RunSpec,
    assistants=st.lists(models, min_size=1, max_size=3).map(tuple),
    simulators=st.lists(st.builds(UserSpec.of, models, weight=st.floats(0.1, 9)), min_size=1, max_size=3).map(tuple),
    personas=st.lists(personas, max_size=2).map(tuple),
    judge=models,
    tools_model=maybe(models),
    tools=st.lists(st.sampled_from(["recorded", "simulated", "py:own:tools"]), unique=True).map(tuple),
    per=st.sampled_from(["turn", "decision"]),
    calls_per_turn=st.integers(1, 99),
    metrics=st.lists(metrics, max_size=3, unique_by=lambda metric: metric.name).map(tuple),
    samples=st.integers(5, 9),
    window=st.integers(0, 9),
    goals_per_turn=st.integers(1, 9),
    min_samples=maybe(st.integers(1, 5)),
    pairs=st.builds(PairRule, candidates=st.integers(2, 9), min_margin=numbers, fixed_samples=st.booleans()),
    evaluation=st.builds(
        EvaluationSpec,
        tasks=st.lists(words, max_size=2, unique=True).map(tuple),
        exchanges=maybe(st.integers(1, 9)),
        unsafe_exec=st.booleans(),
    ),
    limits=limits,
    runner=st.builds(RunnerSpec, name=words, address=maybe(words), workers=maybe(st.integers(1, 99))),
)


@settings(max_examples=40)
@given(specs)
def test_a_spec_comes_back_from_json_as_it_was(spec):
    text = json.dumps(spec.to_dict(), allow_nan=False)
    assert RunSpec.from_dict(json.loads(text)) == spec
    assert loads(ScoreJob, dumps(ScoreJob(spec=spec))) == ScoreJob(spec=spec)
    assert json.loads(json.dumps(spec.deciding())) == spec.deciding() | {"pairs": spec.deciding()["pairs"]}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"samples": "3"}, 'samples: expected a whole number, not "3"'),
        ({"samples": True}, "samples: expected a whole number, not true"),
        ({"sampels": 3}, "unknown key 'sampels': did you mean 'samples'?"),
        ({"judge": "offline"}, 'judge: expected a table, not "offline"'),
        ({"judge": {}}, "judge: 'name' is missing"),
        ({"assistants": {"name": "m"}}, 'assistants: expected a list, not {"name": "m"}'),
        ({"assistants": [{"name": "m"}, {"name": 3}]}, r"assistants[1].name: expected text, not 3"),
        (
            {"judge": {"name": "m", "settings": {"temperatur": 1}}},
            "judge.settings: unknown key 'temperatur': did you mean 'temperature'?",
        ),
        ({"judge": {"name": "m", "settings": {"stop": "END"}}}, 'judge.settings.stop: expected a list, not "END"'),
        ({"metrics": [{"name": "goal", "options": 3}]}, "metrics[0].options: expected a table, not 3"),
        ({"limits": {"max_usd": "5"}}, 'limits.max_usd: expected a number, not "5"'),
        ({"pairs": {"candidates": 1}}, "candidates is 1; it must be at least 2"),
        ({"judge": {"name": "m", "settings": {"temperature": -1.0}}}, "temperature is -1.0"),
    ],
)
def test_what_is_no_spec_is_told_with_its_place(change, said):
    with pytest.raises(UsageError) as error:
        RunSpec.from_dict(BASE.to_dict() | change)
    assert said in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"temperature": "hot"}, 'temperature: expected a number, not "hot"'),
        ({"temperature": True}, "temperature: expected a number, not true"),
        ({"temperature": float("nan")}, "temperature is nan"),
        ({"max_tokens": 2.5}, "max_tokens: expected a whole number, not 2.5"),
        ({"max_tokens": 0}, "max_tokens is 0"),
        ({"top_p": 1.5}, "top_p is 1.5"),
        ({"stop": "END"}, 'stop: expected a list, not "END"'),
        ({"extra_body": [1]}, "extra_body: expected a table, not [1]"),
        ({"extra_headers": {"x-n": 1}}, "extra_headers.x-n: expected text, not 1"),
    ],
)
def test_a_setting_of_the_wrong_kind_is_refused_where_it_enters(values, said):
    with pytest.raises(UsageError) as error:
        ModelSettings(**values)
    assert said in str(error.value)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: replace(BASE, samples="3"), 'samples: expected a whole number, not "3"'),
        (lambda: replace(BASE, window=True), "window: expected a whole number, not true"),
        (lambda: replace(BASE, samples=0), "samples is 0; it must be at least 1"),
        (lambda: Limits(max_usd="5"), 'max_usd: expected a number, not "5"'),
        (lambda: Limits(timeout=float("inf")), "timeout is inf"),
        (lambda: PairRule(fixed_samples=1), "fixed_samples: expected true or false, not 1"),
        (lambda: RunnerSpec(name=3), "name: expected text, not 3"),
        (lambda: replace(BASE, min_samples=4), "min_samples is 4; it must be from 1 to samples (3)"),
        (lambda: replace(BASE, assistants=()), "assistants is empty"),
        (lambda: replace(BASE, metrics=(MetricSpec(name="goal"),) * 2), "The metric 'goal' is given twice"),
        (lambda: MetricSpec(name="goal", weight=float("nan")), "The weight of goal is nan"),
        (lambda: ModelSpec(name=" "), "The model name is empty"),
    ],
)
def test_a_field_that_cannot_be_is_refused_where_it_enters(make, said):
    with pytest.raises(UsageError) as error:
        make()
    assert said in str(error.value)


def test_numbers_of_numpy_are_numbers():
    numpy = pytest.importorskip("numpy")
    assert json.dumps(ModelSettings(temperature=numpy.float64(0.5)).sent()) == '{"temperature": 0.5}'
    assert PairRule(min_margin=numpy.float64(0.5)) == PairRule(min_margin=0.5)


def test_one_temperature_is_one_key_however_it_is_written():
    assert json.dumps(ModelSettings(temperature=0).sent()) == json.dumps(ModelSettings(temperature=0.0).sent())
    assert ModelSettings(stop=["END"]) == ModelSettings(stop=("END",))


SECRETS = [
    {"extra_headers": {"Authorization": "Basic Zm9vOmJhcg=="}},
    {"extra_headers": {"authorization": "anything"}},
    {"extra_headers": {"api-key": "0123456789"}},
    {"extra_headers": {"X-Api-Key": "0123456789"}},
    {"extra_headers": {"Cookie": "session=1"}},
    {"extra_headers": {"x-tenant": "sk-abcdefgh12345678"}},
    {"extra_body": {"user": "sk-abcdefgh12345678"}},
    {"extra_body": {"a": {"b": [{"api_key": "0123456789"}]}}},
    {"extra_body": {"a": [["Bearer 0123456789"]]}},
    {"stop": ("sk-abcdefgh12345678",)},
    {"reasoning_effort": "hf_abcdefghijklmnopqrst"},
]


@pytest.mark.parametrize("values", SECRETS, ids=str)
def test_a_literal_that_looks_like_a_secret_is_refused_with_the_way_out(values):
    with pytest.raises(UsageError, match=r"looks like a secret.*environment variable.*=env:NAME") as error:
        ModelSettings(**values)
    for text in ("Zm9v", "anything", "0123456789", "session=1", "abcdefgh"):
        assert text not in str(error.value)
    with pytest.raises(UsageError, match="looks like a secret"):
        as_chat_model("hosted_vllm/m", api_base="http://127.0.0.1:1/v1", **values)
    row = {"name": "m", "settings": json.loads(json.dumps(values))}
    with pytest.raises(UsageError, match="looks like a secret"):
        RunSpec.from_dict(BASE.to_dict() | {"judge": row})


def test_a_literal_secret_is_refused_on_the_command_line_in_one_line(tmp_path):
    logs = write_chats(tmp_path / "chats.jsonl", 1)
    result = collab("score", logs, "--model", "m", "--judge-option", "extra_headers.authorization=Bearer abcdef123")
    assert result.exit_code == 1
    assert "extra_headers.authorization=env:NAME" in result.stderr
    assert "abcdef123" not in result.output
    assert len(result.stderr.splitlines()) == 1


def test_ordinary_words_are_no_secrets():
    body = {"chat_template_kwargs": {"enable_thinking": False}, "max_completion_tokens": 5, "top_k": 3}
    ModelSettings(extra_body=body, extra_headers={"x-tenant": "sales", "authorization": "env:TOKEN"})


def asked(**values):
    """A request with these settings."""
    messages = as_messages([{"role": "user", "content": "hello"}])
    return ChatRequest(role=CallRole.ASSISTANT, messages=messages, settings=ModelSettings(**values))


BY_NAME = {
    "extra_headers": {"authorization": "env:GATEWAY", "x-tenant": "sales"},
    "extra_body": {"tenant": {"names": ["env:GATEWAY", "other"]}},
    "reasoning_effort": "env:GATEWAY",
}


def test_a_variable_is_read_when_the_call_is_sent_and_kept_by_its_name(monkeypatch, tmp_path):
    monkeypatch.setenv("GATEWAY", VALUE)
    with LoopbackServer() as server:
        model = as_chat_model("hosted_vllm/tiny", api_base=server.api_base, **BY_NAME)
        request = asked(**BY_NAME)
        run_sync(Engine(cache=None).call(model, request))
        [received] = server.requests
    assert received.headers["authorization"] == VALUE
    assert received.headers["x-tenant"] == "sales"
    assert received.body["tenant"] == {"names": [VALUE, "other"]}
    assert received.body["reasoning_effort"] == VALUE
    identity = json.dumps(call_identity(model, request))
    spec = RunSpec(
        assistants=(
            ModelSpec(name="hosted_vllm/tiny", api_base=(server.api_base,), settings=ModelSettings(**BY_NAME)),
        ),
        simulators=(UserSpec(name="offline"),),
        judge=ModelSpec(name="offline"),
    )
    provenance = json.dumps(build_scorer(spec, Engine(cache=None)).made_with)
    for text in (identity, provenance, dumps(ScoreJob(spec=spec)), json.dumps(spec.to_dict()), repr(spec)):
        assert VALUE not in text
        assert "env:GATEWAY" in text


def test_a_run_with_a_variable_writes_its_value_nowhere(monkeypatch, tmp_path):
    monkeypatch.setenv("GATEWAY", VALUE)
    logs = write_chats(tmp_path / "chats.jsonl", 1)
    given = ["--judge-option", "extra_headers.authorization=env:GATEWAY", "--samples", 1, "--cache-dir", tmp_path / "c"]
    with LoopbackServer() as server:
        arguments = ["--model", "tiny", "--api-base", server.api_base, *given]
        scored = collab("score", logs, *arguments, "-o", tmp_path / "scores.jsonl")
        exported = collab("export-prefs", logs, *arguments, "--min-confidence", 0, "-o", tmp_path / "prefs.jsonl")
        assert {scored.exit_code, exported.exit_code} == {0}, scored.output + exported.output
        assert {request.headers.get("authorization") for request in server.requests} == {None, VALUE}
    for file in tmp_path.rglob("*"):
        if file.is_file():
            assert VALUE.encode() not in file.read_bytes(), file
    for name in ("scores.run.json", "prefs.run.json"):
        run = json.loads((tmp_path / name).read_text())
        assert run["spec"]["judge"]["settings"]["extra_headers"] == {"authorization": "env:GATEWAY"}
        assert run["made_with"]["judge"]["settings"]["extra_headers"] == {"authorization": "env:GATEWAY"}
    assert VALUE not in scored.output + exported.output


@pytest.mark.parametrize("value", [None, ""])
def test_a_variable_that_is_not_set_is_one_line_and_no_call(monkeypatch, tmp_path, value):
    monkeypatch.delenv("GATEWAY", raising=False)
    if value is not None:
        monkeypatch.setenv("GATEWAY", value)
    logs = write_chats(tmp_path / "chats.jsonl", 1)
    with LoopbackServer() as server:
        result = collab(
            *("score", logs, "--model", "tiny", "--api-base", server.api_base),
            *("--judge-option", "extra_headers.authorization=env:GATEWAY"),
        )
        assert server.count == 0
    assert result.exit_code == 1
    lines = [line for line in result.stderr.splitlines() if "GATEWAY" in line]
    assert len(lines) == 1 and "not set" in lines[0]


@pytest.mark.parametrize("way", ["api_key", "api_key_env", "setting"])
def test_a_secret_that_a_server_repeats_is_not_shown(way, monkeypatch):
    secret = f"quite-plain-{way}"
    monkeypatch.setenv("OURS", secret)
    given = {
        "api_key": {"api_key": secret},
        "api_key_env": {"api_key_env": "OURS"},
        "setting": {"extra_headers": {"authorization": "env:OURS"}},
    }[way]
    with LoopbackServer(faults=always(refusal(401, f"Who is {secret}?"))) as server:
        model = as_chat_model("tiny", api_base=server.api_base, **given)
        with pytest.raises(EndpointError, match=r"Who is \[secret\]\?") as error:
            run_sync(model.achat(asked(**{k: v for k, v in given.items() if k == "extra_headers"})))
        assert secret in server.requests[0].headers["authorization"]
    assert secret not in str(error.value)


WITH_PASSWORD = "http://me:hunter2@127.0.0.1:9/v1?deployment=blue&code=topsecret"


def test_user_and_query_of_an_address_are_masked_wherever_it_stands():
    served = ModelSpec(name="hosted_vllm/m", api_base=(WITH_PASSWORD, WITH_PASSWORD.replace(":9/", ":10/")))
    spec = RunSpec(assistants=(served,), simulators=(UserSpec.of(served),), judge=served)
    scorer = build_scorer(spec, Engine(cache=None))
    seen = [repr(spec), repr(served), str(spec.to_dict()), str(spec.deciding()), str(scorer.made_with)]
    seen += [str(scorer.spec.to_dict()), repr(scorer.spec), str(ScoreJob(spec=spec).identity())]
    model = as_chat_model(served)
    seen += [repr(model), str(model.fingerprint)]
    with pytest.raises(CollabError) as error:
        run_sync(as_chat_model("hosted_vllm/m", api_base=WITH_PASSWORD).achat(asked()))
    seen.append(str(error.value))
    for text in seen:
        assert not [secret for secret in ("hunter2", "topsecret", "me:", "blue") if secret in text], text
    assert served.api_base[0] == WITH_PASSWORD  # which is still what is called


def test_settings_of_a_role_are_its_defaults_but_for_what_was_asked():
    model = as_chat_model("hosted_vllm/m", api_base="http://127.0.0.1:1/v1", temperature="default", max_tokens=5)
    assert settings_for(model, ROLE_DEFAULTS["judge"]) == ModelSettings(max_tokens=5)
    plain = as_chat_model("hosted_vllm/m", api_base="http://127.0.0.1:1/v1", max_tokens=5)
    assert settings_for(plain, ROLE_DEFAULTS["judge"]) == ModelSettings(temperature=0.0, max_tokens=5)


def test_a_model_that_is_no_name_cannot_be_in_a_spec():
    with pytest.raises(UsageError, match="py:MODULE:NAME"):
        ModelSpec(name=len)
    with pytest.raises(EndpointError, match="MISSING_KEY"):
        run_sync(as_chat_model("m", api_base="http://127.0.0.1:1/v1", api_key_env="MISSING_KEY").achat(asked()))


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_number_that_no_request_can_hold_is_refused_with_its_place(value):
    with pytest.raises(UsageError, match=r"extra_body\.a\.b\.1 is not a finite number"):
        ModelSettings(extra_body={"a": {"b": [1, value]}})


@pytest.mark.parametrize("rate", [-1.0, math.nan, math.inf])
def test_a_penalty_is_never_a_bonus(rate):
    with pytest.raises(UsageError, match="token_penalty: rate is"):
        TokenPenalty(rate=rate)


def test_a_number_beyond_every_float_is_an_error_of_its_place():
    row = {"name": "m", "settings": {"temperature": 10**400}}
    with pytest.raises(UsageError, match="temperature"):
        RunSpec.from_dict({"assistants": [row], "simulators": [row], "judge": row})
