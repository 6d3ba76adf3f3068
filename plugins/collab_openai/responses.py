"""Responses, whole and streamed, and their input as chat messages."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from collab_sdk.harvest import Answer, token_usage

Row = dict[str, Any]


def request_messages(body: Mapping[str, Any], earlier: Sequence[Any]) -> tuple[Any, ...]:
    """What the model was sent: instructions (of this request alone), what came before, and the input."""
    instructions = body.get("instructions")
    system = [{"role": "system", "content": instructions}] if instructions else []
    given = body.get("input") or []
    items = [{"role": "user", "content": given}] if isinstance(given, str) else given
    return (*system, *earlier, *messages_of(items))


def tools_of(body: Mapping[str, Any]) -> tuple[Any, ...]:
    """The tools of a request; functions as chat completions have them."""
    return tuple(_tool(tool) for tool in body.get("tools") or ())


def _tool(tool: Any) -> Any:
    if tool.get("type") != "function" or "function" in tool:
        return tool
    return {"type": "function", "function": {name: value for name, value in tool.items() if name != "type"}}


def messages_of(items: Iterable[Any]) -> list[Row]:
    """Items of a request or a response as messages. Reasoning and what only refers to something is left out."""
    rows: list[Row] = []
    for item in items:
        item = item if isinstance(item, Mapping) else item.model_dump(exclude_none=True, warnings=False)
        kind = item.get("type") or "message"
        if kind == "message":
            rows.append({"role": item["role"], "content": _content(item.get("content"))})
        elif kind == "function_call":
            if not rows or rows[-1]["role"] != "assistant":
                rows.append({"role": "assistant", "content": None})
            function = {"name": item["name"], "arguments": item["arguments"]}
            calls = rows[-1].setdefault("tool_calls", [])
            calls.append({"id": item["call_id"], "type": "function", "function": function})
        elif kind == "function_call_output":
            rows.append({"role": "tool", "tool_call_id": item["call_id"], "content": _content(item.get("output"))})
    return rows


def _content(content: Any) -> Any:
    if content is None or isinstance(content, str):
        return content
    parts = [_part(part) for part in content]
    if all(part.get("type") == "text" for part in parts):
        return "".join(part["text"] for part in parts)
    return parts


def _part(part: Mapping[str, Any]) -> Row:
    if part.get("type") in ("input_text", "output_text", "text"):
        return {"type": "text", "text": part["text"]}
    if part.get("type") == "refusal":
        return {"type": "text", "text": part["refusal"]}
    if part.get("type") == "input_image":
        return {"type": "image_url", "image_url": {"url": part.get("image_url") or part.get("file_id")}}
    return dict(part)


def response_answer(response: Any) -> Answer:
    """A Response, parsed or not. Raises TypeError for anything else."""
    output = getattr(response, "output", None)
    if output is None:
        raise TypeError(f"{type(response).__name__} is no response")
    rows = messages_of(output)
    replies: tuple[Row, ...] = (_as_one(rows),) if rows else ()
    cut_off = getattr(response.incomplete_details, "reason", None) == "max_output_tokens"
    return Answer(
        id=response.id,
        model=response.model,
        replies=replies,
        usage=token_usage(response.usage),
        finish_reason="length" if cut_off else "tool_calls" if replies and replies[0].get("tool_calls") else "stop",
        error=response.error.message if response.error else None,
    )


def _as_one(rows: Sequence[Row]) -> Row:
    """One assistant message of what a response says in several."""
    said = [row["content"] for row in rows if row["content"]]
    calls = [call for row in rows for call in row.get("tool_calls", ())]
    content: str | list[Row] | None = "\n".join(said) if said and all(isinstance(one, str) for one in said) else None
    if said and content is None:  # with parts that are no text
        content = [part for one in said for part in ([{"type": "text", "text": one}] if isinstance(one, str) else one)]
    return {"role": "assistant", "content": content, **({"tool_calls": calls} if calls else {})}


class PartialResponse:
    """Keeps what has come of a stream; its last event has the whole response."""

    def __init__(self) -> None:
        self._response: Any = None
        self._text: list[str] = []

    def add(self, event: Any) -> None:
        kind = getattr(event, "type", "")
        if kind == "response.output_text.delta":
            self._text.append(event.delta)
        elif kind in ("response.completed", "response.incomplete", "response.failed"):
            self._response = event.response

    def answer(self) -> Answer:
        if self._response is not None:
            return response_answer(self._response)
        text = "".join(self._text)
        return Answer(replies=({"role": "assistant", "content": text},) if text else (), complete=False)
