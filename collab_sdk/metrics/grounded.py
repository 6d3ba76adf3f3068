"""Whether the assistant's claims are borne out by what it did and what came back."""

from dataclasses import dataclass
from typing import Any

from collab_sdk.metrics.base import MOST_ITEMS, Evidence, Judgement, Rubric
from collab_sdk.models.form import Flag, Form, Items, Note, Record
from collab_sdk.prompts import load_prompt
from collab_sdk.types import Conversation, Goal

CLAIM: Form = Record(fields={"claim": Note(), "borne_out": Flag()})
CLAIMS: Form = Record(
    fields={"reason": Note(), "claims": Items(item=CLAIM, at_most=MOST_ITEMS, keyed=("claim", "borne_out"))},
    bare="claims",
)


@dataclass(frozen=True, slots=True)
class Grounded:
    """1 less the share of the assistant's claims about actions and facts that no call or result bears out.

    1 where it claims none. Measured where the logged conversation has calls or tools, or in every one with
    `everywhere`, for bots that run tools of which the log knows nothing.
    """

    everywhere: bool = False
    name: str = "grounded"

    def applies(self, conversation: Conversation) -> bool:
        return self.everywhere or conversation.uses_tools

    def rubric(self, goal: Goal) -> Rubric:
        criterion = load_prompt("criterion_grounded").text
        return Rubric(criterion=criterion, form=CLAIMS, read=_read, earned_by_silence=True)

    def value(self, evidence: Evidence) -> float:
        return evidence.judged


def _read(answer: Any) -> Judgement:
    """The share of claims that are borne out, counted here."""
    items = tuple(float(each["borne_out"]) for each in answer["claims"])
    unfounded = [each["claim"] for each in answer["claims"] if not each["borne_out"]]
    note = answer["reason"] + (f" Not borne out: {'; '.join(unfounded)}." if unfounded else "")
    return Judgement(value=sum(items) / len(items) if items else 1.0, note=note.strip(), items=items)
