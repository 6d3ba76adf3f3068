"""What Anthropic's Messages endpoint sends, whole or as server-sent events."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

Block = Mapping[str, Any]
PIECE = 4


def text(said: str) -> Block:
    return {"type": "text", "text": said}


def tool_use(call_id: str, name: str, **arguments: Any) -> Block:
    return {"type": "tool_use", "id": call_id, "name": name, "input": arguments}


def message(*blocks: Block, stop_reason: str | None = "end_turn", **fields: Any) -> dict[str, Any]:
    return {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "claude-x",
        "content": list(blocks),
        "stop_reason": stop_reason,
        "stop_sequence": None,
        "usage": {"input_tokens": 3, "cache_read_input_tokens": 4, "output_tokens": 2},
        **fields,
    }


def message_events(whole: Mapping[str, Any]) -> Iterator[str]:
    """The message as a stream of events, with a ping among them."""
    begun = {**whole, "content": [], "stop_reason": None, "usage": {**whole["usage"], "output_tokens": 1}}
    yield _event("message_start", message=begun)
    for index, block in enumerate(whole["content"]):
        empty, deltas = _in_pieces(block)
        yield _event("content_block_start", index=index, content_block=empty)
        yield _event("ping")
        for delta in deltas:
            yield _event("content_block_delta", index=index, delta=delta)
        yield _event("content_block_stop", index=index)
    end = {"stop_reason": whole["stop_reason"], "stop_sequence": None}
    yield _event("message_delta", delta=end, usage={"output_tokens": whole["usage"]["output_tokens"]})
    yield _event("message_stop")


def error_event(said: str) -> str:
    return _event("error", error={"type": "overloaded_error", "message": said})


def _in_pieces(block: Block) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The block as it begins, and what is added to it."""
    if block["type"] == "text":
        return {**block, "text": ""}, [{"type": "text_delta", "text": piece} for piece in _pieces(block["text"])]
    if block["type"] == "thinking":
        pieces = [{"type": "thinking_delta", "thinking": piece} for piece in _pieces(block["thinking"])]
        return {**block, "thinking": ""}, pieces
    if block["type"] in ("tool_use", "server_tool_use"):
        written = json.dumps(block["input"], separators=(",", ":")) if block["input"] else ""
        pieces = [{"type": "input_json_delta", "partial_json": piece} for piece in _pieces(written)]
        return {**block, "input": {}}, pieces
    return dict(block), []


def _pieces(said: str) -> list[str]:
    return [said[start : start + PIECE] for start in range(0, len(said), PIECE)]


def _event(kind: str, **fields: Any) -> str:
    return f"event: {kind}\ndata: {json.dumps({'type': kind, **fields})}\n\n"
