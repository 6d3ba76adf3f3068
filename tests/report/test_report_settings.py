"""The lines of a report that say what its results were made with."""

import pytest

from collab_sdk.report.settings import settings_table, weights
from collab_sdk.spec import MetricSpec, ModelSettings, ModelSpec, PairRule, RunSpec, UserSpec, made_with

SPEC = RunSpec(
    assistants=(
        ModelSpec(
            name="hosted_vllm/tiny",
            api_base=("http://user:secret@localhost:8000/v1",),
            settings=ModelSettings(temperature=0.2, extra_body={"chat_template_kwargs": {"enable_thinking": False}}),
        ),
    ),
    simulators=(UserSpec(name="py:my_app:user"),),
    judge=ModelSpec(name="openai/gpt-4o-mini"),
    metrics=(MetricSpec(name="goal"), MetricSpec(name="token_penalty", weight=0.5, options={"rate": 1e-4})),
    samples=5,
    min_samples=2,
    pairs=PairRule(fixed_samples=True),
)
MADE_WITH = made_with(SPEC, {"assistant": {"model": "hosted_vllm/tiny"}, "simulator": {"bot": "py:my_app:user@0123"}})


def lines(*made_with, details=None, pairs=False):
    table = settings_table(made_with, details or {}, pairs=pairs)
    return dict(table.rows)


def test_a_provenance_is_shown_in_plain_lines():
    shown = lines(MADE_WITH, pairs=True)
    assert list(shown) == [
        "assistant", "simulator", "judge", "metrics", "futures", "goals", "tools", "pair rule", "versions",
    ]  # fmt: skip
    settings = "temperature 0.2, extra body chat template kwargs enable thinking no"
    assert shown["assistant"] == f"hosted_vllm/tiny, at http://localhost:8000/v1, {settings}"
    assert shown["simulator"] == "py:my_app:user, temperature 1, bot py:my_app:user@0123"
    assert shown["judge"] == "openai/gpt-4o-mini, temperature 0"
    assert shown["metrics"] == "goal × 1; token_penalty × 0.5 (rate 0.0001)"
    assert shown["futures"] == "5 of each response, at most 2 exchanges; a score needs 2"
    assert shown["goals"] == "the row's, or those that settle its chat"
    assert shown["tools"] == "recorded, then simulated; at most 20 calls a turn"
    assert shown["pair rule"] == (
        "the surest two of 3 candidates, margin at least 0.02, confidence at least 0.9, at most 10 pairs from a "
        "conversation, every future played"
    )
    assert shown["versions"].startswith("collab-sdk ")
    assert not any("{" in line or "secret" in line for line in shown.values())


def test_the_pair_rule_is_shown_only_where_it_was_used():
    assert "pair rule" not in lines(MADE_WITH)


def test_provenances_that_differ_are_both_shown_where_they_do():
    other = {**MADE_WITH, "judge": {"name": "offline", "api_base": None, "settings": {}}}
    shown = lines(MADE_WITH, other)
    assert shown["judge"] == "openai/gpt-4o-mini, temperature 0; offline"
    assert shown["goals"] == "the row's, or those that settle its chat"


def test_an_evaluation_names_its_tasks_and_not_the_futures_that_it_does_not_play():
    evaluation = {**MADE_WITH, "evaluation": {"tasks": ["math-chat"], "exchanges": None}}
    evaluation["rows"] = {"file": "maths.jsonl", "limit": 2, "shuffle": True, "seed": 1, "split": None}
    shown = lines(evaluation, details={"exchanges": 8})
    assert shown["tasks"] == "math-chat"
    assert shown["rows"] == "file maths.jsonl, limit 2, shuffle yes, seed 1"
    assert shown["samples"] == "5 of each goal"
    assert shown["exchanges"] == "8"
    assert not shown.keys() & {"metrics", "futures", "goals"}


def test_older_rows_and_further_details_are_shown_as_they_are():
    old = {"assistant": "offline", "metrics": {"goal": 1.0}, "window": 2}
    assert lines(old, details={"eval_fraction": 0.2}) == {
        "assistant": "offline",
        "metrics": "goal 1",
        "window": "2",
        "eval fraction": "0.2",
    }
    assert settings_table([], {}) is None


@pytest.mark.parametrize("odd", [None, 3, "text", [], [3], {"": {}}, {"name": 3, "settings": "none"}, True])
def test_a_provenance_of_any_shape_is_shown(odd):
    for name in MADE_WITH:
        assert lines({**MADE_WITH, name: odd}, pairs=True)
        weights({**MADE_WITH, name: odd})


def test_weights_are_those_of_the_reward():
    assert weights(MADE_WITH) == {"goal": 1.0, "token_penalty": 0.5}
    assert weights({"metrics": {"goal": 1.0, "odd": "text"}}) == {"goal": 1.0}
