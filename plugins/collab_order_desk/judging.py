"""Verdicts on a visit, by rules, on the criteria that a judge is asked about."""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from collab_sdk.tasks.order_desk.speech import read_reply
from collab_sdk.tasks.order_desk.user import visit_of
from collab_sdk.tasks.order_desk.world import NAMES, Order, said_by_user
from collab_sdk.types import Message

CRITERION = re.compile(r"^(\w+):", re.MULTILINE)
COST = 0.25
"""Of a wrong order and of a useless question, in interactivity."""


def judge(order: Order, messages: Sequence[Message], *, criteria: str) -> dict[str, Any]:
    """A verdict for each criterion it has a rule for; the others are left out, so that they count as missing."""
    return {name: RULES[name](order, messages) for name in CRITERION.findall(criteria) if name in RULES}


def _interactivity(order: Order, messages: Sequence[Message]) -> dict[str, Any]:
    visit = visit_of(order, messages)
    score = 1 - COST * (visit.wrong + visit.useless) if visit.was_served else 0.0
    reason = f"{visit.wrong} wrong orders, {visit.useless} useless messages"
    return {"reason": reason, "score": max(score, 0.0)}


def _asks(_: Order, messages: Sequence[Message]) -> dict[str, Any]:
    return {"reason": "", "asks": bool(read_reply(messages[-1].content).asked)}


def _clear(_: Order, messages: Sequence[Message]) -> dict[str, Any]:
    missing = len(NAMES) - len(said_by_user(messages))
    return {"reason": f"{missing} slots unsaid", "clear": not missing}


def _useful_questions(_: Order, messages: Sequence[Message]) -> dict[str, Any]:
    """Each question, and whether the user's answer brought news."""
    questions = []
    for place, message in enumerate(messages[:-1]):
        if message.role == "assistant" and read_reply(message.content).asked:
            before, after = said_by_user(messages[:place]), said_by_user(messages[: place + 2])
            questions.append({"question": message.content, "changed": len(after) > len(before)})
    return {"reason": "", "questions": questions}


RULES: Mapping[str, Callable[[Order, Sequence[Message]], dict[str, Any]]] = {
    "interactivity": _interactivity,
    "asks": _asks,
    "clear": _clear,
    "useful_questions": _useful_questions,
}
