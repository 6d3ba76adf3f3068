"""A metric that is the judge's verdict and nothing else."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from collab_sdk.metrics.base import Evidence, Judgement, Rubric
from collab_sdk.models.form import Form
from collab_sdk.prompts import load_prompt
from collab_sdk.types import Goal


@dataclass(frozen=True, kw_only=True, slots=True)
class Judged:
    """What the judge says to the criterion in `prompts/{criterion}.txt`."""

    name: str
    criterion: str
    form: Form
    read: Callable[[Any], Judgement]

    def rubric(self, goal: Goal) -> Rubric:
        return Rubric(criterion=load_prompt(self.criterion).text, form=self.form, read=self.read)

    def value(self, evidence: Evidence) -> float:
        return evidence.judged
