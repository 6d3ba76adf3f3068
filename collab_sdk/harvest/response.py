"""OpenAI's Responses API: items as chat messages, and responses, whole or while they are being streamed."""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from collab_sdk.harvest.answer import Answer, token_usage

Row = dict[str, Any]
RESPONSE_IS_OVER = frozenset({"completed", "incomplete", "failed", "cancelled"})
"""What the status of a response can be when nothing more comes; servers that give none answer at once."""


def item_messages(items: Iterable[Any]) -> list[Row]:
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


def _as_one(rows: Sequence[Row]) -> Row:
    """One assistant message of what a response says in several."""
    said = [row["content"] for row in rows if row["content"]]
    calls = [call for row in rows for call in row.get("tool_calls", ())]
    content: str | list[Row] | None = "\n".join(said) if said and all(isinstance(one, str) for one in said) else None
    if said and content is None:  # with parts that are not text
        content = [part for one in said for part in ([{"type": "text", "text": one}] if isinstance(one, str) else one)]
    return {"role": "assistant", "content": content, **({"tool_calls": calls} if calls else {})}


def item_tools(tools: Iterable[Any]) -> tuple[Any, ...]:
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


def response_answer(response: Any) -> Answer:
    """A Response, parsed or not. Raises TypeError for anything else."""
    output = getattr(response, "output", None)
    if output is None:
        raise TypeError(f"{type(response).__name__} is not a response")
    rows = item_messages(output)
    replies: tuple[Row, ...] = (_as_one(rows),) if rows else ()
    status = getattr(response, "status", None)
    return Answer(
        id=response.id,
        model=response.model,
        replies=replies,
        usage=token_usage(response.usage),
        finish_reason=_finish_reason(response, replies),
        complete=status is None or (status in RESPONSE_IS_OVER and status != "cancelled"),
        error=response.error.message if response.error else None,
        context=_kept_prompt(response),
    )


def _kept_prompt(response: Any) -> tuple[Row, ...]:
    """The messages of a prompt that is kept at the provider: they are known only from the answer."""
    instructions = getattr(response, "instructions", None)
    return tuple(item_messages(instructions)) if isinstance(instructions, list) else ()


def _finish_reason(response: Any, replies: tuple[Row, ...]) -> str:
    details = getattr(response, "incomplete_details", None)
    if (reason := getattr(details, "reason", None)) is not None:
        return "length" if reason == "max_output_tokens" else str(reason)
    return "tool_calls" if replies and replies[0].get("tool_calls") else "stop"


class PartialResponse:
    """Keeps what has come of a stream; its last event has the whole response."""

    def __init__(self, read: Callable[[Any], Answer] = response_answer) -> None:
        self._read = read
        self._begun: Any = None
        self._whole: Any = None
        self._items: dict[int, Row] = {}
        self._texts: dict[tuple[int, int], list[str]] = {}
        self._inputs: dict[int, list[str]] = {}
        self._error: str | None = None

    def add(self, event: Any) -> None:
        kind = getattr(event, "type", None) or ""
        if kind in ("response.completed", "response.incomplete", "response.failed"):
            self._whole = event.response
        elif kind in ("response.created", "response.queued", "response.in_progress"):
            self._begun = event.response
        elif kind in ("response.output_item.added", "response.output_item.done"):
            item = event.item
            item = dict(item) if isinstance(item, Mapping) else item.model_dump(exclude_none=True, warnings=False)
            self._items[event.output_index] = item
            self._inputs.pop(event.output_index, None)
        elif kind in ("response.output_text.delta", "response.refusal.delta"):
            place = (event.output_index or 0, event.content_index or 0)
            self._texts.setdefault(place, []).append(event.delta)
        elif kind in ("response.function_call_arguments.delta", "response.custom_tool_call_input.delta"):
            self._inputs.setdefault(event.output_index, []).append(event.delta)
        elif kind == "error" or getattr(event, "error", None) is not None:
            self._error = str(getattr(event, "message", None) or getattr(event.error, "message", None) or "error")

    def answer(self, *, at_end: bool = False) -> Answer:
        if self._whole is not None:
            return self._read(self._whole)
        rows = item_messages(self._so_far())
        return Answer(
            id=getattr(self._begun, "id", None),
            model=getattr(self._begun, "model", None),
            replies=(_as_one(rows),) if rows else (),
            complete=False,
            error=self._error,
        )

    def _so_far(self) -> list[Row]:
        """The items, with the text of those that are messages as far as it has come."""
        texts: dict[int, str] = {}
        for (index, _), pieces in sorted(self._texts.items()):
            texts[index] = texts.get(index, "") + "".join(pieces)
        rows = []
        for index in sorted({*self._items, *texts}):
            item = self._items.get(index) or {"type": "message", "role": "assistant"}
            if item["type"] == "message":
                if index in texts:
                    rows.append({"type": "message", "role": "assistant", "content": texts[index]})
            else:
                name = "input" if item["type"] == "custom_tool_call" else "arguments"
                came = "".join(self._inputs.get(index, ()))
                rows.append({**item, name: (item.get(name) or "") + came} if came else item)
        return rows
