"""Google's Taskmaster, `{"conversation_id", "utterances": [{"speaker", "text"}]}`."""

from itertools import groupby

from collab_sdk.logs.formats.chat_value import has_chat, read_chat
from collab_sdk.logs.formats.conversation_row import (
    ConversationFormat,
    Row,
    text_fields,
    to_conversation,
)
from collab_sdk.messages import Message
from collab_sdk.types import Conversation


def _matches(row: Row) -> bool:
    return has_chat(row, "utterances")


def _read(row: Row) -> Conversation:
    said = read_chat(row.get("utterances"))
    turns = [(role, [message.content for message in together]) for role, together in groupby(said, lambda m: m.role)]
    messages = tuple(Message(role=role, content="\n".join(texts)) for role, texts in turns)
    kept = text_fields(row, "instruction_id", "vertical")
    return to_conversation({"id": row.get("conversation_id"), "metadata": kept}, messages)


TASKMASTER = ConversationFormat(name="taskmaster", priority=70, known_by="utterances", matches=_matches, read=_read)
