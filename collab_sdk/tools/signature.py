"""A tool's specification from a Python function: its name, docstring, parameters and type hints."""

import inspect
import types
from collections.abc import Callable, Mapping, Sequence
from enum import Enum
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints, is_typeddict

from collab_sdk.errors import UsageError
from collab_sdk.tools.base import function_tool

KINDS: Mapping[Any, str] = {
    str: "string",
    bool: "boolean",
    int: "integer",
    float: "number",
    dict: "object",
    list: "array",
    tuple: "array",
    set: "array",
    types.NoneType: "null",
}
LISTS = (list, tuple, set, frozenset, Sequence)


def tool_of(function: Callable[..., Any], name: str) -> dict[str, Any]:
    """The tool in OpenAI's form. Raises UsageError for a function that cannot be called with arguments by name."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        raise UsageError(f"The tool {name} has no signature to read: wrap it in a function.") from None
    if by_place := [each.name for each in parameters if each.kind in (each.POSITIONAL_ONLY, each.VAR_POSITIONAL)]:
        raise UsageError(f"The tool {name} takes {by_place[0]} by position; arguments of tools have names.")
    hints = _hints(function)
    named = [each for each in parameters if each.kind is not each.VAR_KEYWORD]
    schema = {
        "type": "object",
        "properties": {each.name: _schema(hints.get(each.name, Any)) for each in named},
        "required": [each.name for each in named if each.default is each.empty],
        "additionalProperties": len(named) < len(parameters),
    }
    return function_tool(name, inspect.getdoc(function) or "", schema)


def _hints(function: Callable[..., Any]) -> dict[str, Any]:
    try:
        return get_type_hints(inspect.unwrap(function), include_extras=True)
    except Exception:  # a name that is imported for type checkers only, or no function at all
        return {}


def _schema(hint: Any) -> dict[str, Any]:
    """The JSON Schema of a type hint; one that says nothing of JSON allows anything."""
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is Annotated:
        said = [each for each in arguments[1:] if isinstance(each, str)]
        return {**_schema(arguments[0]), **({"description": said[0]} if said else {})}
    if origin in (Union, types.UnionType):
        return _either([_schema(each) for each in arguments])
    if origin is Literal:
        return _among(arguments)
    if isinstance(hint, type) and issubclass(hint, Enum):
        return _among([each.value for each in hint])
    if is_typeddict(hint):
        fields = {name: _schema(each) for name, each in get_type_hints(hint, include_extras=True).items()}
        return {"type": "object", "properties": fields, "required": sorted(hint.__required_keys__)}
    kind = origin or hint
    if kind in LISTS:
        items = _schema(arguments[0]) if arguments else {}
        return {"type": "array", **({"items": items} if items else {})}
    if isinstance(kind, type) and issubclass(kind, Mapping):
        return {"type": "object"}
    return {"type": KINDS[kind]} if kind in KINDS else {}


def _among(values: Sequence[Any]) -> dict[str, Any]:
    kinds = sorted({KINDS[type(value)] for value in values if type(value) in KINDS})
    return {**({"type": kinds[0] if len(kinds) == 1 else kinds} if kinds else {}), "enum": list(values)}


def _either(schemas: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """One of several: as a list of types where they are nothing but types, which every server takes."""
    if any(not schema for schema in schemas):
        return {}
    kept = [schema for schema in schemas if schema != {"type": "null"}]
    if len(kept) == 1 and "enum" not in kept[0] and isinstance(kept[0].get("type"), str):
        return {**kept[0], "type": [kept[0]["type"], "null"]} if len(schemas) > 1 else kept[0]
    if all(schema.keys() == {"type"} for schema in schemas):
        return {"type": [schema["type"] for schema in schemas]}
    return {"anyOf": list(schemas)}
