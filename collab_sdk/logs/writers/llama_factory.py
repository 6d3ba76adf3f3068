"""LLaMA-Factory's ranking rows in ShareGPT form, and their entry in its `dataset_info.json`.

It skips a row unless human and observation stand in the odd places, gpt and function_call in the even ones.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any

from collab_sdk.files import to_json
from collab_sdk.logs.formats.tool_calls import arguments_object
from collab_sdk.logs.writers.base import (
    NO_OBJECT,
    PreferenceFormat,
    Row,
    all_answered,
    functions,
    in_order_of_calls,
    other_tools,
)
from collab_sdk.messages import Message
from collab_sdk.types import PreferencePair

_BETWEEN = "\n\n"
_BETWEEN_RESULTS = "\n</tool_response>\n<tool_response>\n"
"""What LLaMA-Factory itself puts between the results of parallel calls when it reads OpenAI's messages."""


def _rows(pair: PreferencePair) -> list[Row]:
    system = [message.content for message in pair.prompt if message.role == "system"]
    head = [_turn("system", _BETWEEN.join(system))] if system else []
    return [
        {
            "conversations": head + _alternating(pair.prompt),
            "chosen": _side(pair.chosen.response),
            "rejected": _side(pair.rejected.response),
            "tools": to_json([_definition(tool) for tool in tools]) if (tools := functions(pair)) else "",
        }
    ]


def _cannot_hold(pair: PreferencePair) -> str | None:
    """A turn is text or calls, and what a side does is one turn."""
    sides = (pair.chosen.response, pair.rejected.response)
    if any(len(response) != 1 for response in sides):
        return "several messages in a response"
    if not all_answered(pair.prompt):
        return "calls without a result"
    for together in (*map(list, sides), *_groups(pair.prompt)):
        roles = {message.role for message in together}
        calls = [call for message in together for call in message.calls]
        if calls and any(message.content.strip() for message in together):
            return "text beside calls"
        if any(arguments_object(call.arguments) is None for call in calls):
            return NO_OBJECT
        if roles == {"user", "tool"}:
            return "results that the assistant did not answer"
    return None


def _entry(file: str) -> Mapping[str, Any]:
    """The entry for a file of these rows."""
    columns = {"messages": "conversations", "chosen": "chosen", "rejected": "rejected", "tools": "tools"}
    return {"file_name": file, "formatting": "sharegpt", "ranking": True, "columns": columns}


def _groups(messages: Iterable[Message]) -> Iterator[list[Message]]:
    """What the assistant says in a row, and what others do."""
    said = (message for message in in_order_of_calls(messages) if message.role != "system")
    return (list(together) for _, together in groupby(said, lambda message: message.role == "assistant"))


def _alternating(messages: Iterable[Message]) -> list[Row]:
    """One turn for all that a side says in a row; an empty one by the user where the assistant speaks first."""
    turns = [_side(together) for together in _groups(messages)]
    if turns and turns[0]["from"] in ("gpt", "function_call"):
        turns.insert(0, _turn("human", ""))
    return turns


def _side(messages: Sequence[Message]) -> Row:
    calls = [call for message in messages for call in message.calls]
    if calls:
        made = [{"name": call.name, "arguments": arguments_object(call.arguments)} for call in calls]
        # Its formatters look for <tool_call> and <think> in this text before they read the JSON.
        return _turn("function_call", to_json(made).replace("<", "\\u003c"))
    speaker = {"user": "human", "tool": "observation"}.get(messages[0].role, "gpt")
    between = _BETWEEN_RESULTS if speaker == "observation" else _BETWEEN
    return _turn(speaker, between.join(message.content for message in messages))


def _definition(tool: Mapping[str, Any]) -> Mapping[str, Any]:
    """What the tool is, without OpenAI's wrapping; some templates fail where a tool without parameters names none."""
    function = tool["function"]
    parameters = function.get("parameters")
    schema = {"type": "object", "properties": {}, **(parameters if isinstance(parameters, Mapping) else {})}
    return {**function, "parameters": schema}


def _turn(speaker: str, text: str) -> Row:
    return {"from": speaker, "value": text}


LLAMA_FACTORY = PreferenceFormat(
    rows=_rows, cannot_hold=_cannot_hold, does_without=other_tools, catalogue="dataset_info.json", entry=_entry
)
