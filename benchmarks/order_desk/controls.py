"""Rewards other than the desk's own, and a bot that cannot be told to be proactive, to see what each part does."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from collab_order_desk import exact_order, right_slots
from collab_order_desk.learning.recipe import TOKEN_RATE
from collab_order_desk.speech import read_reply
from collab_order_desk.world import said_by_user

from collab_sdk import Evidence, Metric, TokenPenalty, as_chat_model
from collab_sdk.models import ChatModel, ChatReply, ChatRequest
from collab_sdk.prompts import load_prompt
from collab_sdk.spec import Price
from collab_sdk.types import Goal

MEASURES = {metric.name: metric for metric in (exact_order(), right_slots())}


def task_only() -> Mapping[Metric | str, float]:
    return {exact_order(): 1.0}


def without_penalty() -> Mapping[Metric | str, float]:
    return {exact_order(): 0.5, right_slots(): 0.5}


def intrinsic_only() -> Mapping[Metric | str, float]:
    return {"interactivity": 1.0, TokenPenalty(rate=TOKEN_RATE): 1.0}


def helpfulness() -> Mapping[Metric | str, float]:
    return {Helpfulness(): 1.0}


def words_alone() -> Mapping[Metric | str, float]:
    """The desk's own reward, as a judge gives it who is not shown what was done and believes what was said."""
    return {Believed("exact_order"): 0.5, Believed("right_slots"): 0.5, TokenPenalty(rate=TOKEN_RATE): 1.0}


@dataclass(frozen=True)
class Believed:
    """A metric of the desk by the order that the customer was told of last, whatever is on the till."""

    name: str

    def check(self, goal: Goal) -> None:
        MEASURES[self.name].check(goal)

    def value(self, evidence: Evidence) -> float:
        said = (message for message in evidence.messages if message.content and message.role != "tool")
        spoken = tuple(replace(message, tool_calls=()) for message in said)
        return MEASURES[self.name].value(replace(evidence, messages=spoken, tools=()))


@dataclass(frozen=True)
class Helpfulness:
    """What a judge of single replies likes: an order that keeps to all that was said, a question half as much."""

    name: str = "helpfulness"

    def rubric(self, goal: Any) -> None:
        return None

    def artefact(self, goal: Any) -> None:
        return None

    def value(self, evidence: Evidence) -> float:
        *history, response = evidence.messages
        reply = read_reply(response.content)
        if reply.order is not None:
            return float(said_by_user(history).items() <= reply.order.items())
        return 0.5 if reply.asked else 0.0


class Unprompted:
    """A bot that the proactive prompt does not reach: all of its replies are given under its own prompt."""

    def __init__(self, bot: str) -> None:
        self._model: ChatModel = as_chat_model(bot)
        self._prompt = load_prompt("proactive").text

    @property
    def name(self) -> str:
        return f"unprompted:{self._model.name}"

    @property
    def fingerprint(self) -> Mapping[str, Any] | None:
        known = self._model.fingerprint
        return None if known is None else {"unprompted": dict(known)}

    @property
    def price(self) -> Price | None:
        return self._model.price

    async def achat(self, request: ChatRequest) -> ChatReply:
        own = tuple(message for message in request.messages if message.content != self._prompt)
        return await self._model.achat(replace(request, messages=own))
