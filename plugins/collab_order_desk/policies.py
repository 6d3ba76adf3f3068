"""Scripted assistants, between which a learner should end up: they tell what there is to learn."""

from collections.abc import Callable, Mapping, Sequence
from functools import wraps
from random import Random
from typing import Any

from collab_order_desk.baristas import NATURAL, TERSE, Barista
from collab_order_desk.speech import read_reply
from collab_order_desk.till import place
from collab_order_desk.world import NAMES, SLOTS, said_by_user
from collab_sdk.messages import Message, as_messages
from collab_sdk.models import ChatReply, ChatRequest
from collab_sdk.spec import Price

Policy = Callable[[Sequence[Mapping[str, Any]]], str]


def never_ask(messages: Sequence[Mapping[str, Any]], *, barista: Barista = TERSE) -> str:
    """Takes an order at once, and guesses what was not said."""
    return _ask(as_messages(messages), barista, most=0)


def ask_one(messages: Sequence[Mapping[str, Any]], *, barista: Barista = TERSE) -> str:
    """Asks for one slot at a time."""
    return _ask(as_messages(messages), barista, most=1)


def ask_two(messages: Sequence[Mapping[str, Any]], *, barista: Barista = TERSE) -> str:
    """Asks for two slots at a time: as many as the hidden population puts up with."""
    return _ask(as_messages(messages), barista, most=2)


def ask_all(messages: Sequence[Mapping[str, Any]], *, barista: Barista = TERSE) -> str:
    """Asks once for everything that is missing: the ideal, where the user is not vague."""
    return _ask(as_messages(messages), barista, most=len(NAMES))


def _ask(messages: Sequence[Message], barista: Barista, *, most: int) -> str:
    random = Random("\0".join(message.content for message in messages))  # noqa: S311 - no secret
    said = said_by_user(messages)
    missing = [name for name in NAMES if name not in said]
    if missing and most:
        return barista.question(missing[:most], random)
    return barista.order({slot.name: random.choice(slot.values) for slot in SLOTS} | said, random)


POLICIES: Mapping[str, Policy] = {"never-ask": never_ask, "ask-one": ask_one, "ask-two": ask_two, "ask-all": ask_all}


def _in_sentences(policy: Callable[..., str]) -> Policy:
    @wraps(policy)
    def speaking(messages: Sequence[Mapping[str, Any]]) -> str:
        return policy(messages, barista=NATURAL)

    speaking.__name__ = speaking.__qualname__ = f"{policy.__name__}_in_sentences"
    return speaking


NATURAL_POLICIES: Mapping[str, Policy] = {name: _in_sentences(policy) for name, policy in POLICIES.items()}
"""The same in natural sentences."""


class AtTill:
    """A policy at a desk with a till: it places every order there before it tells the customer."""

    price = Price(prompt=0.0, completion=0.0)

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        self.name = f"{policy.__name__} at the till"
        self.fingerprint: Mapping[str, Any] = {"model": "order-desk-policy", "policy": policy.__name__, "version": 1}

    async def achat(self, request: ChatRequest) -> ChatReply:
        spoken = [message for message in request.messages if message.role in ("user", "assistant") and message.content]
        text = self._policy([message.to_dict() for message in spoken])
        order = read_reply(text).order
        if order is None or request.messages[-1].role == "tool":
            return ChatReply(content=text, usd=0.0)
        return ChatReply(content="", tool_calls=(place(order, id="till"),), usd=0.0)
