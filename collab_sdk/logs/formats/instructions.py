"""One exchange a row, its sides under keys of their own: Alpaca's `instruction`, `input` and `output`, with `history`
and `system` where it has them; prompt and response, question and answer, and the like.
"""

from typing import Any

from collab_sdk.errors import InputError
from collab_sdk.files import parse_json
from collab_sdk.logs.formats.chat_value import said_under_keys
from collab_sdk.logs.formats.conversation_row import ConversationFormat, Row, to_conversation
from collab_sdk.logs.formats.preference_rows import history_of, side
from collab_sdk.types import Conversation


def _matches(row: Row) -> bool:
    said = {one["role"]: one["content"] for one in said_under_keys(row)}
    sides = [said.get("user"), said.get("assistant")]
    return all(isinstance(one, str) for one in sides) and not all(map(_is_object, sides))


def _read(row: Row) -> Conversation:
    [said] = [one["content"] for one in said_under_keys(row) if one["role"] == "assistant"]
    return to_conversation(row, side(row, said, history_of(row)))


def _is_object(text: Any) -> bool:
    """Whether it is an object as JSON text, such as the request or the reply of an API, which nobody said."""
    try:
        return text.lstrip().startswith("{") and isinstance(parse_json(text), dict)
    except InputError:
        return False


INSTRUCTIONS = ConversationFormat(
    name="instructions",
    priority=180,
    known_by="instruction and output; prompt and response; question and answer",
    matches=_matches,
    read=_read,
)
