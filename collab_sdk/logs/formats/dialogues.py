"""A chat under another common name than `messages`, and UltraChat's `data`, a list of texts that the user begins."""

import re
from contextlib import suppress
from typing import Any

from collab_sdk.errors import InputError
from collab_sdk.logs.formats.chat_value import (
    chat_of_row,
    exchange_of,
    is_chat,
    read_chat,
    said_under_keys,
    written_value,
)
from collab_sdk.logs.formats.conversation_row import ConversationFormat, Row, to_conversation
from collab_sdk.logs.formats.preference_rows import EARLIER
from collab_sdk.logs.formats.spellings import plain
from collab_sdk.types import Conversation

_KEYS = (
    *("dialogue", "dialog", "turns", "chat", "chat_history", "message_history", "conversation_history", "transcript"),
    *("history", "items", "exchanges", "thread", "data"),
)

_SPEAKERS = frozenset(
    ("role", "from", "speaker", "sender", "author", "sender_type", "message_type", "author_role", "is_user", "is_bot")
)
_LIST = re.compile(r"\s*\[\s*[\[{]")


def _matches(row: Row) -> bool:
    return _key(row) is not None


def _read(row: Row) -> Conversation:
    key = _key(row) or ""
    said = _listed(row[key])
    if _are_texts(said):
        said = [{"role": ("user", "assistant")[place % 2], "content": text} for place, text in enumerate(said)]
    untrained: set[int] = set()
    messages = read_chat(said, untrained=untrained)
    if key in EARLIER:  # and the request that followed
        messages += read_chat([one for one in said_under_keys(row) if one["role"] == "user"])
    return to_conversation(row, messages, untrained=untrained)


def _key(row: Row) -> str | None:
    """The key whose value shows by its first item that it holds messages, in a row that says nothing beside them."""
    for key in _KEYS:
        said = _listed(row.get(key))
        if not said:
            continue
        if (key == "data" and _are_texts(said)) or _begins_chat(said):
            exchange = {one["role"] for one in said_under_keys(row)}  # whose history it is
            return None if {"user", "assistant"} <= exchange else key
    return None


def _listed(said: Any) -> list[Any]:
    """The list that a value is, or holds as text; else an empty one."""
    if isinstance(said, str) and _LIST.match(said):
        with suppress(InputError):
            said = written_value(said)
    return said if isinstance(said, list) else []


def _begins_chat(said: list[Any]) -> bool:
    first = said[0]
    if isinstance(first, list):
        return len(first) == 2 and all(isinstance(side, str | None) for side in first)
    if not isinstance(first, dict) or not is_chat(said) or chat_of_row(first) is not None:
        return False
    return not _SPEAKERS.isdisjoint(map(plain, first)) or bool(exchange_of(first))


def _are_texts(said: Any) -> bool:
    return isinstance(said, list) and len(said) > 1 and all(isinstance(text, str) for text in said)


DIALOGUES = ConversationFormat(
    name="dialogues",
    priority=75,
    known_by="dialogue, dialog, turns, chat or history, with messages",
    matches=_matches,
    read=_read,
)
