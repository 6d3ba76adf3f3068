"""Anthropic's Messages API: content blocks as chat messages, and messages, whole or while they are being streamed."""

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from collab_sdk.harvest.answer import Answer

Row = dict[str, Any]
FINISH_REASONS = {
    "end_turn": "stop",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "refusal": "content_filter",
    "stop_sequence": "stop",
    "tool_use": "tool_calls",
}
"""Stop reasons as chat completions name them; others keep their names."""
PAUSED = "pause_turn"
"""The turn goes on with the next request."""
PROMPT_TOKENS = ("input_tokens", "cache_creation_input_tokens", "cache_read_input_tokens")


def system_messages(system: Any) -> list[Row]:
    """The system prompt, a text or blocks of text, as messages: one or none."""
    text = system if isinstance(system, str) else "\n\n".join(_dict(block).get("text", "") for block in system or ())
    return [{"role": "system", "content": text}] if text else []


def block_messages(messages: Iterable[Any]) -> list[Row]:
    """The messages of a request. Results of tools, which lie in the user's messages, become messages of their own."""
    rows: list[Row] = []
    for message in messages:
        message = _dict(message)
        content = message["content"]
        if content is None or isinstance(content, str):
            rows.append(message)
        elif message["role"] == "assistant":
            rows += _assistant_messages(content)
        else:
            rows += _user_messages(message["role"], [_dict(block) for block in content])
    return rows


def prefill_in(messages: Sequence[Any]) -> str:
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


def _assistant_messages(blocks: Iterable[Any]) -> list[Row]:
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


def block_tools(tools: Iterable[Any]) -> tuple[Row, ...]:
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


def message_answer(message: Any, *, prefill: str = "") -> Answer:
    """A Message, parsed or not, that goes on from what the app had begun. Raises TypeError for anything else."""
    blocks = getattr(message, "content", None)
    if not isinstance(blocks, list):
        raise TypeError(f"{type(message).__name__} is not a message")
    return Answer(
        id=message.id,
        model=message.model,
        replies=_replies(blocks, prefill),
        usage=_usage(message.usage, {}),
        finish_reason=_finish_reason(message.stop_reason),
        complete=message.stop_reason != PAUSED,
    )


def _replies(blocks: list[Any], prefill: str) -> tuple[Row, ...]:
    begun = [{"type": "text", "text": prefill}] if prefill and blocks else []
    return tuple(row for row in _assistant_messages([*begun, *blocks]) if row["role"] == "assistant")


def _finish_reason(stop_reason: str | None) -> str | None:
    return FINISH_REASONS.get(stop_reason or "", stop_reason)


def _usage(usage: Any, known: dict[str, int]) -> dict[str, int]:
    """Tokens as far as they are known; those of the prompt with what the provider had cached."""
    counts = [count for name in PROMPT_TOKENS if (count := getattr(usage, name, None)) is not None]
    prompt = {"prompt_tokens": sum(counts)} if counts else {}
    completion = getattr(usage, "output_tokens", None)
    return {**known, **prompt, **({} if completion is None else {"completion_tokens": completion})}


class PartialMessage:
    """Puts the events of a stream together, block by block."""

    def __init__(self, prefill: str = "") -> None:
        self._prefill = prefill
        self._blocks: dict[int, Row] = {}
        self._pieces: dict[int, list[str]] = {}
        self._id: str | None = None
        self._model: str | None = None
        self._usage: dict[str, int] = {}
        self._stop_reason: str | None = None
        self._complete = False
        self._error: str | None = None

    def add(self, event: Any) -> None:
        kind = getattr(event, "type", None)
        if kind == "message_start":
            message = event.message
            self._id, self._model = message.id, message.model
            self._usage = _usage(message.usage, {})
        elif kind == "content_block_start":
            self._blocks[event.index] = self._begun(event.content_block)
        elif kind == "content_block_delta":
            row = self._blocks.setdefault(event.index, {"type": "text", "text": ""})
            self._pieces.setdefault(event.index, []).append(_piece(row["type"], event.delta))
        elif kind == "message_delta":
            self._stop_reason = event.delta.stop_reason or self._stop_reason
            self._usage = _usage(event.usage, self._usage)
        elif kind == "message_stop":
            self._complete = True
        elif kind == "error":
            self._error = str(getattr(event.error, "message", None) or event.error)

    def _begun(self, block: Any) -> Row:
        row: Row = {"type": block.type}
        if block.type == "text":
            row["text"] = block.text or ""
        elif block.type == "tool_use":
            # Its input comes in pieces; until the first it is an empty object.
            row.update(id=block.id, name=block.name, input="" if not block.input else block.input)
        elif block.type == "compaction":
            row["content"] = getattr(block, "content", None) or ""
        return row

    def answer(self, *, at_end: bool = False) -> Answer:
        rows = [_whole(row, "".join(self._pieces.get(index, ()))) for index, row in sorted(self._blocks.items())]
        blocks = [row for row in rows if row.get("text") != ""]
        return Answer(
            id=self._id,
            model=self._model,
            replies=_replies(blocks, self._prefill),
            usage=self._usage,
            finish_reason=_finish_reason(self._stop_reason),
            complete=bool(self._complete or self._stop_reason) and self._stop_reason != PAUSED,
            error=self._error,
        )


def _piece(kind: str, delta: Any) -> str:
    """What a delta adds to a block of this kind."""
    if delta.type == "text_delta" and kind == "text":
        return str(delta.text)
    if delta.type == "input_json_delta" and kind == "tool_use":
        return str(delta.partial_json)
    if delta.type == "compaction_delta" and kind == "compaction":
        return getattr(delta, "content", None) or ""
    return ""


def _whole(row: Row, rest: str) -> Row:
    """The block with what came after its beginning.

    The input of a tool becomes the object that an app sends back, unless it has broken off before its end.
    """
    if row["type"] == "tool_use" and (rest or row["input"] == ""):
        try:
            return {**row, "input": json.loads(rest or "{}")}
        except ValueError:
            return {**row, "input": rest}
    name = {"text": "text", "compaction": "content"}.get(row["type"])
    return row if name is None else {**row, name: row[name] + rest}
