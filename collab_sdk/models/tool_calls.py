"""The calls of tools in what a model or a bot answered, in OpenAI's form whoever wrote them."""

import json
from collections.abc import Mapping
from typing import Any

from collab_sdk.errors import InputError

ToolCallDict = dict[str, Any]


def tool_calls_in(message: Any) -> tuple[ToolCallDict, ...]:
    """The calls in a message, a mapping or an object, of OpenAI's making or LangChain's.

    Each is `{"id": text, "type": "function", "function": {"name": text, "arguments": text}}`, with an id of its own.
    Arguments stay as the model wrote them, be they JSON or not: that is the model's fault, and is to be seen. The name
    is empty where it named none. Raises InputError for what is no list of calls of functions.
    """
    found = _calls(message)
    if not isinstance(found, list | tuple):
        raise InputError("tool_calls must be a list of calls")
    calls: list[ToolCallDict] = []
    ids: set[str] = set()
    for position, call in enumerate(found):
        given = field_of(call, "id")
        call_id = str(given) if isinstance(given, str | int) and str(given) not in ("", *ids) else f"call_{position}"
        while call_id in ids:
            call_id += "_"
        ids.add(call_id)
        calls.append({"id": call_id, "type": "function", "function": _function(call)})
    return tuple(calls)


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
    is_call = isinstance(call, Mapping) or hasattr(call, "function") or hasattr(call, "name")
    if not is_call or field_of(call, "type") == "custom":
        raise InputError("a call must be of a function, with its name and arguments")
    if function is None:  # LangChain's, or one of no function
        name, arguments = field_of(call, "name"), field_of(call, "args")
    else:
        name, arguments = field_of(function, "name"), field_of(function, "arguments")
    return {"name": "" if name is None else str(name).strip(), "arguments": _text(arguments)}


def _text(arguments: Any) -> str:
    if isinstance(arguments, str):
        return arguments
    try:
        return "{}" if arguments is None else json.dumps(arguments, ensure_ascii=False, default=str)
    except (TypeError, ValueError, RecursionError):
        raise InputError("the arguments of a call must be JSON, or text") from None


def field_of(value: Any, *names: str) -> Any:
    """The first of these that a mapping or an object has."""
    for name in names:
        found = value.get(name) if isinstance(value, Mapping) else getattr(value, name, None)
        if found is not None:
            return found
    return None
