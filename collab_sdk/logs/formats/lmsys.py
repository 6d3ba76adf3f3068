"""LMSYS-Chat-1M, `{"conversation_id", "model", "conversation": [{"role", "content"}]}`."""

from collab_sdk.logs.formats.blocks import read_messages
from collab_sdk.logs.formats.conversation_row import (
    ConversationFormat,
    Row,
    text_fields,
    to_conversation,
)
from collab_sdk.types import Conversation


def _matches(row: Row) -> bool:
    return "conversation" in row and "conversation_hash" not in row


def _read(row: Row) -> Conversation:
    messages = read_messages(row.get("conversation"))
    kept = text_fields(row, "model", "language")
    return to_conversation({"id": row.get("conversation_id"), "metadata": kept}, messages)


LMSYS = ConversationFormat(
    name="lmsys", priority=50, known_by="conversation and conversation_id", matches=_matches, read=_read
)
