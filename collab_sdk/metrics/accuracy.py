"""Whether the final answer is the reference answer."""

from dataclasses import dataclass
from functools import partial

from collab_sdk.errors import UsageError
from collab_sdk.metrics.base import Evidence, Judgement, Rubric, read_verdict, verdict
from collab_sdk.metrics.expressions import same_function
from collab_sdk.metrics.numerals import only_number, whole_number
from collab_sdk.prompts import json_line, load_prompt
from collab_sdk.types import Goal

WANTED = "the assistant's final answer to the user's question, alone, without explanation or unit"


@dataclass(frozen=True, slots=True)
class Accuracy:
    """1 if the answer pulled out of the conversation equals the goal's reference, else 0.

    Where the reference is a number and the answer holds exactly one, they are compared exactly; formulas that have the
    same values are the same, LaTeX or not. Other answers that are no verbatim match go to the judge, who sees the
    answer alone, not the conversation (R_ext = S(Extract(t), y_g), section 3 of the paper).
    """

    name: str = "accuracy"

    def check(self, goal: Goal) -> None:
        if not (goal.reference or "").strip():
            raise UsageError(
                'accuracy needs a reference answer: Goal(text=..., reference=...), or "reference" in the log row.'
            )

    def rubric(self, goal: Goal) -> Rubric:
        return Rubric(
            criterion=load_prompt("criterion_accuracy").fill(reference=json_line(goal.reference)),
            form=verdict("correct"),
            read=partial(read_verdict, "correct"),
            compare=partial(compare, goal.reference or ""),
        )

    def artefact(self, goal: Goal) -> str:
        return WANTED

    def value(self, evidence: Evidence) -> float:
        return evidence.judged


def compare(reference: str, answer: str) -> Judgement | None:
    """The verdict on `answer` where it needs no judge: it is empty, the same text or formula, or another number."""
    if not answer.strip():
        return Judgement(value=0.0, note="No final answer was given.")
    if _plain(answer) == _plain(reference):
        return Judgement(value=1.0)
    expected = whole_number(reference)
    given = None if expected is None else only_number(answer)
    if given is not None:
        return Judgement(value=float(given == expected))
    return Judgement(value=1.0) if same_function(reference, answer) else None


def _plain(text: str) -> str:
    # Punctuation inside stays: "x+1" is not "x-1".
    return " ".join(text.casefold().split()).strip(" .,;:!?\"'`*")
