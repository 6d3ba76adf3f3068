"""LMSYS-Chat-1M, `{"conversation_id", "model", "conversation": [{"role", "content"}]}`."""

from collections.abc import Mapping

from collab_sdk.logs.formats.chat_value import has_chat, read_chat
from collab_sdk.logs.formats.conversation_row import ConversationFormat, Row, to_conversation
from collab_sdk.types import Conversation


def _matches(row: Row) -> bool:
    """A `conversation` may also be the id of one, in rows that hold a message each, or an object with it."""
    said = row.get("conversation")
    if "conversation_hash" in row or not has_chat(row, "conversation"):
        return False
    if isinstance(said, Mapping) and "id" in said and not any(isinstance(one, list) for one in said.values()):
        return False
    return not isinstance(said, str | int) or not any(key in row for key in ("role", "sender", "speaker", "author"))


def _read(row: Row) -> Conversation:
    untrained: set[int] = set()
    messages = read_chat(row.get("conversation"), untrained=untrained)
    return to_conversation(row, messages, untrained=untrained)


LMSYS = ConversationFormat(
    name="lmsys", priority=50, known_by="conversation and conversation_id", matches=_matches, read=_read
)
