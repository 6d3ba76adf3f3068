"""A chat under another common name than `messages`, and UltraChat's `data`, a list of texts that the user begins."""

from typing import Any

from collab_sdk.logs.formats.chat_value import exchange_of, is_chat, read_chat, said_under_keys
from collab_sdk.logs.formats.conversation_row import ConversationFormat, Row, to_conversation
from collab_sdk.types import Conversation

_KEYS = (
    *("dialogue", "dialog", "turns", "chat", "chat_history", "message_history", "conversation_history", "transcript"),
    *("history", "items", "exchanges", "thread", "data"),
)


def _matches(row: Row) -> bool:
    return _key(row) is not None


def _read(row: Row) -> Conversation:
    said = row[_key(row) or ""]
    if _are_texts(said):
        said = [{"role": ("user", "assistant")[place % 2], "content": text} for place, text in enumerate(said)]
    untrained: set[int] = set()
    messages = read_chat(said, untrained=untrained)
    return to_conversation(row, messages, untrained=untrained)


def _key(row: Row) -> str | None:
    """The key whose value shows by its first item that it holds messages, in a row that says nothing beside them."""
    if len({one["role"] for one in said_under_keys(row)} - {"system"}) == 2:  # an exchange with its history
        return None
    for key in _KEYS:
        said = row.get(key)
        if (key == "data" and _are_texts(said)) or (isinstance(said, list) and said and _begins_chat(said)):
            return key
    return None


def _begins_chat(said: list[Any]) -> bool:
    first = said[0]
    if isinstance(first, list):
        return len(first) == 2 and all(isinstance(side, str | None) for side in first)
    if not isinstance(first, dict) or not is_chat(said):
        return False
    speaks = any(isinstance(first.get(key), str) for key in ("role", "from", "speaker", "sender", "author"))
    return speaks or any(key in first for key in ("is_user", "is_bot")) or bool(exchange_of(first))


def _are_texts(said: Any) -> bool:
    return isinstance(said, list) and len(said) > 1 and all(isinstance(text, str) for text in said)


DIALOGUES = ConversationFormat(
    name="dialogues",
    priority=75,
    known_by="dialogue, dialog, turns, chat or history, with messages",
    matches=_matches,
    read=_read,
)
