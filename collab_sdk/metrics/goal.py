"""How much of the goal the conversation met."""

from dataclasses import dataclass

from collab_sdk.metrics.base import Evidence, Rubric, read_checklist
from collab_sdk.prompts import load_prompt
from collab_sdk.types import Goal


@dataclass(frozen=True, slots=True)
class GoalCoverage:
    """The share of the goal's requirements that were met, judged as a checklist."""

    name: str = "goal"

    def rubric(self, goal: Goal) -> Rubric:
        return Rubric(criterion=load_prompt("criterion_goal").text, read=read_checklist)

    def artefact(self, goal: Goal) -> None:
        return None

    def value(self, evidence: Evidence) -> float:
        assert evidence.judgement is not None  # noqa: S101 - the judge answers every rubric or the sample is lost
        return evidence.judgement.value
