"""One message in any of the spellings that frameworks log: OpenAI's, and LangChain's three.

LangChain logs `{"lc": 1, "type": "constructor", "id": [..., class], "kwargs"}`, which its own loader would turn into
objects (CVE-2025-68664). Here it is data: the class name gives the role, `kwargs` the fields.
"""

from collections.abc import Mapping
from typing import Any

from collab_sdk.errors import InputError
from collab_sdk.files import to_json
from collab_sdk.logs.formats.openai_messages import openai_message
from collab_sdk.messages import Message

_ROLES = {
    "human": "user",
    "ai": "assistant",
    "system": "system",
    "tool": "tool",
    "function": "tool",
    "developer": "system",
}
_KEPT = ("role", "content", "name", "tool_call_id", "function_call")
_UNSAID = ("thinking", "redacted_thinking", "reasoning", "tool_use", "tool_call", "function_call")
"""Content parts that are thoughts, or calls that are logged beside the content too."""


def any_message(value: Any) -> Message:
    """A message from a dict, a pair of role and content, or text of the user. Raises InputError."""
    if isinstance(value, str):
        return Message(role="user", content=value)
    if isinstance(value, list) and len(value) == 2:
        value = {"type": value[0], "content": value[1]}
    if not isinstance(value, Mapping):
        return openai_message(value)
    fields = _fields(value)
    calls = _calls(fields)
    message: dict[str, Any] = {key: fields.get(key) for key in _KEPT}
    message["content"] = _said(message["content"], empty_allowed=bool(calls or message["function_call"]))
    return openai_message({**message, "tool_calls": calls})


def _fields(value: Mapping[str, Any]) -> Mapping[str, Any]:
    """The fields of a message under OpenAI's names, the role among them."""
    if value.get("type") == "constructor" and "lc" in value:
        path, kwargs = value.get("id"), value.get("kwargs")
        if not isinstance(path, list) or not path or not isinstance(kwargs, Mapping):
            raise InputError("an lc constructor must have an id and kwargs")
        kind = str(path[-1]).removesuffix("Chunk").removesuffix("Message").lower()
        return {**kwargs, "role": _role(kwargs.get("role") if kind == "chat" else kind)}
    spelled = value.get("type")
    if isinstance(value.get("data"), Mapping):
        value = value["data"]
    if "role" in value:
        return value
    return {**value, "role": _role(spelled)}


def _role(kind: Any) -> Any:
    kind = kind.removesuffix("MessageChunk") if isinstance(kind, str) else kind
    return _ROLES.get(kind.lower(), kind) if isinstance(kind, str) else kind


def _calls(fields: Mapping[str, Any]) -> list[Any]:
    """Tool calls in OpenAI's form, which older messages have among the `additional_kwargs`."""
    beside = fields.get("additional_kwargs")
    calls = fields.get("tool_calls") or (beside.get("tool_calls") if isinstance(beside, Mapping) else None) or []
    if not isinstance(calls, list):
        raise InputError("tool_calls must be a list of objects")
    return [_call(call) for call in calls]


def _call(call: Any) -> Any:
    if not isinstance(call, Mapping) or "function" in call or "name" not in call:
        return call
    arguments = call.get("args", call.get("arguments"))
    text = arguments if isinstance(arguments, str) else to_json(arguments or {})
    return {"id": call.get("id"), "type": "function", "function": {"name": call["name"], "arguments": text}}


def _said(content: Any, *, empty_allowed: bool) -> Any:
    if isinstance(content, list):
        return [part for part in content if not (isinstance(part, Mapping) and part.get("type") in _UNSAID)]
    return "" if content is None and empty_allowed else content
