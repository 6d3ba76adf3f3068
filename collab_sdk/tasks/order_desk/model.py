"""The desk's user behind the ChatModel protocol: plays the user, judges, proposes goals that fit what was said."""

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from random import Random
from typing import Any, Self

from collab_sdk.errors import ModelCallError, UnknownNameError
from collab_sdk.models.base import CallRole, ChatReply, ChatRequest, Price
from collab_sdk.prompts import unfence, unfence_transcript
from collab_sdk.tasks.order_desk import judging, user
from collab_sdk.tasks.order_desk.phrasings import PHRASINGS, TRAINED
from collab_sdk.tasks.order_desk.speech import read_reply
from collab_sdk.tasks.order_desk.world import consistent_orders, goal_text, read_order, said_by_user
from collab_sdk.types import Message

VERSION = 2
"""Part of the cache key: raise it whenever the user behaves otherwise."""
WANTED_GOALS = re.compile(r"at most (\d+) other goals")


class OrderDeskUser:
    """Rules in place of a user model. The same request always gets the same bytes, another `sample` often others.

    `phrasings` is one of `PHRASINGS`; without it, each conversation has one of those that are trained on.
    """

    price = Price(prompt=0.0, completion=0.0)

    def __init__(self, *, phrasings: str | None = None) -> None:
        if phrasings is not None and phrasings not in PHRASINGS:
            raise UnknownNameError.of("phrasings", phrasings, PHRASINGS)
        self.phrasings = phrasings

    @classmethod
    def named(cls, name: str) -> Self:
        """The user called `order-desk` or `order-desk:PHRASINGS`."""
        return cls(phrasings=name.partition(":")[2] or None)

    @property
    def name(self) -> str:
        return f"order-desk:{self.phrasings}" if self.phrasings else "order-desk"

    @property
    def fingerprint(self) -> Mapping[str, Any]:
        return {"model": "order-desk", "phrasings": self.phrasings, "version": VERSION}

    async def achat(self, request: ChatRequest) -> ChatReply:
        prompt = next((message.content for message in request.messages if message.role == "user"), "")
        transcript, random = unfence_transcript(prompt), _random(request)
        try:
            goal = read_order(unfence("goal", prompt))
        except ValueError as error:
            raise ModelCallError(f"{self.name} plays users of the order desk only: {error}.") from None
        if request.role is CallRole.SIMULATOR:
            phrasings = self.phrasings or _habit(transcript)
            message, done = user.reply(goal, transcript, phrasings=phrasings, random=random)
            answer: dict[str, Any] = {"reason": "", "done": done, "message": message}
        elif request.role is CallRole.GOAL:
            refused = [order for message in transcript if (order := _ordered(message)) is not None]
            n = int(WANTED_GOALS.findall(prompt)[-1])
            orders = consistent_orders(said_by_user(transcript), refused=[*refused, goal], n=n, random=random)
            answer = {"goals": [goal_text(order) for order in orders]}
        else:
            answer = judging.judge(goal, transcript, criteria=unfence("criteria", prompt))
        return ChatReply(content=json.dumps(answer), usd=0.0)


def _ordered(message: Message) -> Mapping[str, str] | None:
    return read_reply(message.content).order if message.role == "assistant" else None


def _habit(transcript: Sequence[Message]) -> str:
    """The phrasings of a user who opened the conversation like this."""
    names = sorted(TRAINED)
    return names[_digest(transcript[0].content if transcript else "") % len(names)]


def _random(request: ChatRequest) -> Random:
    said = [f"{message.role}\0{message.content}" for message in request.messages]
    return Random(_digest("\0".join([request.sample, *said])))  # noqa: S311 - no secret


def _digest(text: str) -> int:
    return int.from_bytes(hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()[:8], "big")
