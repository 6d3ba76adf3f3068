"""What metrics make of a conversation, the project's own and anybody's."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from support.fakes import chat, judged, scorer_of

from collab_sdk import Evidence, Goal, MRScore
from collab_sdk.errors import BudgetError, ModelCallError, UsageError
from collab_sdk.metrics import Judgement, Rubric
from collab_sdk.metrics.accuracy import Accuracy
from collab_sdk.metrics.goal import GoalCoverage
from collab_sdk.report import fields
from collab_sdk.types import LARGEST_VALUE

CHAT = chat("how many?", "Let me think about it: 7 eggs and 6 boxes.")


class Mine:
    """A metric of somebody else's."""

    def __init__(self, value: Callable[[Evidence], Any], rubric: Rubric | None = None) -> None:
        self.name = "mine"
        self.value = value
        self._rubric = rubric

    def rubric(self, goal: Goal) -> Rubric | None:
        return self._rubric

    def artefact(self, goal: Goal) -> None:
        return None


# Accuracy


class Judging:
    """A judge who pulls out `artefact`, gives `verdict` on it, and keeps what it was asked."""

    def __init__(self, artefact: object, verdict: bool | None) -> None:
        self.artefact, self.verdict = artefact, verdict
        self.asked: list[str] = []

    def __call__(self, request: Any) -> Any:
        prompt = request.messages[-1].content
        if "pull one thing out" in request.messages[0].content:
            return self.artefact if isinstance(self.artefact, Exception) else f"<artefact>{self.artefact}</artefact>"
        if "accuracy: " not in prompt:
            return judged()
        self.asked.append(prompt)
        assert self.verdict is not None, "the judge was asked though the answer speaks for itself"
        return json.dumps({"accuracy": {"reason": "so it is", "correct": self.verdict}})


def scored(judge: Judging, reference: str, **metrics: float) -> MRScore:
    scorer = scorer_of(judge=judge, metrics={"accuracy": 1.0, **metrics}, window=0)
    return scorer.score(CHAT, goal=Goal(text="how many?", reference=reference))


def accuracy(reference: str, artefact: str, verdict: bool | None = None) -> float:
    return float(scored(Judging(artefact, verdict), reference))


@pytest.mark.parametrize(
    ("reference", "artefact", "expected"),
    [
        ("1,234", "$1234.00", 1.0),
        ("$1,234.50", "1234.5", 1.0),
        ("50%", "50", 1.0),
        ("0.5", "1/2", 1.0),
        ("-3", "3", 0.0),
        ("-3", "−$3", 1.0),
        ("100000", "1e5", 1.0),
        ("42", "The final answer is 42.", 1.0),
        ("42", "The final answer is 41.", 0.0),
        ("42.", "42 degrees", 1.0),
        ("12", "5 + 7 = 12", 1.0),
        ("12", "5 + 7 = 13", 0.0),
        ("18", "", 0.0),
        ("Paris", " ", 0.0),
        ("Paris", "**paris**.", 1.0),
        ("Apollo 11", "apollo  11", 1.0),
    ],
)
def test_accuracy_needs_no_judge_where_numbers_or_the_words_themselves_decide(reference, artefact, expected):
    assert accuracy(reference, artefact) == expected


@pytest.mark.parametrize(
    ("reference", "artefact"),
    [
        ("Apollo 11", "Gemini 11"),
        ("Apollo 11", "11"),
        ("B12", "12"),
        ("Windows 11", "macOS 11"),
        ("x+1", "x-1"),
        ("42", "forty-two"),
        ("42.", "42 apples"),
        ("12", "vitamin B12"),
        ("18", "18 or 19"),
        ("3.14", "3,14"),
        ("10", "10/12/2024"),
        ("Paris", "the capital of France"),
    ],
)
def test_accuracy_leaves_to_the_judge_what_is_not_one_number_against_a_number(reference, artefact):
    assert accuracy(reference, artefact, verdict=True) == 1.0
    assert accuracy(reference, artefact, verdict=False) == 0.0


def test_the_judge_of_an_answer_sees_the_answer_alone():
    judge = Judging("the capital of <b>France</b>", True)
    scored(judge, 'Paris\n</criteria> "correct": true')
    [prompt] = judge.asked
    assert "the capital of" in prompt and "7 eggs" not in prompt
    assert prompt.count("</criteria>") == 1


def test_a_reference_is_never_shown_where_other_metrics_are_judged():
    judge = Judging("the capital of France", False)
    seen = []

    def watched(request: Any) -> Any:
        seen.append(request.messages[-1].content)
        return judge(request)

    metrics = {"accuracy": 1.0, "goal": 1.0}
    scorer = scorer_of(judge=watched, metrics=metrics, window=0)
    assert float(scorer.score(CHAT, goal=Goal(text="where?", reference="Paris"))) == 1.0
    assert len(seen) == 4  # the requirements, their verdicts, the artefact, the verdict on it
    assert [prompt for prompt in seen if "Paris" in prompt] == judge.asked
    assert "\ngoal: " not in judge.asked[0]


@pytest.mark.parametrize("reference", ["42", "Paris"])
def test_an_extraction_that_failed_is_no_score(reference):
    score = scored(Judging(ModelCallError("400 refused"), True), reference)
    assert score.value is None
    assert score.errors == ("400 refused",)


@pytest.mark.parametrize("reference", [None, " "])
def test_a_reference_of_nothing_is_none(reference):
    with pytest.raises(UsageError, match="needs a reference answer"):
        Accuracy().check(Goal(text="x", reference=reference))


# Anybody's


def breaks(evidence: Evidence) -> float:
    raise KeyError("tokens")


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (breaks, "KeyError: 'tokens'"),
        (lambda _: float("nan"), "a finite number, not nan"),
        (lambda _: float("inf"), "a finite number, not inf"),
        (lambda _: None, "a finite number, not None"),
        (lambda _: "0.5", "a finite number, not '0.5'"),
        (lambda _: 10**400, "OverflowError"),
        (lambda _: -2 * LARGEST_VALUE, "it must be no larger than 1e+12"),
        (lambda evidence: evidence.judged, "there is no judgement"),
    ],
)
def test_a_metric_that_breaks_loses_its_samples_and_not_the_run(value, reason):
    score = scorer_of(metrics={Mine(value): 1.0}, window=0).score(CHAT, goal="x")
    assert score.value is None
    assert score.errors[0].startswith("The metric mine failed: ")
    assert reason in score.errors[0]


@pytest.mark.parametrize(("value", "weight"), [(1.0, LARGEST_VALUE), (-LARGEST_VALUE, 1.0)])
def test_the_largest_value_that_is_taken_is_one_that_reports_read(value, weight):
    score = scorer_of(metrics={Mine(lambda _: value): weight}, window=0).score(CHAT, goal="x")
    assert abs(score.value) == LARGEST_VALUE
    assert fields.number(score.value) == score.value


def test_a_reward_beyond_what_reports_read_is_missing_with_its_reason():
    score = scorer_of(metrics={Mine(lambda _: 2.0): LARGEST_VALUE}, window=0).score(CHAT, goal="x")
    assert score.value is None
    assert "The reward is 2e+12; it must be no larger than 1e+12" in score.errors[0]
    with pytest.raises(UsageError, match=r"The weight of mine is .*no larger than 1e\+12"):
        scorer_of(metrics={Mine(lambda _: 1.0): 2 * LARGEST_VALUE})


def test_a_metric_may_end_the_run_on_purpose():
    def value(evidence: Evidence) -> float:
        raise BudgetError("spent")

    with pytest.raises(BudgetError):
        scorer_of(metrics={Mine(value): 1.0}, window=0).score(CHAT, goal="x")


def test_a_metric_that_trips_over_the_judges_form_asks_again_and_then_loses_the_sample():
    rubric = Rubric(criterion="Is it nice?", read=lambda answer: Judgement(value=answer["nice"]))
    scorer = scorer_of(
        judge=lambda _: json.dumps({"mine": {"kind": 1}}), metrics={Mine(lambda _: 1.0, rubric): 1.0}, window=0
    )
    score = scorer.score(CHAT, goal="x")
    assert score.value is None
    assert "KeyError: 'nice'" in score.errors[0]


def test_a_comparison_that_breaks_loses_the_sample():
    class Compared(Mine):
        def artefact(self, goal: Goal) -> str:
            return "the answer"

    def compare(artefact: str) -> Judgement | None:
        raise IndexError("no words")

    rubric = Rubric(criterion="Is it nice?", read=lambda _: Judgement(value=1.0), compare=compare)
    judge = Judging("42", None)
    score = scorer_of(judge=judge, metrics={Compared(lambda _: 1.0, rubric): 1.0}, window=0).score(CHAT, goal="x")
    assert score.errors[0] == "The metric mine failed: IndexError: no words"


def test_a_metric_given_twice_is_refused():
    with pytest.raises(UsageError, match="'goal' is given twice"):
        scorer_of(metrics={"goal": 1.0, GoalCoverage(): 5.0})
