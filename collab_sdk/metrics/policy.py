"""Whether the assistant kept to the rules of its system prompt, which the judge lists once per prompt."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from collab_sdk.messages import Message
from collab_sdk.metrics.base import Checklist, Evidence, Judgement
from collab_sdk.models.form import Form, Items, Note, Number, Record
from collab_sdk.prompts import MOST_OF_SYSTEM, load_prompt, middle_out
from collab_sdk.types import Goal


@dataclass(frozen=True, slots=True)
class Policy:
    """Of the rules that came into play, the share that was kept; 1 where none did, or there are none."""

    name: str = "policy"

    def rubric(self, goal: Goal) -> Checklist:
        return Checklist(
            criterion=load_prompt("criterion_policy").text,
            points="rules",
            material=_system_prompt,
            form=_form,
            read=_read,
            pointless=Judgement(value=1.0, note="The system prompt has no rules."),
            earned_by_silence=True,
        )

    def value(self, evidence: Evidence) -> float:
        return evidence.judged


def _system_prompt(goal: Goal, messages: Sequence[Message]) -> str:
    said = "\n\n".join(message.content for message in messages if message.role == "system")
    return middle_out(said, MOST_OF_SYSTEM)[0]


def _form(count: int) -> Form:
    numbers = Items(item=Number(low=1, high=count), at_most=count)
    return Record(fields={"reason": Note(), "kept": numbers, "broken": numbers})


def _read(rules: tuple[str, ...], answer: Any) -> Judgement:
    """The share that was kept. Raises ValueError for numbers that name no rule, or one rule twice."""
    kept, broken = answer["kept"], answer["broken"]
    in_play = [*kept, *broken]
    if not set(in_play) <= set(range(1, len(rules) + 1)) or len(set(in_play)) < len(in_play):
        raise ValueError(f'"kept" and "broken" must hold numbers from 1 to {len(rules)}, each at most once')
    named = "; ".join(rules[int(number) - 1] for number in sorted(broken))
    note = answer["reason"] + (f" Broken: {named}." if named else "")
    return Judgement(value=len(kept) / len(in_play) if in_play else 1.0, note=note.strip())
