"""The judge: what was delivered of the goal, and what it cost the user to get there."""

import re
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from collab_sdk.offline.facts import parse_goal
from collab_sdk.offline.progress import GoalProgress, follow
from collab_sdk.offline.reading import read_assistant
from collab_sdk.types import Message

CRITERION = re.compile(r"^(\w+):", re.MULTILINE)
NUMBER = re.compile(r"-?\d[\d,]*(?:\.\d+)?")
NUMBER_WANTED = re.compile(r"\b(?:number|numeric|answer|result)\b", re.IGNORECASE)


def judge(goal: str, transcript: Sequence[Message], *, criteria: str) -> dict[str, Any]:
    """A verdict for each criterion it has a rule for; the others are left out, so that they count as missing."""
    progress = follow(parse_goal(goal), transcript)
    return {name: RULES[name](progress) for name in CRITERION.findall(criteria) if name in RULES}


def extract(transcript: Sequence[Message], *, wanted: str) -> str:
    """The last assistant message that acts, or the last number in it where `wanted` speaks of one."""
    for message in reversed(transcript):
        if message.role == "assistant" and read_assistant(message.content).acts:
            numbers = NUMBER.findall(message.content) if NUMBER_WANTED.search(wanted) else []
            return str(numbers[-1]).rstrip(",").replace(",", "") if numbers else message.content
    return ""


def _goal(progress: GoalProgress) -> dict[str, Any]:
    checklist = [{"requirement": fact.line, "met": fact in progress.delivered} for fact in progress.facts]
    if not checklist:
        checklist = [{"requirement": "the assistant did what it was asked", "met": progress.acted}]
    met = sum(bool(item["met"]) for item in checklist)
    return {"reason": f"{met} of {len(checklist)} delivered", "checklist": checklist}


def _interactivity(progress: GoalProgress) -> dict[str, Any]:
    """0.5, plus what the user could tell because they were asked, less idle questions and corrections."""
    score = 0.5 + 0.2 * progress.learnt - 0.2 * progress.idle_questions - 0.15 * progress.corrections
    if progress.last and not progress.last.acts and not progress.missing:
        score -= 0.05  # a question that nobody needed, though nobody had to answer it either
    reason = (
        f"{progress.learnt} facts learnt by asking, {progress.idle_questions} idle questions, "
        f"{progress.corrections} corrections"
    )
    return {"reason": reason, "score": round(min(max(score, 0.1), 1.0), 2)}


def _clear(progress: GoalProgress) -> dict[str, Any]:
    return {"reason": f"{len(progress.missing)} facts unsaid", "clear": not progress.missing}


def _asks(progress: GoalProgress) -> dict[str, Any]:
    asks = progress.last is not None and not progress.last.acts
    return {"reason": "it waits for an answer" if asks else "it acts", "asks": asks}


def _useful_questions(progress: GoalProgress) -> dict[str, Any]:
    """A question for each fact that the user told because they were asked, and for each that brought none."""
    changed = [True] * progress.learnt + [False] * progress.idle_questions
    return {"reason": "by the facts", "questions": [{"question": "", "changed": each} for each in changed]}


def _accuracy(progress: GoalProgress) -> dict[str, Any]:
    """Only asked about answers that are neither the reference's words nor its number."""
    return {"reason": "it is worded differently, and rules know no other words", "correct": False}


RULES: Mapping[str, Callable[[GoalProgress], dict[str, Any]]] = MappingProxyType(
    {
        "goal": _goal,
        "interactivity": _interactivity,
        "clear": _clear,
        "asks": _asks,
        "accuracy": _accuracy,
        "useful_questions": _useful_questions,
    }
)
