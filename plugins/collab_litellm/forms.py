"""What LiteLLM was asked and what it answered, in the forms of its three chat interfaces, as chat messages."""

import base64
import binascii
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from collab_openai.chat import PartialCompletion
from collab_openai.items import messages_of, tools_of
from collab_openai.responses import response_answer

from collab_sdk.harvest import Answer, completion_answer

CHAT = frozenset({"completion", "responses", "anthropic_messages"})
"""The chat interfaces; their asynchronous twins have an `a` before."""
BESIDE = ("system", "instructions")
"""What Anthropic's interface and the responses call a system prompt, which they take beside the history."""
LIKE_CHAT = frozenset(
    {
        "text_completion",
        "generate_content",
        "generate_content_stream",
        "realtime",
        "responses_websocket",
        "llm_passthrough_route",
        "pass_through_endpoint",
        "run_thread",
        "send_message",
        "create_interaction",
    }
)
"""Interfaces through which one can chat too, and of which LiteLLM's callbacks are not told in messages."""
STOP_REASONS = {"end_turn": "stop", "stop_sequence": "stop", "max_tokens": "length", "tool_use": "tool_calls"}
Row = dict[str, Any]


def interface_of(call_type: Any) -> str:
    """The name of the interface, the same for both twins."""
    name = str(getattr(call_type, "value", call_type) or "").removeprefix("_")
    return name[1:] if name[1:] in CHAT | LIKE_CHAT and name.startswith("a") else name


def answer_of(result: Any) -> Answer:
    """A result of any of the interfaces. Raises TypeError for anything else."""
    result = getattr(result, "response", result)  # the last event of a streamed response
    if getattr(result, "output", None) is not None:
        answer = response_answer(result)
        return replace(answer, id=provider_id(answer.id))
    return _anthropic_answer(result) if isinstance(result, Mapping) else completion_answer(result)


def streamed_answer(chunks: Iterable[Any]) -> Answer:
    """What the chunks of a chat completion say so far. LiteLLM's own sum merges tool calls of the same index."""
    partial, usage = PartialCompletion(), None
    for chunk in chunks:
        partial.add(chunk)
        usage = (getattr(chunk, "_hidden_params", None) or {}).get("usage") or usage
    answer = partial.answer()
    return replace(answer, usage=_usage(usage)) if usage is not None and not answer.usage else answer


def messages_sent(details: Mapping[str, Any]) -> tuple[Any, ...]:
    """The history of a call, with instructions that were given beside it as its system message."""
    options = details.get("optional_params") or {}
    sent = details.get("messages") or ()
    items: Sequence[Any] = [{"role": "user", "content": sent}] if isinstance(sent, str) else sent
    beside = next((given for source in (options, details) for name in BESIDE if (given := source.get(name))), None)
    system = [{"role": "system", "content": _text(beside)}] if beside else []
    interface = interface_of(details.get("call_type"))
    if interface == "responses":
        return (*system, *messages_of(items))
    if interface == "anthropic_messages" or any(map(_is_anthropic, items)):
        return (*system, *(row for item in items for row in _anthropic_messages(item)))
    return tuple(items)


def tools_sent(details: Mapping[str, Any]) -> tuple[Any, ...]:
    options = details.get("optional_params") or {}
    return tuple(_tool(tool) for tool in tools_of(options.get("tools") or ()))


def provider_id(response_id: Any) -> str | None:
    """The provider's id of a response, which LiteLLM wraps together with the deployment that gave it."""
    if not isinstance(response_id, str):
        return None
    try:
        text = base64.b64decode(response_id.removeprefix("resp_"), validate=True).decode()
    except (binascii.Error, ValueError):
        return response_id
    prefix, found, inner = text.partition("response_id:")
    return inner if found and prefix.startswith("litellm:") else response_id


def _anthropic_answer(message: Mapping[str, Any]) -> Answer:
    if message.get("content") is None:
        raise TypeError("a message of Anthropic's has content")
    said = _anthropic_messages({"role": "assistant", "content": message["content"]})
    reason = message.get("stop_reason")
    return Answer(
        id=provider_id(message.get("id")),
        model=message.get("model"),
        replies=tuple(said),
        usage=_usage(message.get("usage") or {}),
        finish_reason=STOP_REASONS.get(str(reason), reason),
    )


def _anthropic_messages(message: Mapping[str, Any]) -> list[Row]:
    """One message of Anthropic's: results of tools come before what the user says along with them."""
    role, content = message.get("role"), message.get("content")
    if content is None or isinstance(content, str):
        return [dict(message)]
    parts = [part if isinstance(part, Mapping) else part.model_dump(exclude_none=True) for part in content]
    rows: list[Row] = [
        {"role": "tool", "tool_call_id": part.get("tool_use_id"), "content": _text(part.get("content"))}
        for part in parts
        if part.get("type") == "tool_result"
    ]
    calls = [_tool_call(part) for part in parts if part.get("type") == "tool_use"]
    beside = ("tool_result", "tool_use", "thinking", "redacted_thinking")
    said = _text([part for part in parts if part.get("type") not in beside])
    if said or calls or not rows:
        rows.append({"role": role, "content": said or None, **({"tool_calls": calls} if calls else {})})
    return rows


def _tool_call(part: Mapping[str, Any]) -> Row:
    function = {"name": part.get("name"), "arguments": json.dumps(part.get("input") or {}, ensure_ascii=False)}
    return {"id": part.get("id"), "type": "function", "function": function}


def _text(content: Any) -> Any:
    """Parts that are all text as one text."""
    if content is None or isinstance(content, str):
        return content or ""
    if all(part.get("type") == "text" for part in content):
        return "".join(part.get("text") or "" for part in content)
    return [_part(part) for part in content]


def _part(part: Mapping[str, Any]) -> Row:
    source = part.get("source")
    if part.get("type") != "image" or not isinstance(source, Mapping):
        return dict(part)
    url = source.get("url") or f"data:{source.get('media_type')};base64,{source.get('data')}"
    return {"type": "image_url", "image_url": {"url": url}}


def _tool(tool: Any) -> Any:
    if "input_schema" not in tool:
        return tool
    function = {"name": tool.get("name"), "parameters": tool["input_schema"]}
    described = {"description": tool["description"]} if tool.get("description") else {}
    return {"type": "function", "function": {**function, **described}}


def _is_anthropic(message: Any) -> bool:
    content = message.get("content") if isinstance(message, Mapping) else None
    parts = content if isinstance(content, list) else ()
    return any(isinstance(part, Mapping) and part.get("type") in ("tool_use", "tool_result") for part in parts)


def _usage(usage: Any) -> dict[str, int]:
    """Tokens by either interface's names, from a mapping or an object."""
    given = usage if isinstance(usage, Mapping) else vars(usage)
    names = {"prompt_tokens": "input_tokens", "completion_tokens": "output_tokens"}
    found = {name: given.get(name, given.get(other)) for name, other in names.items()}
    counts = {name: int(count) for name, count in found.items() if isinstance(count, int)}
    return counts if any(counts.values()) else {}  # LiteLLM has zeros where it does not know yet
