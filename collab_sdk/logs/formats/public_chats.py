"""Chat collections that were published as data sets: LMSYS-Chat-1M, WildChat-1M and Taskmaster."""

from collections.abc import Mapping
from itertools import groupby
from typing import Any

from collab_sdk.errors import InputError
from collab_sdk.logs.formats.conversation_row import Format, Row, read_messages, text_fields, to_conversation
from collab_sdk.logs.formats.openai_messages import openai_message
from collab_sdk.types import Conversation, Message


def _read_lmsys(row: Row) -> Conversation:
    messages = read_messages(row.get("conversation"), _said)
    return to_conversation(
        {"id": row.get("conversation_id"), "metadata": text_fields(row, "model", "language")}, messages
    )


def _read_wildchat(row: Row) -> Conversation:
    """Without an id, since the hash is that of the first messages and not unique; without what tells who it was."""
    messages = read_messages(row.get("conversation"), _said)
    kept = text_fields(row, "conversation_hash", "model", "timestamp", "language")
    return to_conversation({"metadata": kept}, messages)


def _said(value: Any) -> Message:
    """Role and text alone: beside them WildChat has addresses, headers and places."""
    if not isinstance(value, Mapping):
        return openai_message(value)
    return openai_message({"role": value.get("role"), "content": value.get("content")})


def _read_taskmaster(row: Row) -> Conversation:
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


LMSYS = Format(
    name="lmsys",
    known_by="conversation and conversation_id",
    matches=lambda row: "conversation" in row and "conversation_hash" not in row,
    read=_read_lmsys,
)
WILDCHAT = Format(
    name="wildchat",
    known_by="conversation and conversation_hash",
    matches=lambda row: "conversation" in row and "conversation_hash" in row,
    read=_read_wildchat,
)
TASKMASTER = Format(
    name="taskmaster",
    known_by="utterances",
    matches=lambda row: "utterances" in row,
    read=_read_taskmaster,
)
