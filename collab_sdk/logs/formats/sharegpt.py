"""ShareGPT, `{"id"?, "conversations": [{"from", "value"}]}`, with the keys that LLaMA-Factory added."""

from collections.abc import Mapping
from typing import Any

from collab_sdk.errors import InputError
from collab_sdk.files import parse_json
from collab_sdk.logs.formats.blocks import message_of
from collab_sdk.logs.formats.conversation_row import ConversationFormat, Row, to_conversation
from collab_sdk.messages import Message
from collab_sdk.types import Conversation

_CALL = "function_call"


def _matches(row: Row) -> bool:
    return "conversations" in row


def _read(row: Row) -> Conversation:
    messages = read_sharegpt(row.get("conversations"))
    system = row.get("system")
    if isinstance(system, str) and system:
        messages = (Message(role="system", content=system), *messages)
    return to_conversation(row, messages)


def read_sharegpt(values: Any) -> tuple[Message, ...]:
    """Messages from a list of them. Raises InputError naming the one that is none."""
    if not isinstance(values, list):
        raise InputError(f"the messages must be a list, not {type(values).__name__}")
    messages: list[Message] = []
    for position, value in enumerate(values, start=1):
        try:
            messages += sharegpt_messages(value)
        except InputError as error:
            raise InputError(f"message {position}: {error.problem}") from None
    return tuple(messages)


def sharegpt_messages(value: Any) -> tuple[Message, ...]:
    """The messages in `{"from", "value"}`. Raises InputError."""
    if isinstance(value, Mapping) and value.get("from") == _CALL:
        return (Message(role="assistant", content="", tool_calls=_calls(value.get("value"))),)
    return message_of(value)


def _calls(text: Any) -> tuple[Mapping[str, Any], ...]:
    """The calls that a `function_call` holds as JSON text: one `{"name", "arguments"}`, or a list of them."""
    value = parse_json(text) if isinstance(text, str) else text
    calls = value if isinstance(value, list) else [value]
    if not calls or not all(isinstance(call, Mapping) and isinstance(call.get("name"), str) for call in calls):
        raise InputError("a function_call must be JSON with name and arguments")
    return tuple({"function": {"name": call["name"], "arguments": call.get("arguments")}} for call in calls)


SHAREGPT = ConversationFormat(name="sharegpt", priority=30, known_by="conversations", matches=_matches, read=_read)
