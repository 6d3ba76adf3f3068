"""Chats written out as one text, with the name of the speaker before what each says: HH's, Guanaco's, and ChatML."""

import re
from typing import Any

from collab_sdk.logs.formats.conversation_row import ConversationFormat, Row, to_conversation
from collab_sdk.logs.formats.logged_messages import read_messages
from collab_sdk.types import Conversation

_MARKS = (
    # How a text begins, and what stands before each message.
    (re.compile(r"\s*Human:.*?\n\nAssistant:", re.DOTALL), re.compile(r"(?:\A\s*|\n\n)(Human|Assistant): ?")),
    (re.compile(r"\s*### ?(?:Human|Assistant):"), re.compile(r"\s{0,3}### ?(Human|Assistant): ?")),
    (re.compile(r"\s*<\|im_start\|>\w+\n"), re.compile(r"\s{0,3}<\|im_start\|>(\w+)\n")),
)
_KEYS = ("text", "transcript", "conversation", "chat")


def transcript(text: Any) -> list[dict[str, Any]] | None:
    """The messages of such a text, without an empty last one, which waits for an answer; None for any other text."""
    mark = next((mark for begins, mark in _MARKS if isinstance(text, str) and begins.match(text)), None)
    if mark is None:
        return None
    _, *parts = mark.split(text)
    messages = [
        {"role": role, "content": said.strip().removesuffix("<|im_end|>").rstrip()}
        for role, said in zip(parts[::2], parts[1::2], strict=True)
    ]
    if messages and not messages[-1]["content"]:
        messages.pop()
    return messages


def _matches(row: Row) -> bool:
    return any(transcript(row.get(key)) for key in _KEYS)


def _read(row: Row) -> Conversation:
    messages = next(found for key in _KEYS if (found := transcript(row.get(key))))
    return to_conversation(row, read_messages(messages))


TRANSCRIPTS = ConversationFormat(
    name="transcripts",
    priority=175,
    known_by="a text of Human: and Assistant:, ### Human: or <|im_start|>",
    matches=_matches,
    read=_read,
)
