"""LLaMA-Factory's ranking rows in ShareGPT form, and their entry in its `dataset_info.json`.

It skips a row unless human and observation stand in the odd places, gpt and function_call in the even ones.
"""

from collections.abc import Iterable, Mapping
from itertools import groupby
from typing import Any

from collab_sdk.errors import InputError
from collab_sdk.files import parse_json, to_json
from collab_sdk.logs.formats.tool_calls import called_function
from collab_sdk.logs.writers.base import PreferenceFormat, Row
from collab_sdk.types import Message, PreferencePair

_BETWEEN = "\n\n"


def _rows(pair: PreferencePair) -> list[Row]:
    system = [message.content for message in pair.prompt if message.role == "system"]
    said = [message for message in pair.prompt if message.role != "system"]
    head = [_turn("system", _BETWEEN.join(system))] if system else []
    return [
        {
            "conversations": head + _alternating(said),
            "chosen": _turn("gpt", pair.chosen.text),
            "rejected": _turn("gpt", pair.rejected.text),
            "tools": to_json([_definition(tool) for tool in pair.tools]) if pair.tools else "",
        }
    ]


def _entry(file: str) -> Mapping[str, Any]:
    """The entry for a file of these rows."""
    columns = {"messages": "conversations", "chosen": "chosen", "rejected": "rejected", "tools": "tools"}
    return {"file_name": file, "formatting": "sharegpt", "ranking": True, "columns": columns}


def _alternating(messages: Iterable[Message]) -> list[Row]:
    """One turn for all that a side says in a row; an empty one by the user where the assistant speaks first."""
    turns = [_side(list(together)) for _, together in groupby(messages, lambda message: message.role == "assistant")]
    if turns and turns[0]["from"] in ("gpt", "function_call"):
        turns.insert(0, _turn("human", ""))
    return turns


def _side(messages: list[Message]) -> Row:
    """Calls go without the text beside them, and results that the user speaks right after are said by the user."""
    calls = [call for message in messages for call in message.tool_calls]
    if calls:
        return _turn("function_call", to_json([_call(call) for call in calls]))
    speaker = "gpt"
    if messages[0].role != "assistant":
        speaker = "human" if any(message.role == "user" for message in messages) else "observation"
    return _turn(speaker, _BETWEEN.join(message.content for message in messages))


def _call(call: Mapping[str, Any]) -> Row:
    function = called_function(call)
    return {"name": function.get("name"), "arguments": _arguments(function.get("arguments"))}


def _arguments(text: Any) -> Any:
    """An object; text that is no JSON, a slip of the model, as the one argument `input`."""
    try:
        return parse_json(text) if text else {}
    except InputError:
        return {"input": text}


def _definition(tool: Mapping[str, Any]) -> Mapping[str, Any]:
    """What the tool is, without OpenAI's wrapping."""
    function = tool.get("function")
    return function if isinstance(function, Mapping) else tool


def _turn(speaker: str, text: str) -> Row:
    return {"from": speaker, "value": text}


LLAMA_FACTORY = PreferenceFormat(rows=_rows, catalogue="dataset_info.json", entry=_entry)
