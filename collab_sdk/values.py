"""Frozen dataclasses as JSON values and back, read by their type hints."""

import json
import sys
from collections.abc import Mapping
from dataclasses import MISSING, fields, is_dataclass
from enum import Enum
from functools import cache
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from collab_sdk.errors import closest, did_you_mean

__all__ = ["dumps", "loads", "read_value"]

NAMES = {str: "text", bool: "true or false", int: "a whole number", float: "a number"}
_PLAIN: Mapping[Any, tuple[type, ...]] = {str: (str,), bool: (bool,), int: (int,), float: (float, int)}


def dumps(value: Any) -> str:
    """ASCII, so that a lone surrogate passes too. Raises TypeError for what is neither a value of ours nor JSON."""
    return json.dumps(value, default=_parts, separators=(",", ":"))


def loads(kind: Any, text: str | bytes) -> Any:
    """What `dumps` was given, of the type `kind`. Raises ValueError for what is no such value."""
    try:
        return read_value(kind, json.loads(text))
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError(f"no value of {kind}: {error}") from error


def read_value(kind: Any, value: Any, where: str = "") -> Any:
    """A value of the type `kind` from JSON values; frozen dataclasses, tuples and enums come back as such.

    A missing field of a dataclass takes its default. Raises ValueError with the place of what does not fit.
    """
    if kind is Any:
        return value
    if kind in _PLAIN:
        if type(value) not in _PLAIN[kind]:
            raise ValueError(f"{_at(where)}expected {NAMES[kind]}, not {_shown(value)}")
        if kind is float and type(value) is int and abs(value) > sys.float_info.max:
            raise ValueError(f"{_at(where)}expected a number that a float can hold")
        return value
    if isinstance(kind, type) and is_dataclass(kind):
        return _read_dataclass(kind, value, where)
    if isinstance(kind, type) and issubclass(kind, Enum):
        return kind(value)
    origin, of = get_origin(kind), get_args(kind)
    if origin in (Union, UnionType):
        if value is None and NoneType in of:
            return None
        return read_value(next(each for each in of if each is not NoneType), value, where)
    if origin is Literal:
        if value not in of:
            raise ValueError(f"{_at(where)}expected one of {', '.join(map(str, of))}, not {_shown(value)}")
        return value
    if origin in (list, tuple):
        return _read_sequence(origin, of, value, where)
    if isinstance(origin, type) and issubclass(origin, Mapping):
        if not isinstance(value, Mapping):
            raise ValueError(f"{_at(where)}expected a table, not {_shown(value)}")
        keys = int if of[0] is int else str
        return {keys(key): read_value(of[1], item, _below(where, key)) for key, item in value.items()}
    raise TypeError(f"{kind} cannot come back from JSON")


def _read_dataclass(kind: type, value: Any, where: str) -> Any:
    if not isinstance(value, Mapping):
        raise ValueError(f"{_at(where)}expected a table, not {_shown(value)}")
    types = _types(kind)
    if unknown := [name for name in value if name not in types]:
        hint = did_you_mean(closest(str(unknown[0]), types), after=": ") or ":"
        raise ValueError(f"{_at(where)}unknown key {unknown[0]!r}{hint} known are {', '.join(types)}")
    required = [f.name for f in fields(kind) if f.default is MISSING and f.default_factory is MISSING]
    if missing := [name for name in required if name not in value]:
        raise ValueError(f"{_at(where)}{missing[0]!r} is missing")
    return kind(**{name: read_value(types[name], item, _below(where, name)) for name, item in value.items()})


def _read_sequence(origin: Any, of: tuple[Any, ...], value: Any, where: str) -> Any:
    if not isinstance(value, list | tuple):
        raise ValueError(f"{_at(where)}expected a list, not {_shown(value)}")
    kinds = [of[0]] * len(value) if origin is list or of[1:] == (...,) else of
    if len(kinds) != len(value):
        raise ValueError(f"{_at(where)}expected {len(kinds)} values, not {len(value)}")
    items = [read_value(each, item, f"{where}[{n}]") for n, (each, item) in enumerate(zip(kinds, value, strict=True))]
    return items if origin is list else tuple(items)


def _parts(value: Any) -> Any:
    if is_dataclass(value) and not isinstance(value, type):
        return {name: getattr(value, name) for name in _types(type(value))}
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"{type(value).__name__} cannot travel as JSON")


@cache
def _types(kind: type) -> dict[str, Any]:
    """The types of a dataclass's fields, by name."""
    hints = get_type_hints(kind)
    return {field.name: hints[field.name] for field in fields(kind)}


def _at(where: str) -> str:
    return f"{where}: " if where else ""


def _below(where: str, name: Any) -> str:
    return f"{where}.{name}" if where else str(name)


def _shown(value: Any) -> str:
    text = json.dumps(value, default=str)
    return text if len(text) <= 60 else f"{text[:59]}…"
