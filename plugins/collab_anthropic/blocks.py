"""Messages of content blocks, as chat messages in OpenAI's form."""

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

Row = dict[str, Any]


def system_messages(system: Any) -> list[Row]:
    """The system prompt, a text or blocks of text, as messages: one or none."""
    text = system if isinstance(system, str) else "\n\n".join(_dict(block).get("text", "") for block in system or ())
    return [{"role": "system", "content": text}] if text else []


def messages_of(messages: Iterable[Any]) -> list[Row]:
    """The messages of a request. Results of tools, which lie in the user's messages, become messages of their own."""
    rows: list[Row] = []
    for message in messages:
        message = _dict(message)
        content = message["content"]
        if isinstance(content, str):
            rows.append({"role": message["role"], "content": content})
        elif message["role"] == "assistant":
            rows += assistant_messages(content)
        else:
            rows += _user_messages(message["role"], [_dict(block) for block in content])
    return rows


def prefill_of(messages: Sequence[Any]) -> str:
    """What the app has put into the model's mouth, which its reply goes on from. Empty if it has not.

    Where there are steps of the provider's tools, it is a turn that was paused.
    """
    last = _dict(messages[-1]) if messages else {}
    content = last.get("content")
    if last.get("role") != "assistant" or not content:
        return ""
    if isinstance(content, str):
        return content
    blocks = [_dict(block) for block in content]
    return "".join(block["text"] for block in blocks) if all(block.get("type") == "text" for block in blocks) else ""


def assistant_messages(blocks: Iterable[Any]) -> list[Row]:
    """What the model said: one message, with the calls of tools; a summary of what was said before is a system message.

    Thoughts, and the steps of tools that run at the provider, are left out.
    """
    rows: list[Row] = []
    parts: list[Row] = []
    calls: list[Row] = []
    for block in map(_dict, blocks):
        kind = block.get("type")
        if kind == "tool_use":
            function = {"name": block["name"], "arguments": _arguments(block.get("input"))}
            calls.append({"id": block["id"], "type": "function", "function": function})
        elif kind == "compaction":
            rows += system_messages(block.get("content"))
        elif kind in ("text", "image", "document"):
            parts.append(_part(block))
    if parts or calls:
        said: Row = {"role": "assistant", "content": _as_text(parts) if parts else None}
        rows.append({**said, "tool_calls": calls} if calls else said)
    return rows


def tools_of(tools: Iterable[Any]) -> tuple[Row, ...]:
    """Tools of the app's own as functions; those of the provider as they are."""
    return tuple(map(_tool, map(_dict, tools)))


def _tool(tool: Row) -> Row:
    if "input_schema" not in tool:
        return tool
    function = {"name": tool["name"], "parameters": tool["input_schema"]}
    if tool.get("description"):
        function["description"] = tool["description"]
    return {"type": "function", "function": function}


def _user_messages(role: str, blocks: Sequence[Row]) -> list[Row]:
    rows: list[Row] = []
    parts: list[Row] = []
    for block in blocks:
        if block.get("type") == "tool_result":
            content = block.get("content") or ""
            text = content if isinstance(content, str) else _as_text([_part(_dict(part)) for part in content])
            rows.append({"role": "tool", "tool_call_id": block["tool_use_id"], "content": text})
        else:
            parts.append(_part(block))
    return [*rows, {"role": role, "content": _as_text(parts)}] if parts else rows


def _part(block: Row) -> Row:
    kind = block.get("type")
    if kind == "text":
        return {"type": "text", "text": block["text"]}
    source = block.get("source") or {}
    if kind == "image":
        url = source.get("url") or source.get("file_id")
        if source.get("type") == "base64":
            url = f"data:{source.get('media_type')};base64,{source.get('data')}"
        return {"type": "image_url", "image_url": {"url": url}}
    if kind == "document" and source.get("type") == "text":
        return {"type": "text", "text": source.get("data") or ""}
    return block


def _as_text(parts: Sequence[Row]) -> Any:
    """As one text where all are texts."""
    if all(part.get("type") == "text" for part in parts):
        return "".join(part["text"] for part in parts)
    return list(parts)


def _arguments(given: Any) -> str:
    return given if isinstance(given, str) else json.dumps(given or {}, ensure_ascii=False, default=str)


def _dict(value: Any) -> Row:
    return dict(value) if isinstance(value, Mapping) else value.model_dump(exclude_none=True, warnings=False)
