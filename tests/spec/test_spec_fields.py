"""Every field of a RunSpec either can change an answer, or only says how the work is done: nothing in between."""

import json
from collections.abc import Iterator
from dataclasses import fields, is_dataclass, replace
from types import NoneType
from typing import Any, get_args, get_origin, get_type_hints

import pytest

from collab_sdk import ChatRequest, Engine, as_chat_model
from collab_sdk.cache.record import call_identity, call_key
from collab_sdk.calibration import Calibration, RewardPair, fit_calibration
from collab_sdk.errors import UsageError
from collab_sdk.jobs import EvaluateJob, ExportJob, ScoreJob, build_scorer
from collab_sdk.messages import as_messages
from collab_sdk.models import CallRole
from collab_sdk.spec import MetricSpec, ModelSettings, ModelSpec, Price, RunSpec, UserSpec, made_with
from collab_sdk.types import Persona

SERVER = ("http://127.0.0.1:1/v1",)
ROLES = ("assistants", "simulators", "judge", "tools_model")

MODEL_DECIDES = {
    "name": "hosted_vllm/another",
    "api_base": ("http://127.0.0.1:2/v1",),
    "settings.temperature": 0.3,
    "settings.max_tokens": 77,
    "settings.top_p": 0.5,
    "settings.seed": 7,
    "settings.stop": ("END",),
    "settings.reasoning_effort": "low",
    "settings.extra_body": {"chat_template_kwargs": {"enable_thinking": False}},
    "settings.extra_headers": {"x-tenant": "env:TENANT"},
}
DECIDES = {
    **{f"{role}.{name}": value for role in ROLES for name, value in MODEL_DECIDES.items()},
    "simulators.weight": 2.0,
    "personas.name": "hasty",
    "personas.traits": ("sceptical",),
    "personas.patience": 1,
    "personas.writes": "one word",
    "personas.forgets": "sizes",
    "metrics.name": "interactivity",
    "metrics.weight": 2.0,
    "metrics.options": {"rate": 1e-2},
    "samples": 4,
    "window": 1,
    "goals_per_turn": 2,
    "min_samples": 1,
    "per": "decision",
    "tools": ("simulated",),
    "calls_per_turn": 3,
    "pairs.candidates": 5,
    "pairs.min_margin": 0.1,
    "pairs.min_confidence": 0.8,
    "pairs.max_pairs": 3,
    "pairs.fixed_samples": True,
    "pairs.judge_groups": True,
    "evaluation.tasks": ("order-desk",),
    "evaluation.by_persona": True,
    "evaluation.exchanges": 3,
}
MODEL_WORK = {"api_key_env": "ANOTHER_KEY", "price.prompt": 1e-6, "price.completion": 2e-6}
WORK = {
    **{f"{role}.{name}": value for role in ROLES for name, value in MODEL_WORK.items()},
    "evaluation.unsafe_exec": True,
    "limits.max_usd": 5.0,
    "limits.max_calls": 7,
    "limits.concurrency": 3,
    "limits.requests_per_minute": 60.0,
    "limits.tokens_per_minute": 6000.0,
    "limits.timeout": 3.0,
    "runner.name": "ray",
    "runner.address": "auto",
    "runner.workers": 2,
    "runner.dashboard": True,
}
REPLICAS = {f"{role}.api_base": (*SERVER, "http://127.0.0.1:3/v1") for role in ROLES}
OF_EVALUATIONS = {name for name in DECIDES if name.startswith("evaluation.")}
"""They decide no score, and so neither the identity of scoring nor what a calibration holds for."""


def leaves(kind: type, place: str = "") -> Iterator[str]:
    """The path of every field that holds no further dataclass."""
    hints = get_type_hints(kind)
    for field in fields(kind):
        path = f"{place}.{field.name}" if place else field.name
        inner = dataclass_in(hints[field.name])
        yield from [path] if inner is None else leaves(inner, path)


def dataclass_in(hint: Any) -> type | None:
    """The dataclass that a hint names: itself, optional, or several in a tuple."""
    if isinstance(hint, type) and is_dataclass(hint):
        return hint
    parts = [part for part in get_args(hint) if part not in (NoneType, Ellipsis)]
    return dataclass_in(parts[0]) if len(parts) == 1 and get_origin(hint) is not list else None


def changed(value: Any, path: str, to: Any) -> Any:
    """`value` with the field at `path` set; of several dataclasses in a tuple the last is changed."""
    name, _, rest = path.partition(".")
    if not rest:
        return replace(value, **{name: to})
    inner = getattr(value, name)
    if isinstance(inner, tuple):
        return replace(value, **{name: (*inner[:-1], changed(inner[-1], rest, to))})
    if inner is None:
        inner = Price(prompt=0.0, completion=0.0) if name == "price" else ModelSettings()
    return replace(value, **{name: changed(inner, rest, to)})


def served(name: str) -> ModelSpec:
    return ModelSpec(name=f"hosted_vllm/{name}", api_base=SERVER)


BASE = RunSpec(
    assistants=(served("bot"),),
    simulators=(UserSpec.of(served("user")),),
    personas=(Persona(name="calm", patience=3),),
    judge=served("judge"),
    tools_model=served("tools"),
    metrics=(MetricSpec(name="goal"), MetricSpec(name="token_penalty")),
)


def provenance(spec: RunSpec) -> dict[str, Any]:
    """Of pairs, which are made by more fields than scores are."""
    return ExportJob(spec=spec).exporter(build_scorer(spec, Engine(cache=None))).made_with


def calibration_of(spec: RunSpec) -> Calibration:
    pairs = [
        RewardPair(
            conversation_id=str(n), turn=0, simulated=n / 10, stderr=0.01, samples=3, observed=n / 20 + n % 2 / 50
        )
        for n in range(12)
    ]
    return fit_calibration(pairs, made_with=provenance(spec))


def is_taken(calibration: Calibration, spec: RunSpec) -> bool:
    scorer = build_scorer(spec, Engine(cache=None))
    scorer.calibration = calibration
    try:
        ExportJob(spec=spec).exporter(scorer)
    except UsageError as error:
        assert str(error).startswith("The calibration is of other scores: its ")
        return False
    return True


def test_every_field_has_a_rule():
    assert sorted(leaves(RunSpec)) == sorted({*DECIDES, *WORK})
    assert not DECIDES.keys() & WORK.keys()


@pytest.mark.parametrize("path", [path for path in DECIDES if path not in OF_EVALUATIONS])
def test_what_can_change_an_answer_changes_provenance_and_identity_and_refuses_a_calibration(path):
    if path == "metrics.name":  # another metric has other options
        spec = replace(BASE, metrics=(MetricSpec(name="goal"), MetricSpec(name=DECIDES[path])))
    else:
        spec = changed(BASE, path, DECIDES[path])
    assert provenance(spec) != provenance(BASE)
    assert ExportJob(spec=BASE).identity() is not None
    assert ExportJob(spec=spec).identity() != ExportJob(spec=BASE).identity()
    if not path.startswith("pairs."):
        assert ScoreJob(spec=spec).identity() != ScoreJob(spec=BASE).identity()
    assert not is_taken(calibration_of(BASE), spec)
    assert is_taken(calibration_of(spec), spec)


@pytest.mark.parametrize("path", sorted(OF_EVALUATIONS))
def test_what_can_change_an_evaluation_changes_its_provenance(path):
    spec = changed(BASE, path, DECIDES[path])
    assert made_with(spec, {}) != made_with(BASE, {})
    assert EvaluateJob(spec=spec, task="order-desk").identity() is None  # never taken for another


@pytest.mark.parametrize("path", [*WORK, *REPLICAS])
def test_what_only_says_how_the_work_is_done_is_written_and_changes_nothing(path):
    spec = changed(BASE, path, (WORK | REPLICAS)[path])
    assert spec != BASE
    assert spec.to_dict() != BASE.to_dict()
    assert RunSpec.from_dict(spec.to_dict()) == spec
    assert provenance(spec) == provenance(BASE)
    assert made_with(spec, {}) == made_with(BASE, {})
    for job in (ScoreJob, ExportJob):
        assert job(spec=spec).identity() == job(spec=BASE).identity()
    assert is_taken(calibration_of(BASE), spec)


def test_a_calibration_is_taken_after_its_way_through_a_file(tmp_path):
    spec = changed(BASE, "simulators.settings.stop", ("END", "STOP"))
    path = tmp_path / "calibration.json"
    path.write_text(json.dumps(calibration_of(spec).to_dict()))
    assert is_taken(Calibration.read(path), spec)


@pytest.mark.parametrize(
    ("where", "value"),
    [("collab_sdk.spec.__version__", "99.0"), ("collab_sdk.spec.prompts_digest", lambda: "of other prompts")],
)
def test_another_version_is_another_provenance_and_its_calibration_is_refused(where, value, monkeypatch):
    before, calibration = provenance(BASE), calibration_of(BASE)
    monkeypatch.setattr(where, value)
    assert provenance(BASE) != before
    assert ExportJob(spec=BASE).identity()["made_with"] != before
    assert not is_taken(calibration, BASE)


@pytest.mark.parametrize("where", ["collab_sdk.spec.__version__", "collab_sdk.version.__version__"])
def test_a_reply_in_the_cache_outlives_a_new_version_of_the_package(where, monkeypatch):
    request = ChatRequest(role=CallRole.JUDGE, messages=as_messages([{"role": "user", "content": "hello"}]))
    model = as_chat_model(served("judge"))
    before = call_key(call_identity(model, request))
    monkeypatch.setattr(where, "99.0")
    assert call_key(call_identity(as_chat_model(served("judge")), request)) == before
