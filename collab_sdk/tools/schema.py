"""Whether arguments fit a tool's schema, in the part of JSON Schema that tools use."""

from collections.abc import Mapping
from typing import Any

from collab_sdk.tools.base import tool_parameters

KINDS: Mapping[str, tuple[type, ...]] = {
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "array": (list,),
    "object": (dict,),
    "null": (type(None),),
}


def mistakes(arguments: Mapping[str, Any], tool: Mapping[str, Any]) -> list[str]:
    """What is wrong with the arguments of a call, a phrase each. A schema that cannot be read forbids nothing."""
    try:
        return _wrong(arguments, tool_parameters(tool))
    except RecursionError:
        return []


def _wrong(arguments: Mapping[str, Any], schema: Mapping[str, Any]) -> list[str]:
    known, required = schema.get("properties"), schema.get("required")
    known = known if isinstance(known, Mapping) else {}
    needed = [name for name in required if isinstance(name, str)] if isinstance(required, list | tuple) else []
    wrong = [f"{name} is missing" for name in needed if name not in arguments]
    for name, value in arguments.items():
        if isinstance(known.get(name), Mapping):
            wrong += _mistakes(value, known[name], name)
        elif known and schema.get("additionalProperties") is False:
            wrong.append(f"{name} is no argument of it")
    return wrong


def _mistakes(value: Any, schema: Mapping[str, Any], name: str) -> list[str]:
    kinds = schema.get("type")
    kinds = [kinds] if isinstance(kinds, str) else kinds if isinstance(kinds, list) else []
    kinds = kinds if all(isinstance(kind, str) for kind in kinds) else []
    if kinds and not any(_is_a(value, kind) for kind in kinds):
        return [f"{name} must be of type {' or '.join(kinds)}"]
    allowed = schema.get("enum")
    if isinstance(allowed, list) and allowed and value not in allowed:
        return [f"{name} must be one of {', '.join(map(str, allowed))}"]
    items = schema.get("items")
    if isinstance(value, list) and isinstance(items, Mapping):
        return [wrong for n, item in enumerate(value) for wrong in _mistakes(item, items, f"{name}[{n}]")]
    return []


def _is_a(value: Any, kind: str) -> bool:
    if isinstance(value, bool):
        return kind == "boolean" or kind not in KINDS
    if kind == "integer" and isinstance(value, float):
        return value.is_integer()
    return kind not in KINDS or isinstance(value, KINDS[kind])
