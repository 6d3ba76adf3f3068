"""OpenAI and Hugging Face messages, `{"messages": [...], "id"?, "goal"?, "tools"?, "metadata"?}`, which is ours too.

Ours has `alternatives` besides: other responses to the same history, by the index of the turn.
"""

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from collab_sdk.errors import InputError
from collab_sdk.logs.formats.chat_value import BESIDE, has_chat, read_chat
from collab_sdk.logs.formats.conversation_row import ConversationFormat, Row, to_conversation
from collab_sdk.logs.formats.logged_messages import read_messages
from collab_sdk.logs.formats.spellings import plain
from collab_sdk.logs.notes import note
from collab_sdk.messages import Message, link_tool_calls
from collab_sdk.types import Conversation

SCHEMA = "collab/conversation/v1"
UNREAD_TEXT = "texts beside messages that are not the reply that these end with, left out"
_TURN = re.compile("[0-9]{1,9}")


def _matches(row: Row) -> bool:
    return has_chat(row, "messages")


def _read(row: Row) -> Conversation:
    schema = row.get("schema")
    if isinstance(schema, str) and schema.startswith("collab/") and schema != SCHEMA:
        raise InputError(f"schema {schema!r} is not one this version reads as a chat; expected {SCHEMA}")
    untrained: set[int] = set()
    messages = read_chat(row.get("messages"), untrained=untrained)
    conversation = to_conversation(row, messages, untrained=untrained)
    said = conversation.messages[-1].content.strip()
    texts = [text for key, text in row.items() if plain(key) in BESIDE and isinstance(text, str)]
    note(UNREAD_TEXT, sum(not said.endswith(text.strip()) for text in texts))
    return replace(conversation, alternatives=_alternatives(row.get("alternatives")))


def _alternatives(value: Any) -> dict[int, tuple[tuple[Message, ...], ...]]:
    if not value:
        return {}
    if not isinstance(value, Mapping) or not all(
        _TURN.fullmatch(str(turn))
        and isinstance(others, list)
        and all(isinstance(other, str | list) for other in others)
        for turn, others in value.items()
    ):
        raise InputError("alternatives must be lists of texts or of lists of messages, by the index of their turn")
    return {int(turn): tuple(map(_response, others)) for turn, others in value.items()}


def _response(value: str | list[Any]) -> tuple[Message, ...]:
    if isinstance(value, str):
        return (Message(role="assistant", content=value),)
    return link_tool_calls(read_messages(value))


OPENAI_MESSAGES = ConversationFormat(name="openai", priority=20, known_by="messages", matches=_matches, read=_read)
