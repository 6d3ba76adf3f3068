"""Whether the final answer is the reference answer."""

import re
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from collab_sdk.errors import UsageError
from collab_sdk.metrics.base import Evidence, Judgement, Rubric
from collab_sdk.prompts import load_prompt
from collab_sdk.types import Goal

WANTED = "the assistant's final answer to the user's question, alone, without explanation or unit"
NUMBER = re.compile(r"[-+]?\d[\d,]*(?:\.\d+)?(?:/\d+)?")


@dataclass(frozen=True, slots=True)
class Accuracy:
    """1 if the answer pulled out of the conversation equals the goal's reference, else 0.

    Numbers are compared exactly; the judge decides only where the reference is no number (R_ext = S(Extract(t), y_g),
    section 3 of the paper).
    """

    name: str = "accuracy"

    def rubric(self, goal: Goal) -> Rubric | None:
        if goal.reference is None:
            raise UsageError(
                'accuracy needs a reference answer: Goal(text=..., reference=...), or "reference" in the log row.'
            )
        if number(goal.reference) is not None:
            return None
        criterion = load_prompt("criterion_accuracy").fill(reference=" ".join(goal.reference.split()))
        return Rubric(criterion=criterion, read=_read_verdict)

    def artefact(self, goal: Goal) -> str:
        return WANTED

    def value(self, evidence: Evidence) -> float:
        expected, given = number(evidence.goal.reference or ""), number(evidence.artefact or "")
        if expected is not None:
            return float(given == expected)
        if evidence.judgement is None:
            return 0.0
        return evidence.judgement.value


def number(text: str) -> Fraction | None:
    """The number that `text` is, with units and currency signs around it; None if it has none or several."""
    found = NUMBER.findall(text)
    if len(found) != 1 or len(text.split()) > 4:
        return None
    try:
        return Fraction(found[0].replace(",", ""))
    except (ValueError, ZeroDivisionError):
        return None


def _read_verdict(answer: Any) -> Judgement:
    if not isinstance(answer, dict) or not isinstance(answer.get("correct"), bool):
        raise ValueError('"correct" must be true or false')
    return Judgement(value=float(answer["correct"]), note=str(answer.get("reason", "")))
