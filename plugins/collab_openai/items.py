"""Items, which requests and responses of the Responses API are made of, as chat messages."""

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

Row = dict[str, Any]


def messages_of(items: Iterable[Any]) -> list[Row]:
    """Items as messages.

    Reasoning, and the steps of tools that run at the provider, are left out. What only refers to an item that the
    server keeps cannot be known here, and is left out too.
    """
    rows: list[Row] = []
    for item in items:
        item = item if isinstance(item, Mapping) else item.model_dump(exclude_none=True, warnings=False)
        kind = item.get("type") or "message"
        if kind == "message":
            rows.append({"role": item["role"], "content": _content(item.get("content"))})
        elif kind == "image_generation_call" and item.get("result"):
            url = f"data:image/{item.get('output_format') or 'png'};base64,{item['result']}"
            rows.append({"role": "assistant", "content": [{"type": "image_url", "image_url": {"url": url}}]})
        elif kind.endswith("_call") and item.get("call_id"):  # without an id it is the provider who calls
            if not rows or rows[-1]["role"] != "assistant":
                rows.append({"role": "assistant", "content": None})
            rows[-1].setdefault("tool_calls", []).append(_tool_call(kind, item))
        elif kind.endswith("_call_output") and item.get("call_id"):
            rows.append({"role": "tool", "tool_call_id": item["call_id"], "content": _output(item.get("output"))})
    return rows


def as_one(rows: Sequence[Row]) -> Row:
    """One assistant message of what a response says in several."""
    said = [row["content"] for row in rows if row["content"]]
    calls = [call for row in rows for call in row.get("tool_calls", ())]
    content: str | list[Row] | None = "\n".join(said) if said and all(isinstance(one, str) for one in said) else None
    if said and content is None:  # with parts that are not text
        content = [part for one in said for part in ([{"type": "text", "text": one}] if isinstance(one, str) else one)]
    return {"role": "assistant", "content": content, **({"tool_calls": calls} if calls else {})}


def tools_of(tools: Iterable[Any]) -> tuple[Any, ...]:
    """Functions as chat completions have them; other tools as they are."""
    return tuple(map(_tool, tools))


def _tool(tool: Any) -> Any:
    tool = tool if isinstance(tool, Mapping) else tool.model_dump(exclude_none=True, warnings=False)
    if tool.get("type") != "function" or "function" in tool:
        return tool
    return {"type": "function", "function": {name: value for name, value in tool.items() if name != "type"}}


def _tool_call(kind: str, item: Mapping[str, Any]) -> Row:
    """A call of the app's tools; a built-in one, such as a shell, has the name of its kind."""
    if kind == "custom_tool_call":
        return {"id": item["call_id"], "type": "custom", "custom": {"name": item["name"], "input": item["input"]}}
    if kind == "function_call":
        function = {"name": item["name"], "arguments": item["arguments"]}
    else:
        action = item.get("action") or item.get("operation") or {}
        function = {"name": kind.removesuffix("_call"), "arguments": json.dumps(action, default=str)}
    return {"id": item["call_id"], "type": "function", "function": function}


def _output(output: Any) -> Any:
    return _content([output] if isinstance(output, Mapping) else output)


def _content(content: Any) -> Any:
    if content is None or isinstance(content, str):
        return content
    parts = [_part(part) for part in content]
    if all(part.get("type") == "text" for part in parts):
        return "".join(part["text"] for part in parts)
    return parts


def _part(part: Mapping[str, Any]) -> Row:
    kind = part.get("type")
    if kind in ("input_text", "output_text", "text"):
        return {"type": "text", "text": part["text"]}
    if kind == "refusal":
        return {"type": "text", "text": part["refusal"]}
    if kind == "input_image":
        return {"type": "image_url", "image_url": {"url": part.get("image_url") or part.get("file_id")}}
    return dict(part)
