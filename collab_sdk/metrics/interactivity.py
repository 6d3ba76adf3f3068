"""How well the assistant worked with the user (R_LLM in section 3 of the paper)."""

from dataclasses import dataclass

from collab_sdk.metrics.base import Evidence, Rubric, read_score
from collab_sdk.prompts import load_prompt
from collab_sdk.types import Goal


@dataclass(frozen=True, slots=True)
class Interactivity:
    """The judge's score of the collaboration, from 0 to 1."""

    name: str = "interactivity"

    def rubric(self, goal: Goal) -> Rubric:
        return Rubric(criterion=load_prompt("criterion_interactivity").text, read=read_score)

    def artefact(self, goal: Goal) -> None:
        return None

    def value(self, evidence: Evidence) -> float:
        assert evidence.judgement is not None  # noqa: S101 - the judge answers every rubric or the sample is lost
        return evidence.judgement.value
