"""What the model answered, whole or while it is being streamed."""

import json
from typing import Any

from collab_anthropic.blocks import Row, assistant_messages
from collab_sdk.harvest import Answer

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
    return tuple(row for row in assistant_messages([*begun, *blocks]) if row["role"] == "assistant")


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
            self._add_delta(self._blocks.setdefault(event.index, {"type": "text", "text": ""}), event.delta)
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

    def _add_delta(self, row: Row, delta: Any) -> None:
        if delta.type == "text_delta" and row["type"] == "text":
            row["text"] += delta.text
        elif delta.type == "input_json_delta" and row["type"] == "tool_use":
            row["input"] = (row["input"] if isinstance(row["input"], str) else "") + delta.partial_json
        elif delta.type == "compaction_delta" and row["type"] == "compaction":
            row["content"] += getattr(delta, "content", None) or ""

    def answer(self, *, at_end: bool = False) -> Answer:
        blocks = [_whole(block) for _, block in sorted(self._blocks.items()) if block.get("text") != ""]
        return Answer(
            id=self._id,
            model=self._model,
            replies=_replies(blocks, self._prefill),
            usage=self._usage,
            finish_reason=_finish_reason(self._stop_reason),
            complete=bool(self._complete or self._stop_reason) and self._stop_reason != PAUSED,
            error=self._error,
        )


def _whole(block: Row) -> Row:
    """The block with its input as the object that an app sends back, unless it has broken off before its end."""
    if block["type"] != "tool_use" or not isinstance(block["input"], str):
        return block
    try:
        return {**block, "input": json.loads(block["input"] or "{}")}
    except ValueError:
        return block
