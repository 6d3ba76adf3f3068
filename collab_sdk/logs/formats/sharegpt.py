"""ShareGPT, `{"id"?, "conversations": [{"from", "value"}]}`, with the keys that LLaMA-Factory added."""

from collections.abc import Mapping
from typing import Any

from collab_sdk.errors import InputError
from collab_sdk.files import parse_json
from collab_sdk.logs.formats.conversation_row import ConversationFormat, Row, read_messages, to_conversation
from collab_sdk.messages import Message
from collab_sdk.types import Conversation

_ROLES = {
    "system": "system",
    **dict.fromkeys(("human", "user"), "user"),
    **dict.fromkeys(("gpt", "assistant", "chatgpt", "bing", "bard", "model"), "assistant"),
    **dict.fromkeys(("observation", "tool", "function"), "tool"),
}
_CALL = "function_call"


def _matches(row: Row) -> bool:
    return "conversations" in row


def _read(row: Row) -> Conversation:
    messages = read_messages(row.get("conversations"), sharegpt_message)
    system = row.get("system")
    if isinstance(system, str) and system:
        messages = (Message(role="system", content=system), *messages)
    return to_conversation(row, messages)


def sharegpt_message(value: Any) -> Message:
    """A message from `{"from", "value"}`. Raises InputError."""
    if not isinstance(value, Mapping):
        raise InputError(f"a message must be an object with from and value, not {type(value).__name__}")
    speaker, text = value.get("from"), value.get("value")
    if speaker == _CALL:
        return Message(role="assistant", content="", tool_calls=_calls(text))
    if not (isinstance(speaker, str) and speaker in _ROLES):
        raise InputError(f"unknown role {speaker!r}; expected one of {', '.join((*_ROLES, _CALL))}")
    return Message.of({"role": _ROLES[speaker], "content": text})


def _calls(text: Any) -> tuple[Mapping[str, Any], ...]:
    """The calls that a `function_call` holds as JSON text: one `{"name", "arguments"}`, or a list of them."""
    value = parse_json(text) if isinstance(text, str) else text
    calls = value if isinstance(value, list) else [value]
    if not calls or not all(isinstance(call, Mapping) and isinstance(call.get("name"), str) for call in calls):
        raise InputError("a function_call must be JSON with name and arguments")
    return tuple({"function": {"name": call["name"], "arguments": call.get("arguments")}} for call in calls)


SHAREGPT = ConversationFormat(name="sharegpt", priority=30, known_by="conversations", matches=_matches, read=_read)
