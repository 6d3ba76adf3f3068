"""LangChain messages as OpenAI-style dicts, taken while the app waits.

The messages are the app's own live objects, so nothing of them may be kept or changed, and since the app waits, a
plain message costs a few look-ups. langchain_core's `convert_to_openai_messages` keeps reasoning, recodes images, and
raises for parts it does not know.
"""

import json
from collections.abc import Iterable, Mapping
from copy import deepcopy
from typing import Any

from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage, HumanMessage, ToolMessage

_ROLES = {
    "human": "user",
    "user": "user",
    "ai": "assistant",
    "assistant": "assistant",
    "system": "system",
    "developer": "system",
    "tool": "tool",
    "function": "tool",
}
_CHUNK = "messagechunk"
_TEXTS = {"text": "text", "output_text": "text", "input_text": "text", "text-plain": "text", "refusal": "refusal"}
"""Kinds of parts that are text, and the key it is under."""
_LEFT_OUT = {
    "reasoning",
    "reasoning_content",
    "thinking",
    "redacted_thinking",
    "tool_use",
    "tool_call",
    "tool_call_chunk",
    "invalid_tool_call",
    "function_call",
    "server_tool_call",
    "server_tool_call_chunk",
    "server_tool_result",
    "input_json_delta",
}
"""The model's thoughts, and the calls that `tool_calls` holds anyway."""


def openai_dicts(messages: Iterable[BaseMessage]) -> tuple[dict[str, Any], ...]:
    return tuple(openai_dict(message) for message in messages)


def is_said(message: HumanMessage) -> bool:
    """Whether a person said it: middleware marks what it writes in their place, such as summaries."""
    return "lc_source" not in message.additional_kwargs


def openai_dict(message: BaseMessage) -> dict[str, Any]:
    role = _role(message)
    taken: dict[str, Any] = {"role": role, "content": _content(message.content, "" if role == "assistant" else "\n")}
    if isinstance(message, AIMessage):
        # No name: an agent's is set after its model has replied, and reply and history must be the same message.
        if message.tool_calls or message.invalid_tool_calls:
            taken["tool_calls"] = _tool_calls(message)
        if not taken["content"] and (refusal := message.additional_kwargs.get("refusal")):
            taken["content"] = str(refusal)
        return taken
    if message.name is not None:
        taken["name"] = message.name
    if isinstance(message, ToolMessage):
        taken["tool_call_id"] = message.tool_call_id
    return taken


def broken_off_dict(message: AIMessage) -> dict[str, Any]:
    """A reply without its end, with the arguments of tools as far as they came: LangChain would complete them."""
    taken = openai_dict(message)
    if isinstance(message, AIMessageChunk) and message.tool_call_chunks:
        taken["tool_calls"] = [
            {
                "id": call["id"],
                "type": "function",
                "function": {"name": call["name"] or "", "arguments": call["args"] or ""},
            }
            for call in message.tool_call_chunks
        ]
    return taken


def _role(message: BaseMessage) -> str:
    if isinstance(message, HumanMessage) and not is_said(message):
        return "system"
    kind: str = message.type
    if (role := _ROLES.get(kind)) is not None:
        return role
    kind = getattr(message, "role", kind).lower().removesuffix(_CHUNK)
    return _ROLES.get(kind, "user")


def _content(content: Any, glue: str) -> Any:
    """Text, or the parts where some are no text."""
    if isinstance(content, str):
        return content
    parts = [part for block in content or () if (part := _part(block)) is not None]
    if all(part["type"] == "text" for part in parts):
        return glue.join(part["text"] for part in parts)
    return parts


def _part(block: Any) -> dict[str, Any] | None:
    if not isinstance(block, Mapping):
        return {"type": "text", "text": str(block)}
    kind = block.get("type")
    if kind in _LEFT_OUT:
        return None
    if isinstance(text := block.get(_TEXTS.get(str(kind), "text")), str):
        return {"type": "text", "text": text}
    return deepcopy(dict(block))  # text and bytes are shared, and the recorder puts references for media


def _tool_calls(message: AIMessage) -> list[dict[str, Any]]:
    read = [(call["id"], call["name"], _json(call["args"])) for call in message.tool_calls]
    unread = [(call["id"], call["name"], call["args"]) for call in message.invalid_tool_calls]
    return [
        {"id": id_, "type": "function", "function": {"name": name, "arguments": arguments}}
        for id_, name, arguments in read + unread
    ]


def _json(arguments: Mapping[str, Any]) -> str:
    return json.dumps(arguments, ensure_ascii=False, default=str)
