"""Scripted assistants, between which a learner should end up: they tell what there is to learn."""

from collections.abc import Callable, Mapping, Sequence
from random import Random
from typing import Any

from collab_order_desk.speech import write_order, write_question
from collab_order_desk.world import NAMES, SLOTS, said_by_user
from collab_sdk.types import Message, as_messages

Policy = Callable[[Sequence[Mapping[str, Any]]], str]


def never_ask(messages: Sequence[Mapping[str, Any]]) -> str:
    """Takes an order at once, and guesses what was not said."""
    return _guess(as_messages(messages))


def ask_one(messages: Sequence[Mapping[str, Any]]) -> str:
    """Asks for one slot at a time."""
    said = said_by_user(as_messages(messages))
    missing = [name for name in NAMES if name not in said]
    return write_question(missing[:1]) if missing else _guess(as_messages(messages))


def ask_all(messages: Sequence[Mapping[str, Any]]) -> str:
    """Asks once for everything that is missing: the ideal, where the user is not vague."""
    said = said_by_user(as_messages(messages))
    missing = [name for name in NAMES if name not in said]
    return write_question(missing) if missing else _guess(as_messages(messages))


def _guess(messages: Sequence[Message]) -> str:
    random = Random("\0".join(message.content for message in messages))  # noqa: S311 - no secret
    return write_order({slot.name: random.choice(slot.values) for slot in SLOTS} | said_by_user(messages))


POLICIES: Mapping[str, Policy] = {"never-ask": never_ask, "ask-one": ask_one, "ask-all": ask_all}
