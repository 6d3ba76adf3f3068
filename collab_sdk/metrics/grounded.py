"""Whether the assistant's claims are borne out by what it did and what came back."""

from dataclasses import dataclass

from collab_sdk.metrics.base import SCORE, Evidence, Rubric, read_score
from collab_sdk.prompts import load_prompt
from collab_sdk.types import Conversation, Goal


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
        return Rubric(criterion=load_prompt("criterion_grounded").text, form=SCORE, read=read_score)

    def value(self, evidence: Evidence) -> float:
        return evidence.judged
