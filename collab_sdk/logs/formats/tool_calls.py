"""Tool calls in OpenAI's shape, whichever way they were logged."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from collab_sdk.files import to_json
from collab_sdk.types import Message


def link_tool_calls(messages: Iterable[Message]) -> tuple[Message, ...]:
    """The messages with an id on every call, and on every result the id of the call it answers.

    Older logs have neither, and model APIs refuse a history without them. Results answer open calls in order.
    """
    linked = []
    open_calls: list[str] = []
    for position, message in enumerate(messages):
        if message.tool_calls:
            calls = tuple(_complete(call, f"call_{position}_{n}") for n, call in enumerate(message.tool_calls))
            open_calls.extend(call["id"] for call in calls)
            message = replace(message, tool_calls=calls)
        elif message.role == "tool":
            if message.tool_call_id is None and open_calls:
                message = replace(message, tool_call_id=open_calls[0])
            open_calls = [call_id for call_id in open_calls if call_id != message.tool_call_id]
        linked.append(message)
    return tuple(linked)


def called_function(call: Mapping[str, Any]) -> Mapping[str, Any]:
    """The name and arguments in a call; empty for one that is of no function."""
    function = call.get("function")
    return function if isinstance(function, Mapping) else {}


def _complete(call: Mapping[str, Any], spare_id: str) -> Mapping[str, Any]:
    call = {"id": None, "type": "function", **call}
    if not isinstance(call["id"], str):
        call["id"] = spare_id
    function = call.get("function")
    if isinstance(function, Mapping) and not isinstance(function.get("arguments"), str):
        # As text, as OpenAI has it: columns of differing objects are what Arrow fills up with nulls.
        call["function"] = {**function, "arguments": to_json(function.get("arguments") or {})}
    return call
