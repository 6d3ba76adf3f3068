"""The desk's user behind the ChatModel protocol: plays the user, judges, proposes goals that fit what was said."""

import hashlib
import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any, Self

from collab_order_desk.phrasings import PHRASINGS, TRAINED
from collab_order_desk.speech import read_reply
from collab_order_desk.till import claims, has_till, till_of
from collab_order_desk.user import HIDDEN, STANDING, Manner, reply, visit_of
from collab_order_desk.world import NAMES, Order, consistent_orders, goal_text, read_order, said_by_user
from collab_sdk.errors import ModelCallError, UnknownNameError
from collab_sdk.messages import Message
from collab_sdk.models import NOTHING, SETTINGS, CallRole, ChatReply, ChatRequest
from collab_sdk.prompts import unfence, unfence_goal, unfence_offered, unfence_transcript
from collab_sdk.spec import Price

VERSION = 4
"""Part of the cache key: raise it whenever the user behaves otherwise."""
CRITERION = re.compile(r"^(\w+):", re.MULTILINE)
HIDDEN_KIND = "hidden"
COST = 0.25
"""Of a wrong order and of a useless question, in interactivity."""
WANTED_GOALS = re.compile(r"at most (\d+) other goals")


class OrderDeskUser:
    """Rules in place of a user model. The same request always gets the same bytes, another `sample` often others.

    `phrasings` is one of `PHRASINGS`; without it, each conversation has one of those that are trained on. A `hidden`
    one is everybody of the hidden population: each conversation has a manner of theirs.
    """

    price = Price(prompt=0.0, completion=0.0)
    takes = SETTINGS  # and rules do not heed them
    overrides: Mapping[str, Any] = NOTHING

    def __init__(self, *, phrasings: str | None = None, hidden: bool = False) -> None:
        if phrasings is not None and phrasings not in PHRASINGS:
            raise UnknownNameError.of("phrasings", phrasings, PHRASINGS)
        self.phrasings = phrasings
        self.hidden = hidden

    @classmethod
    def named(cls, name: str) -> Self:
        """The user called `order-desk`, `order-desk:PHRASINGS` or `order-desk:hidden`."""
        kind = name.partition(":")[2]
        if kind and kind not in (known := {*PHRASINGS, HIDDEN_KIND}):
            raise UnknownNameError.of("user of the order desk", kind, known)
        return cls(hidden=True) if kind == HIDDEN_KIND else cls(phrasings=kind or None)

    @property
    def name(self) -> str:
        kind = HIDDEN_KIND if self.hidden else self.phrasings
        return f"order-desk:{kind}" if kind else "order-desk"

    @property
    def fingerprint(self) -> Mapping[str, Any]:
        known = {"model": "order-desk", "phrasings": self.phrasings, "version": VERSION}
        return {**known, "population": HIDDEN_KIND} if self.hidden else known

    async def achat(self, request: ChatRequest) -> ChatReply:
        prompt = next((message.content for message in request.messages if message.role == "user"), "")
        transcript, random = unfence_transcript(prompt), _random(request)
        try:
            goal = read_order(unfence_goal(prompt))
        except ValueError as error:
            raise ModelCallError(f"{self.name} plays users of the order desk only: {error}.") from None
        if request.role is CallRole.SIMULATOR:
            phrasings = self.phrasings or _habit(transcript)
            manner = manner_of(goal, transcript) if self.hidden else STANDING
            message, done = reply(goal, transcript, phrasings=phrasings, random=random, manner=manner)
            left = "satisfied" if visit_of(goal, transcript).was_served else "gave up"
            ending = left if done else "none"
            answer: dict[str, Any] = {"reason": "", "done": done, "ending": ending, "message": message}
        elif request.role is CallRole.GOAL:
            refused = [order for message in transcript if (order := _ordered(message)) is not None]
            n = int(WANTED_GOALS.findall(prompt)[-1])
            orders = consistent_orders(said_by_user(transcript), refused=[*refused, goal], n=n, random=random)
            answer = {"goals": [goal_text(order) for order in orders]}
        else:
            answer = judge(goal, transcript, criteria=unfence("criteria", prompt), offered=unfence_offered(prompt))
        return ChatReply(content=json.dumps(answer), usd=0.0)


def _ordered(message: Message) -> Mapping[str, str] | None:
    return read_reply(message.content).order if message.role == "assistant" else None


def _habit(transcript: Sequence[Message]) -> str:
    """The phrasings of a user who opened the conversation like this."""
    names = sorted(TRAINED)
    return names[_digest(transcript[0].content if transcript else "") % len(names)]


def manner_of(order: Order, transcript: Sequence[Message]) -> Manner:
    """That of whoever in the hidden population wants this order and opened the conversation like this."""
    opening = transcript[0].content if transcript else ""
    random = Random(_digest(f"manner\0{goal_text(order)}\0{opening}"))  # noqa: S311 - no secret
    [(_, manner)] = random.choices(list(HIDDEN.values()), weights=[share for share, _ in HIDDEN.values()])
    return manner


def _random(request: ChatRequest) -> Random:
    said = [f"{message.role}\0{message.content}" for message in request.messages]
    return Random(_digest("\0".join([request.sample, *said])))  # noqa: S311 - no secret


def _digest(text: str) -> int:
    return int.from_bytes(hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()[:8], "big")


@dataclass(frozen=True, kw_only=True, slots=True)
class Case:
    """What a rule of the judge's goes by."""

    order: Order
    messages: Sequence[Message]
    has_till: bool


def judge(order: Order, messages: Sequence[Message], *, criteria: str, offered: Iterable[str] = ()) -> dict[str, Any]:
    """A verdict for each criterion it has a rule for; the others are left out, so that they count as missing.

    `offered` names the tools that the assistant could call.
    """
    case = Case(order=order, messages=messages, has_till=has_till(messages, offered))
    return {name: RULES[name](case) for name in CRITERION.findall(criteria) if name in RULES}


def _interactivity(case: Case) -> dict[str, Any]:
    visit = visit_of(case.order, case.messages)
    was_served = till_of(case.messages).order == case.order if case.has_till else visit.was_served
    score = 1 - COST * (visit.wrong + visit.useless) if was_served else 0.0
    reason = f"{visit.wrong} wrong orders, {visit.useless} useless messages"
    return {"reason": reason, "score": max(score, 0.0)}


def _grounded(case: Case) -> dict[str, Any]:
    """The orders told to the customer, and whether they were on the till by then."""
    told = [{"claim": "an order", "borne_out": is_on_till} for is_on_till in claims(case.messages)]
    return {"reason": "by the till", "claims": told}


def _asks(case: Case) -> dict[str, Any]:
    said = [message.content for message in case.messages if message.role == "assistant" and message.content]
    return {"reason": "", "asks": bool(said) and bool(read_reply(said[-1]).asked)}


def _clear(case: Case) -> dict[str, Any]:
    missing = len(NAMES) - len(said_by_user(case.messages))
    return {"reason": f"{missing} slots unsaid", "clear": not missing}


def _useful_questions(case: Case) -> dict[str, Any]:
    """Each question, and whether the user's answer brought news."""
    questions, messages = [], case.messages
    for place, message in enumerate(messages[:-1]):
        if message.role == "assistant" and read_reply(message.content).asked:
            before, after = said_by_user(messages[:place]), said_by_user(messages[: place + 2])
            questions.append({"question": message.content, "changed": len(after) > len(before)})
    return {"reason": "", "questions": questions}


RULES: Mapping[str, Callable[[Case], dict[str, Any]]] = {
    "interactivity": _interactivity,
    "grounded": _grounded,
    "asks": _asks,
    "clear": _clear,
    "useful_questions": _useful_questions,
}
