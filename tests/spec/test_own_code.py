"""The code of metrics of one's own is part of the provenance: with other code, scores mean something else."""

import importlib
import sys
from functools import partial

import pytest

from collab_sdk import MRScorer, Rollout, Simulator
from collab_sdk.errors import UsageError
from collab_sdk.metrics import Evidence
from collab_sdk.spec import MetricSpec


def at_most(evidence: Evidence, limit: int = 3) -> float:
    return float(len(evidence.messages) <= limit)


def closed_over(limit: int):
    def short(evidence: Evidence) -> float:
        return at_most(evidence, limit)

    return short


class AtMost:
    def __init__(self, limit: int) -> None:
        self.limit = limit

    def __call__(self, evidence: Evidence) -> float:
        return at_most(evidence, self.limit)


def made_with(metric) -> dict:
    return MRScorer(Rollout(assistant="offline", simulator=Simulator("offline")), metrics=[metric]).made_with


@pytest.mark.parametrize(
    "make", [lambda n: partial(at_most, limit=n), closed_over, AtMost], ids=["bound", "closed", "object"]
)
def test_a_function_of_other_values_is_another_metric(make):
    assert made_with(make(1)) == made_with(make(1))
    assert made_with(make(1)) != made_with(make(99))


@pytest.mark.parametrize("name", ["kind", "Kind"])
def test_a_helper_that_changes_makes_another_metric(tmp_path, monkeypatch, name):
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "own_metric.py").write_text(
        "from own_helper import worth\n\ndef kind(evidence):\n    return worth()\n\n"
        "class Kind:\n    name = 'kind'\n\n    def value(self, evidence):\n        return worth()\n"
    )
    found = []
    for worth in ("0.5", "0.25"):
        (tmp_path / "own_helper.py").write_text(f"def worth():\n    return {worth}\n")
        importlib.invalidate_caches()
        for module in ("own_metric", "own_helper"):
            monkeypatch.delitem(sys.modules, module, raising=False)
        found.append(made_with(f"py:own_metric:{name}"))
    assert found[0] != found[1]
    assert found[0]["code"].keys() == {"kind"}


def test_the_tests_that_a_runner_loads_beside_a_metric_are_no_part_of_it(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "own_metric.py").write_text("def kind(evidence):\n    return 1.0\n")
    found = []
    for beside in ((), ("conftest_of_mine", "test_of_mine")):
        for name in (*beside, "own_metric"):
            (tmp_path / f"{name}.py").touch()
            monkeypatch.delitem(sys.modules, name, raising=False)
            importlib.invalidate_caches()
            importlib.import_module(name)
        found.append(made_with("py:own_metric:kind"))
    assert found[0] != found[1], "what has another name may be a part of it"
    monkeypatch.delitem(sys.modules, "conftest_of_mine")
    assert made_with("py:own_metric:kind") == found[0]


def test_what_the_package_brings_needs_no_hash():
    assert "code" not in made_with("goal")


class Level:
    name = "level"

    def __init__(self, level: float = 0.5) -> None:
        self.level = level

    def value(self, evidence: Evidence) -> float:
        return self.level


def test_options_of_a_plain_class_are_in_the_provenance():
    specs = [MetricSpec(name=f"py:{__name__}:Level", options={"level": level}) for level in (0.1, 0.9)]
    one, other = map(made_with, specs)
    assert one["metrics"]["level"]["level"] == 0.1
    assert one != other


def test_two_functions_of_one_line_are_two_metrics():
    low, high = (lambda evidence: 0.1), (lambda evidence: 0.9)
    assert made_with(low) != made_with(high)


def test_an_option_may_not_hide_the_weight():
    with pytest.raises(UsageError, match="called weight"):
        MetricSpec(name="own", options={"weight": 5})


def test_a_failing_metric_lays_no_secret_into_a_row():
    def failing(evidence: Evidence) -> float:
        raise RuntimeError("POST failed:\n Authorization: Bearer sk-live-abcdefghijkl")

    scorer = MRScorer(Rollout(assistant="offline", simulator=Simulator("offline")), metrics=[failing])
    turns = [{"role": "user", "content": "a mocha"}, {"role": "assistant", "content": "Which size?"}]
    score = scorer.score(turns, goal="drink: mocha")
    assert all("sk-live" not in future.error and "\n" not in future.error for future in score.futures)
