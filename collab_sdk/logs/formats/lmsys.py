"""LMSYS-Chat-1M, `{"conversation_id", "model", "conversation": [{"role", "content"}]}`."""

from collections.abc import Mapping
from typing import Any

from collab_sdk.logs.formats.conversation_row import (
    ConversationFormat,
    Row,
    read_messages,
    text_fields,
    to_conversation,
)
from collab_sdk.logs.formats.openai_messages import openai_message
from collab_sdk.types import Conversation, Message


def _matches(row: Row) -> bool:
    return "conversation" in row and "conversation_hash" not in row


def _read(row: Row) -> Conversation:
    messages = read_messages(row.get("conversation"), plain_message)
    kept = text_fields(row, "model", "language")
    return to_conversation({"id": row.get("conversation_id"), "metadata": kept}, messages)


def plain_message(value: Any) -> Message:
    """A message by its role and text alone. Raises InputError."""
    if not isinstance(value, Mapping):
        return openai_message(value)
    return openai_message({"role": value.get("role"), "content": value.get("content")})


LMSYS = ConversationFormat(
    name="lmsys", priority=50, known_by="conversation and conversation_id", matches=_matches, read=_read
)
