"""One exchange a row, its sides under keys of their own: Alpaca's `instruction`, `input` and `output`, with `history`
and `system` where it has them; prompt and response, question and answer, and the like.
"""

import re
from typing import Any

from collab_sdk.logs.formats.chat_value import said_under_keys
from collab_sdk.logs.formats.conversation_row import ConversationFormat, Row, to_conversation
from collab_sdk.logs.formats.preference_rows import history_of, side
from collab_sdk.types import Conversation

_CALLS = re.compile(r'\s*\{\s*"(?:messages|model|choices|object|contents|candidates|id|kwargs|args|inputs?)"\s*:')
"""Logged requests and replies of an API, which nobody said."""


def _matches(row: Row) -> bool:
    sides = {one["role"]: one["content"] for one in said_under_keys(row)}
    return _is_said(sides.get("user")) and _is_said(sides.get("assistant"))


def _read(row: Row) -> Conversation:
    [said] = [one["content"] for one in said_under_keys(row) if one["role"] == "assistant"]
    return to_conversation(row, side(row, said, history_of(row)))


def _is_said(value: Any) -> bool:
    return isinstance(value, str) and not _CALLS.match(value)


INSTRUCTIONS = ConversationFormat(
    name="instructions",
    priority=180,
    known_by="instruction and output; prompt and response; question and answer",
    matches=_matches,
    read=_read,
)
