"""What OpenAI's two endpoints send: chat completions and responses, whole or as server-sent events."""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from collab_sdk import ChatReply
from support.faults import Body, Fault

PIECE = 4


def chat_completion(body: Body, replies: Sequence[ChatReply], fault: Fault) -> dict[str, Any]:
    """One choice for each reply."""
    messages = [{**_message(reply), **fault.message} for reply in replies]
    choices = [
        {"index": index, "finish_reason": reply.finish_reason, "message": message, **fault.choice}
        for index, (reply, message) in enumerate(zip(replies, messages, strict=True))
    ]
    return {
        "id": "chatcmpl-loopback",
        "object": "chat.completion",
        "created": 0,
        "model": body["model"],
        "choices": choices if fault.choices else [],
        **({"usage": _usage(body["messages"], messages, replies)} if fault.usage else {}),
    }


def _message(reply: ChatReply) -> dict[str, Any]:
    said = {"role": "assistant", "content": reply.content}
    return {**said, "tool_calls": list(reply.tool_calls)} if reply.tool_calls else said


def _usage(
    asked: Sequence[Mapping[str, Any]], said: Sequence[Mapping[str, Any]], replies: Sequence[ChatReply]
) -> dict[str, int]:
    """What the replies say that they took; words where they do not."""
    prompt_tokens = replies[0].prompt_tokens or _words(asked)
    completion_tokens = sum(
        reply.completion_tokens or _words([message]) for reply, message in zip(replies, said, strict=True)
    )
    return {
        "prompt_tokens": prompt_tokens,
        "completion_tokens": completion_tokens,
        "total_tokens": prompt_tokens + completion_tokens,
    }


def _words(messages: Sequence[Mapping[str, Any]]) -> int:
    return sum(len(str(row.get("content") or "").split()) for row in messages)


def chat_chunks(completion: Mapping[str, Any], body: Body) -> Iterator[str]:
    """The completion as a stream of events, its choices in turn, its texts a few characters at a time."""
    frame = {**completion, "object": "chat.completion.chunk", "usage": None}
    for delta, index, finish_reason in _interleaved(completion["choices"]):
        choice = {"index": index, "delta": delta, "finish_reason": finish_reason}
        yield _event({**frame, "choices": [choice]})
    if (body.get("stream_options") or {}).get("include_usage"):
        yield _event({**frame, "choices": [], "usage": completion["usage"]})
    yield "data: [DONE]\n\n"


def _interleaved(choices: Sequence[Mapping[str, Any]]) -> Iterator[tuple[dict[str, Any], int, str | None]]:
    streams = [(choice["index"], _deltas(choice)) for choice in choices]
    while streams:
        for index, deltas in list(streams):
            if (found := next(deltas, None)) is None:
                streams.remove((index, deltas))
            else:
                yield found[0], index, found[1]


def _deltas(choice: Mapping[str, Any]) -> Iterator[tuple[dict[str, Any], str | None]]:
    message = choice["message"]
    yield {"role": "assistant", "content": ""}, None
    for piece in _pieces(message["content"] or ""):
        yield {"content": piece}, None
    for position, call in enumerate(message.get("tool_calls") or ()):
        head = {"index": position, **call, "function": {**call["function"], "arguments": ""}}
        yield {"tool_calls": [head]}, None
        for piece in _pieces(call["function"]["arguments"]):
            yield {"tool_calls": [{"index": position, "function": {"arguments": piece}}]}, None
    yield {}, choice["finish_reason"]


def response(body: Body, text: str, fault: Fault, number: int) -> dict[str, Any]:
    """A response with a message, or with the calls of functions that the fault's message has."""
    item: dict[str, Any] = {
        "type": "message",
        "id": f"msg_{number}",
        "role": "assistant",
        "status": "completed",
        "content": [{"type": "output_text", "text": text, "annotations": []}],
    }
    calls = [
        {"type": "function_call", "id": f"fc_{n}", "call_id": call["id"], "status": "completed", **call["function"]}
        for n, call in enumerate(fault.message.get("tool_calls", ()))
    ]
    return {
        "id": f"resp_{number}",
        "object": "response",
        "created_at": 0,
        "status": "completed",
        "model": body["model"],
        "output": calls or [item],
        "parallel_tool_calls": True,
        "tool_choice": "auto",
        "tools": [],
        "usage": {
            "input_tokens": 3,
            "input_tokens_details": {"cached_tokens": 0},
            "output_tokens": 2,
            "output_tokens_details": {"reasoning_tokens": 0},
            "total_tokens": 5,
        },
    }


def response_events(whole: Mapping[str, Any]) -> Iterator[str]:
    """The response as a stream of events."""
    begun = {**whole, "status": "in_progress", "output": [], "usage": None}
    events: list[dict[str, Any]] = [{"type": "response.created", "response": begun}]
    for index, item in enumerate(whole["output"]):
        place = {"output_index": index, "item_id": item["id"], "content_index": 0}
        if item["type"] == "message":
            [part] = item["content"]
            started = {**item, "content": [], "status": "in_progress"}
            empty = {**part, "text": ""}
            events += [
                {"type": "response.output_item.added", "output_index": index, "item": started},
                {"type": "response.content_part.added", **place, "part": empty},
            ]
            for piece in _pieces(part["text"]):
                events.append({"type": "response.output_text.delta", **place, "delta": piece, "logprobs": []})
            events.append({"type": "response.output_text.done", **place, "text": part["text"], "logprobs": []})
        else:
            events.append({"type": "response.output_item.added", "output_index": index, "item": item})
        events.append({"type": "response.output_item.done", "output_index": index, "item": item})
    events.append({"type": "response.completed", "response": whole})
    for number, event in enumerate(events):
        yield f"event: {event['type']}\n{_event({**event, 'sequence_number': number})}"


def _pieces(text: str) -> Iterator[str]:
    return (text[start : start + PIECE] for start in range(0, len(text), PIECE))


def _event(data: Mapping[str, Any]) -> str:
    return f"data: {json.dumps(data)}\n\n"
