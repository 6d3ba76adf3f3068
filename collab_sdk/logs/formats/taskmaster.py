"""Google's Taskmaster, `{"conversation_id", "utterances": [{"speaker", "text"}]}`."""

from collections.abc import Mapping
from itertools import groupby
from typing import Any

from collab_sdk.errors import InputError
from collab_sdk.logs.formats.conversation_row import (
    ConversationFormat,
    Row,
    read_messages,
    text_fields,
    to_conversation,
)
from collab_sdk.messages import Message
from collab_sdk.types import Conversation


def _matches(row: Row) -> bool:
    return "utterances" in row


def _read(row: Row) -> Conversation:
    said = read_messages(row.get("utterances"), _utterance)
    turns = [(role, [message.content for message in together]) for role, together in groupby(said, lambda m: m.role)]
    messages = tuple(Message(role=role, content="\n".join(texts)) for role, texts in turns)
    kept = text_fields(row, "instruction_id", "vertical")
    return to_conversation({"id": row.get("conversation_id"), "metadata": kept}, messages)


def _utterance(value: Any) -> Message:
    if not isinstance(value, Mapping):
        raise InputError(f"an utterance must be an object with speaker and text, not {type(value).__name__}")
    speaker = value.get("speaker")
    role = speaker.lower() if isinstance(speaker, str) else speaker
    if role not in ("user", "assistant"):
        raise InputError(f"unknown speaker {speaker!r}; expected USER or ASSISTANT")
    return Message.of({"role": role, "content": value.get("text")})


TASKMASTER = ConversationFormat(name="taskmaster", priority=70, known_by="utterances", matches=_matches, read=_read)
