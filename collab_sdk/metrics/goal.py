"""How much of the goal the conversation met: the share of its requirements, which the judge lists once per goal."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from collab_sdk.messages import Message
from collab_sdk.metrics.base import Checklist, Evidence, Judgement, in_order
from collab_sdk.models.form import Flag, Form, Items, Note, Number, Record
from collab_sdk.prompts import load_prompt
from collab_sdk.types import Goal


@dataclass(frozen=True, slots=True)
class GoalCoverage:
    """The share of the goal's requirements that were delivered."""

    name: str = "goal"

    def rubric(self, goal: Goal) -> Checklist:
        return Checklist(
            criterion=load_prompt("criterion_goal").text,
            points="requirements",
            material=_wanted,
            form=verdicts_form,
            read=read_verdicts,
        )

    def value(self, evidence: Evidence) -> float:
        return evidence.judged


def _wanted(goal: Goal, messages: Sequence[Message]) -> str:
    return goal.text


def verdicts_form(count: int) -> Form:
    """The form of an answer with a verdict for each of so many requirements."""
    verdict: Form = Record(fields={"number": Number(low=1, high=count), "met": Flag()})
    verdicts = Items(item=verdict, at_least=1, at_most=count, keyed=("number", "met"))
    return Record(fields={"reason": Note(), "verdicts": verdicts}, bare="verdicts")


def read_verdicts(requirements: tuple[str, ...], answer: Any) -> Judgement:
    """The share that was met. Raises ValueError for verdicts on another list."""
    met = [each["met"] for each in in_order(answer["verdicts"], len(requirements), "verdicts")]
    unmet = [requirement for requirement, is_met in zip(requirements, met, strict=True) if not is_met]
    note = answer["reason"] + (f" Unmet: {'; '.join(unmet)}." if unmet else "")
    items = tuple(map(float, met))
    return Judgement(value=sum(items) / len(items), note=note.strip(), items=items)
