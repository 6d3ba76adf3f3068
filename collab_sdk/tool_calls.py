"""The calls of tools in a message of a log, a model or a bot, in OpenAI's form whoever wrote them."""

import json
from collections.abc import Iterable, Mapping
from typing import Any

from collab_sdk.errors import InputError, UsageError

__all__ = ["INFERRED", "REMARK", "as_tools", "field_of", "is_inferred", "tool_calls_in", "without_remark"]

ToolCallDict = dict[str, Any]
REMARK, INFERRED = "$comment", "inferred from calls"
"""In the schema of a tool that nobody declared: models are told of it, and no call is refused for its schema."""
READ = ("id", "type", "function", "custom", "name", "args", "index", "error")


def tool_calls_in(message: Any) -> tuple[ToolCallDict, ...]:
    """The calls in a message, a mapping or an object, of OpenAI's making or LangChain's.

    Each is `{"id": text, "type": "function", "function": {"name": text, "arguments": text}}`, with an id of its own and
    whatever else stands beside it, such as a signature that the provider wants back. Arguments stay as the model wrote
    them, be they JSON or not: that is the model's fault, and is to be seen. The name is empty where it named none.
    Raises InputError for what is no list of calls of functions.
    """
    found = _calls(message)
    if not isinstance(found, list | tuple):
        raise InputError("tool_calls must be a list of calls of functions")
    calls: list[ToolCallDict] = []
    ids: set[str] = set()
    for position, call in enumerate(found):
        given = field_of(call, "id")
        call_id = (
            str(given) if isinstance(given, str | int) and given != "" and str(given) not in ids else f"call_{position}"
        )
        while call_id in ids:
            call_id += "_"
        ids.add(call_id)
        calls.append({**_beside(call), "id": call_id, "type": "function", "function": _function(call)})
    return tuple(calls)


def as_tools(values: Iterable[Mapping[str, Any]]) -> tuple[Mapping[str, Any], ...]:
    """Tools in OpenAI's form. Raises UsageError for what is no list of JSON objects."""
    tools = tuple(values) if isinstance(values, Iterable) and not isinstance(values, str | Mapping) else None
    try:
        json.dumps(tools, allow_nan=False)
    except (TypeError, ValueError, RecursionError):
        tools = None
    if tools is None or not all(isinstance(tool, Mapping) for tool in tools):
        raise UsageError('tools must be a list of JSON objects: [{"type": "function", "function": {"name": ...}}].')
    return tools


def is_inferred(tool: Mapping[str, Any]) -> bool:
    """Whether the tool, in OpenAI's form, is known from calls alone."""
    schema = _schema(tool)
    return schema is not None and schema.get(REMARK) == INFERRED


def without_remark(tool: Mapping[str, Any]) -> dict[str, Any]:
    """The tool as models get it."""
    if not is_inferred(tool):
        return dict(tool)
    schema = {name: value for name, value in tool["function"]["parameters"].items() if name != REMARK}
    return {**tool, "function": {**tool["function"], "parameters": schema}}


def _schema(tool: Mapping[str, Any]) -> Mapping[str, Any] | None:
    function = tool.get("function")
    schema = function.get("parameters") if isinstance(function, Mapping) else None
    return schema if isinstance(schema, Mapping) else None


def _beside(call: Any) -> dict[str, Any]:
    """What stands in a call beside what is read of it."""
    return {name: value for name, value in call.items() if name not in READ} if isinstance(call, Mapping) else {}


def _calls(message: Any) -> Any:
    found = field_of(message, "tool_calls")
    if not isinstance(message, Mapping) and not isinstance(found, list | tuple):
        found = None  # such as the attribute of a mock
    unread = field_of(message, "invalid_tool_calls")  # LangChain keeps what is no JSON apart
    if isinstance(unread, list) and unread:
        return [*(found or ()), *unread]
    if not found:
        legacy = field_of(message, "function_call")
        return [{"function": legacy}] if isinstance(field_of(legacy, "name"), str) else ()
    return found


def _function(call: Any) -> dict[str, str]:
    function = field_of(call, "function")
    if not isinstance(call, Mapping) and not hasattr(call, "function") and not hasattr(call, "name"):
        raise InputError("tool_calls must be a list of calls of functions, each with a name and arguments")
    if (custom := field_of(call, "custom")) is not None:  # of a tool that takes any text
        name, arguments = field_of(custom, "name"), field_of(custom, "input")
    elif function is None:  # LangChain's, or one of no function
        name, arguments = field_of(call, "name"), field_of(call, "args")
    else:
        name, arguments = field_of(function, "name"), field_of(function, "arguments")
    if not isinstance(name, str | int | float | None):  # a model may write a number
        raise InputError(f"the name of a call must be text, not {type(name).__name__}")
    return {"name": "" if name is None else str(name).strip(), "arguments": _text(arguments)}


def _text(arguments: Any) -> str:
    if isinstance(arguments, str):
        return arguments
    try:
        return "{}" if arguments is None else json.dumps(arguments, ensure_ascii=False, separators=(",", ":"))
    except (TypeError, ValueError, RecursionError):
        raise InputError("the arguments of a call must be JSON, or text") from None


def field_of(value: Any, *names: str) -> Any:
    """The first of these that a mapping or an object has."""
    for name in names:
        found = value.get(name) if isinstance(value, Mapping) else getattr(value, name, None)
        if found is not None:
            return found
    return None
