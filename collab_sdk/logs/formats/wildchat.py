"""WildChat-1M, `{"conversation_hash", "model", "conversation": [{"role", "content"}]}`."""

from collab_sdk.logs.formats.chat_value import has_chat, read_chat
from collab_sdk.logs.formats.conversation_row import (
    ConversationFormat,
    Row,
    text_fields,
    to_conversation,
)
from collab_sdk.types import Conversation


def _matches(row: Row) -> bool:
    return "conversation_hash" in row and has_chat(row, "conversation")


def _read(row: Row) -> Conversation:
    """Without an id, since the hash is that of the first messages and not unique.

    What tells who it was, addresses, headers and places, is left out of row and messages.
    """
    messages = read_chat(row.get("conversation"))
    kept = text_fields(row, "conversation_hash", "model", "timestamp", "language")
    return to_conversation({"metadata": kept}, messages)


WILDCHAT = ConversationFormat(
    name="wildchat", priority=60, known_by="conversation and conversation_hash", matches=_matches, read=_read
)
