"""ShareGPT, `{"id"?, "conversations": [{"from", "value"}]}`, with the keys that LLaMA-Factory added."""

from collab_sdk.logs.formats.chat_value import has_chat, read_chat
from collab_sdk.logs.formats.conversation_row import ConversationFormat, Row, to_conversation
from collab_sdk.types import Conversation


def _matches(row: Row) -> bool:
    return has_chat(row, "conversations")


def _read(row: Row) -> Conversation:
    untrained: set[int] = set()
    messages = read_chat(row.get("conversations"), untrained=untrained)
    return to_conversation(row, messages, untrained=untrained)


SHAREGPT = ConversationFormat(name="sharegpt", priority=30, known_by="conversations", matches=_matches, read=_read)
