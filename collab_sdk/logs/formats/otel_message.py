"""Messages of OpenTelemetry's GenAI conventions, `{"role", "parts": [{"type", ...}]}`, in OpenAI's form."""

from collections.abc import Iterator, Mapping
from typing import Any

from collab_sdk.errors import InputError
from collab_sdk.files import to_json
from collab_sdk.logs.formats.call_row import objects
from collab_sdk.messages import Message

_UNSAID = ("reasoning", "tool_call", "tool_call_response")


def otel_messages(values: Any) -> tuple[Mapping[str, Any], ...]:
    """OpenAI-style dicts. Thoughts are left out; each result of a tool is a message. Raises InputError."""
    if not isinstance(values, list):
        raise InputError(f"the messages must be a list, not {type(values).__name__}")
    messages = []
    for position, value in enumerate(values, start=1):
        try:
            messages += [message.to_dict() for message in _messages(value)]
        except InputError as error:
            raise InputError(f"message {position}: {error.problem}") from None
    return tuple(messages)


def otel_text(parts: Any) -> str:
    """The text of parts; those that are no text become `[image]` and the like."""
    if isinstance(parts, str):
        return parts
    return "\n".join(_text(part) for part in objects(parts) if part.get("type") not in _UNSAID)


def _messages(value: Any) -> Iterator[Message]:
    if not isinstance(value, Mapping):
        raise InputError(f"a message must be an object with role and parts, not {type(value).__name__}")
    parts = objects(value.get("parts"))
    results = [part for part in parts if part.get("type") == "tool_call_response"]
    calls = [_call(part) for part in parts if part.get("type") == "tool_call"]
    for result in results:
        content = result.get("response", result.get("result"))
        text = content if isinstance(content, str) else to_json(content)
        yield Message(role="tool", content=text, tool_call_id=_text_or_none(result.get("id")))
    text = otel_text(parts)
    if text or calls or not results:
        role = "system" if value.get("role") == "developer" else value.get("role")
        yield Message.of({"role": role, "content": text, "tool_calls": calls})


def _call(part: Mapping[str, Any]) -> Mapping[str, Any]:
    arguments = part.get("arguments")
    text = arguments if isinstance(arguments, str) else to_json(arguments or {})
    function = {"name": str(part.get("name")), "arguments": text}
    return {"id": _text_or_none(part.get("id")), "type": "function", "function": function}


def _text(part: Mapping[str, Any]) -> str:
    if isinstance(part.get("content"), str) and part.get("type") == "text":
        return str(part["content"])
    modality = part.get("modality")
    return f"[{modality if isinstance(modality, str) and modality else 'part'}]"


def _text_or_none(value: Any) -> str | None:
    return value if isinstance(value, str) else None
