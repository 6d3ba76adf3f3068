"""What a metric says about itself, so that one judge call and one extraction serve them all."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

from collab_sdk.errors import SampleError
from collab_sdk.types import Goal, Message


@dataclass(frozen=True, kw_only=True, slots=True)
class Judgement:
    """What the judge found: a value in [0, 1] and the reason given."""

    value: float
    note: str = ""
    items: tuple[float, ...] = ()
    """What the value is the mean of, for those who count over many conversations."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Rubric:
    """A criterion for the judge, which ends with the JSON form of the answer; `read` makes a judgement of that answer.

    `read` raises ValueError for an answer in another form.
    """

    criterion: str
    read: Callable[[Any], Judgement]
    compare: Callable[[str], Judgement | None] | None = None
    """For a criterion about the metric's artefact alone: what can be said of that artefact without the judge.

    Where it returns None, the judge is asked, in a call of its own that shows the artefact in place of the
    conversation: other metrics' judgements never see what this criterion gives away, such as a reference answer.
    """


@dataclass(frozen=True, kw_only=True, slots=True)
class Evidence:
    """Everything a metric may base its value on."""

    messages: tuple[Message, ...]
    """The whole conversation."""
    goal: Goal
    tokens: Mapping[str, int]
    """Tokens of the response and its future, by role; the shared history would shift every candidate alike."""
    judgement: Judgement | None
    artefact: str | None

    @property
    def judged(self) -> float:
        """The value of the judgement. Raises SampleError if there is none."""
        if self.judgement is None:
            raise SampleError("there is no judgement")
        return self.judgement.value


class Metric(Protocol):
    """One number about a conversation. Adding one: a function of the evidence, or a class like those beside this file.

    A class may have three more methods, each a function of the goal: `check`, which raises UsageError if this goal
    cannot be measured; `rubric`, what to ask the judge (a Rubric or None); `artefact`, what to pull out of the
    conversation, in a few words (text or None).
    """

    @property
    def name(self) -> str:
        """What rows, tables and `--metric` call it."""

    def value(self, evidence: Evidence) -> float | Awaitable[float]:
        """In [0, 1]; costs are negative, in [-1, 0]. Async where it has to wait, as for tests that run."""


def check_goal(metric: Metric, goal: Goal) -> None:
    """Raise UsageError if the metric cannot measure this goal."""
    check: Callable[[Goal], object] = getattr(metric, "check", partial(rubric_of, metric))
    check(goal)


def rubric_of(metric: Metric, goal: Goal) -> Rubric | None:
    """What the metric asks the judge, if anything."""
    rubric: Callable[[Goal], Rubric | None] | None = getattr(metric, "rubric", None)
    return None if rubric is None else rubric(goal)


def artefact_of(metric: Metric, goal: Goal) -> str | None:
    """What the metric pulls out of the conversation, if anything."""
    artefact: Callable[[Goal], str | None] | None = getattr(metric, "artefact", None)
    return None if artefact is None else artefact(goal)


def read_score(answer: Any) -> Judgement:
    """`{"reason": str, "score": 0..1}`"""
    score = _object(answer).get("score")
    if isinstance(score, bool) or not isinstance(score, int | float) or not 0 <= score <= 1:
        raise ValueError('"score" must be a number from 0 to 1')
    return Judgement(value=float(score), note=str(answer.get("reason", "")))


def read_checklist(answer: Any) -> Judgement:
    """`{"reason": str, "checklist": [{"requirement": str, "met": bool}, ...]}`; the value is the share that is met."""
    items = _object(answer).get("checklist")
    if not isinstance(items, list) or not items:
        raise ValueError('"checklist" must be a list with an entry for each requirement')
    met = []
    for item in items:
        if not isinstance(item, dict) or not isinstance(item.get("met"), bool):
            raise ValueError('each entry of "checklist" must have "met": true or false')
        met.append(item["met"])
    unmet = [str(item.get("requirement", "")) for item in items if not item["met"]]
    note = str(answer.get("reason", "")) + (f" Unmet: {'; '.join(unmet)}." if unmet else "")
    return Judgement(value=sum(met) / len(met), note=note.strip())


def _object(answer: Any) -> dict[str, Any]:
    if not isinstance(answer, dict):
        raise ValueError("the answer to each criterion must be an object")
    return answer
