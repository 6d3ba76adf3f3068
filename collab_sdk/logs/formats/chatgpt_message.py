"""What a node of a ChatGPT export says."""

from collections.abc import Mapping
from typing import Any

from collab_sdk.errors import InputError
from collab_sdk.files import parse_json, to_json
from collab_sdk.messages import Message

_EVERYBODY = "all"
_UNSEEN = ("thoughts", "reasoning_recap", "model_editable_context")
"""Kinds of content that are no part of what user and assistant say to each other."""


def chatgpt_message(value: Any) -> Message | None:
    """The message of a node, if it says anything. Raises InputError for a role or content that is none."""
    if value is None:
        return None
    author, content = (value.get("author"), value.get("content")) if isinstance(value, Mapping) else (None, None)
    if not isinstance(author, Mapping) or not isinstance(content, Mapping):
        raise InputError("a message must be an object with author and content")
    role = author.get("role")
    kind = content.get("content_type")
    text = _text(content)
    if kind in _UNSEEN or not text.strip():
        return None
    if kind == "user_editable_context":  # custom instructions, sent as if the user had said them
        return Message(role="system", content=text)
    recipient = value.get("recipient")
    if role == "assistant" and isinstance(recipient, str) and recipient != _EVERYBODY:
        call = {"name": recipient, "arguments": _arguments(text)}
        return Message(role="assistant", content="", tool_calls=({"function": call},))
    name = author.get("name")
    return Message.of({"role": role, "content": text, "name": name if role == "tool" and name else None})


def _text(content: Mapping[str, Any]) -> str:
    """Custom instructions in two fields, else parts, else text or a result."""
    if content.get("content_type") == "user_editable_context":
        fields = [content.get("user_profile"), content.get("user_instructions")]
    elif isinstance(content.get("parts"), list):
        fields = [_part(part) for part in content["parts"]]
    else:
        fields = [content.get("text") or content.get("result")]
    return "\n".join(field for field in fields if isinstance(field, str) and field)


def _part(part: Any) -> str:
    if isinstance(part, str):
        return part
    if not isinstance(part, Mapping):
        raise InputError(f"a content part must be text or an object, not {type(part).__name__}")
    if isinstance(part.get("text"), str):  # what was said aloud, as text
        return str(part["text"])
    kind = str(part.get("content_type"))
    return next((f"[{medium}]" for medium in ("image", "video", "audio") if medium in kind), "[part]")


def _arguments(text: str) -> str:
    """JSON as it is; anything else, such as code, as the one argument `input`."""
    try:
        if isinstance(parse_json(text), dict):
            return text
    except InputError:
        pass
    return to_json({"input": text})
