"""One exchange a row, its sides under keys of their own: Alpaca's `instruction`, `input` and `output`, with `history`
and `system` where it has them; prompt and response, question and answer, and the like.
"""

from typing import Any

from collab_sdk.logs.formats.blocks import plain
from collab_sdk.logs.formats.chat_value import ASKED, SAID, read_chat, said_under_keys, written_value
from collab_sdk.logs.formats.conversation_row import ConversationFormat, Row, to_conversation
from collab_sdk.logs.formats.preference_rows import IS_MESSAGES, history_of
from collab_sdk.messages import Message
from collab_sdk.types import Conversation


def _matches(row: Row) -> bool:
    spelled = {plain(key): value for key, value in row.items()}
    return _first(spelled, ASKED) is not None and _first(spelled, SAID) is not None


def _read(row: Row) -> Conversation:
    [said] = [one["content"] for one in said_under_keys(row) if one["role"] == "assistant"]
    response: tuple[Message, ...] = (Message(role="assistant", content=said),)
    if IS_MESSAGES.match(said):
        response = read_chat(written_value(said))
    return to_conversation(row, (*history_of(row), *response))


def _first(spelled: dict[str, Any], keys: tuple[str, ...]) -> str | None:
    """The text of the first of the keys that is there, where it is text."""
    value = next((spelled[key] for key in keys if spelled.get(key) is not None), None)
    return value if isinstance(value, str) else None


INSTRUCTIONS = ConversationFormat(
    name="instructions",
    priority=180,
    known_by="instruction and output; prompt and response; question and answer",
    matches=_matches,
    read=_read,
)
