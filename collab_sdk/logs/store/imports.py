"""A conversation from a log as calls."""

import hashlib
import sqlite3
from collections.abc import Iterator

from collab_sdk.errors import InputError
from collab_sdk.logs.store.call import IMPORTED, LoggedCall
from collab_sdk.logs.store.chain import canonical, chain
from collab_sdk.logs.store.messages import branches
from collab_sdk.logs.store.reading import ENDED, GOAL
from collab_sdk.logs.writers.chat_writers import user_fields
from collab_sdk.messages import Message, is_decision
from collab_sdk.types import Conversation

EARLIER = 1e-3
"""Seconds between the alternatives of a turn, which are older than what the conversation went on from."""


def as_calls(conversation: Conversation, *, imported: float) -> Iterator[LoggedCall]:
    """Calls for every turn with alternatives, its own response last, and one for where the conversation ends.

    Their run ids are made from what they say, so that importing a log again adds nothing. `imported` (Unix seconds)
    stands for the time where the log does not tell, and for times that are later.
    """
    ended = imported if conversation.ended is None else min(conversation.ended, imported)
    for turn in conversation.turns():
        others = turn.alternatives
        for place, other in enumerate(others):
            earlier = EARLIER * (len(others) - place)
            yield _call(conversation, (*turn.history, *other[:-1]), other[-1:], ended - earlier)
        if others:
            messages = conversation.messages
            said = max(place for place in conversation.places(turn) if is_decision(messages[place]))
            yield _call(conversation, messages[:said], messages[said : said + 1], ended)
    history, last = conversation.messages[:-1], conversation.messages[-1:]
    if last and last[0].role != "assistant":
        history, last = conversation.messages, ()
    metadata = dict(conversation.metadata)
    if conversation.goal is not None:
        told = user_fields(conversation.goal)
        metadata[GOAL] = {"reference": None, **told.pop("goal"), **told}
    if conversation.ended is not None:
        metadata[ENDED] = ended
    yield _call(conversation, history, last, ended, metadata)


def check_same_chat(db: sqlite3.Connection, conversation: Conversation) -> None:
    """Raises InputError if its id is that of a stored conversation that began otherwise."""
    stored = db.execute("SELECT id FROM conversations WHERE name = ?", (conversation.id,)).fetchone()
    if stored is None:
        return
    asked = next((n for n, message in enumerate(conversation.messages, 1) if message.role == "user"), None)
    beginning = chain(canonical(message.to_dict()) for message in conversation.messages[:asked])
    if not any(message.said == beginning[-1].said for message in branches(db, stored[0])):
        raise InputError(f"duplicate id {conversation.id!r}; another chat has it in the store")


def _call(
    conversation: Conversation,
    history: tuple[Message, ...],
    replies: tuple[Message, ...],
    ended: float,
    metadata: dict[str, object] | None = None,
) -> LoggedCall:
    messages = tuple(message.to_dict() for message in history)
    answers = tuple(message.to_dict() for message in replies)
    said = chain([*map(canonical, messages), *map(canonical, answers)])
    identity = hashlib.sha256(conversation.id.encode("utf-8", "replace") + b"\0" + said[-1].hash).hexdigest()
    return LoggedCall(
        run_id=f"{IMPORTED}-{identity[:32]}",
        conversation_id=conversation.id,
        messages=messages,
        replies=answers,
        source=IMPORTED,
        tools=conversation.tools,
        started=ended,
        ended=ended,
        metadata=metadata or {},
    )
