"""Preference rows read as chats: the chosen response is what was said, the rejected one an alternative to it.

One reader for the rows of every preference writer, and for what others write in these forms.
"""

from collections.abc import Mapping, Sequence
from itertools import takewhile
from typing import Any

from collab_sdk.errors import InputError
from collab_sdk.logs.formats.blocks import message_of, read_messages
from collab_sdk.logs.formats.conversation_row import (
    ConversationFormat,
    Row,
    text_fields,
    to_conversation,
    with_alternatives,
)
from collab_sdk.logs.formats.sharegpt import read_sharegpt, sharegpt_messages
from collab_sdk.messages import Message, link_tool_calls
from collab_sdk.tool_calls import field_of
from collab_sdk.types import Conversation

_SIDES = (("chosen", "rejected"), ("preferred_output", "non_preferred_output"), ("completion", None))


def _matches(row: Row) -> bool:
    return any(better in row and (worse in row if worse else "prompt" in row) for better, worse in _SIDES)


def _read(row: Row) -> Conversation:
    better, worse = next((sides for sides in _SIDES if sides[0] in row), _SIDES[0])
    said, history = _responses(row.get(better)), _history(row)
    rejected = _responses(row.get(worse)) if worse else ()
    if history is None:  # the sides are whole conversations
        shared = repeated_prompt(said, rejected)
        history, said, rejected = said[:shared], said[shared:], rejected[shared:]
        if not shared or any(message.role == "user" for message in (*said, *rejected)):
            raise InputError(f"{better} and {worse} are no responses to the same messages")
    kept = text_fields(row, "conversation_id", "turn", "score_chosen", "score_rejected", "label")
    conversation = to_conversation({"id": _id(row), "tools": _tools(row), "metadata": kept}, (*history, *said))
    if not rejected:
        return conversation
    others = link_tool_calls((*history, *rejected))[len(history) :]
    return with_alternatives(conversation, {len(history): [others]})


def repeated_prompt(one: Sequence[Any], other: Sequence[Any]) -> int:
    """How many messages two sides begin with as their prompt, up to where the assistant goes on in different ways.

    There are none where no user message is among them.
    """
    shared = sum(1 for _ in takewhile(lambda both: both[0] == both[1], zip(one, other, strict=False)))
    # What both go on with is the assistant's: not a result of a call that they share.
    while shared and not all(side[shared:] and _role(side[shared]) == "assistant" for side in (one, other)):
        shared -= 1
    return shared if any(_role(message) == "user" for message in one[:shared]) else 0


def _role(message: Any) -> Any:
    return field_of(message, "role")


def _history(row: Row) -> tuple[Message, ...] | None:
    """The messages before the response; None if each side repeats them."""
    request = row.get("input")
    if isinstance(request, Mapping):
        return read_messages(request.get("messages"))
    if isinstance(row.get("prompt"), list):
        return read_messages(row["prompt"])
    if "conversations" in row:
        return read_sharegpt(row["conversations"])
    if isinstance(row.get("chosen"), Mapping):
        return read_messages(row.get("messages"))
    if isinstance(row.get("chosen"), list):
        return None
    return (Message.of({"role": "user", "content": row.get("prompt")}),)


def _responses(value: Any) -> tuple[Message, ...]:
    """A side: messages, a single one in either spelling, or its text."""
    if isinstance(value, str):
        return (Message(role="assistant", content=value),)
    if isinstance(value, Mapping):
        return sharegpt_messages(value) if "from" in value else message_of(value)
    if not value:
        raise InputError("a response is missing")
    return read_messages(value)


def _tools(row: Row) -> Any:
    request = row.get("input")
    return request.get("tools") if isinstance(request, Mapping) else row.get("tools")


def _id(row: Row) -> str | None:
    """The turn's; none for labelled responses, of which a turn has two."""
    if "label" in row:
        return None
    known = text_fields(row, "conversation_id", "turn")
    return f"{known['conversation_id']}#{known['turn']}" if len(known) == 2 else None


PREFERENCES = ConversationFormat(
    name="preferences",
    priority=10,
    known_by="chosen and rejected",
    matches=_matches,
    read=_read,
)
