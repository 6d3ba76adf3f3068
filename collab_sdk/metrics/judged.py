"""A metric that is the judge's verdict and nothing else."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from collab_sdk.metrics.base import Evidence, Judgement, Rubric
from collab_sdk.prompts import load_prompt
from collab_sdk.types import Goal


@dataclass(frozen=True, kw_only=True, slots=True)
class Judged:
    """What the judge says to the criterion in `prompts/{criterion}.txt`."""

    name: str
    criterion: str
    read: Callable[[Any], Judgement]

    def rubric(self, goal: Goal) -> Rubric:
        return Rubric(criterion=load_prompt(self.criterion).text, read=self.read)

    def value(self, evidence: Evidence) -> float:
        return evidence.judged
