"""What LiteLLM was asked and what it answered, in the forms of its three chat interfaces, as chat messages."""

import base64
import binascii
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from collab_sdk.harvest import (
    Answer,
    PartialCompletion,
    block_messages,
    block_tools,
    completion_answer,
    item_messages,
    item_tools,
    loosened,
    message_answer,
    response_answer,
    system_messages,
)

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
    if isinstance(result, Mapping):
        answer = message_answer(loosened(result))
        return replace(answer, id=provider_id(answer.id))
    return completion_answer(result)


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
    system = system_messages(beside)
    interface = interface_of(details.get("call_type"))
    if interface == "responses":
        return (*system, *item_messages(items))
    if interface == "anthropic_messages" or any(map(_is_anthropic, items)):
        return (*system, *block_messages(items))
    return tuple(items)


def tools_sent(details: Mapping[str, Any]) -> tuple[Any, ...]:
    options = details.get("optional_params") or {}
    return block_tools(item_tools(options.get("tools") or ()))


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
