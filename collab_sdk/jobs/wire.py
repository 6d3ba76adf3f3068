"""The package's values as JSON text, for the way to another process and back."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields, is_dataclass
from enum import Enum
from functools import cache
from types import NoneType, UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

from collab_sdk.errors import CollabError


def dumps(value: Any) -> str:
    """ASCII, so that a lone surrogate passes too. Raises TypeError for what is neither a value of ours nor JSON."""
    return json.dumps(value, default=_parts, separators=(",", ":"))


def loads(kind: Any, text: str | bytes) -> Any:
    """What `dumps` was given, of the type `kind`; frozen dataclasses, tuples and enums come back as such.

    Raises ValueError for what is no such value.
    """
    try:
        return _read(kind, json.loads(text))
    except (LookupError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError(f"no value of {kind}") from error


def error_row(error: CollabError) -> list[str]:
    return [type(error).__name__, str(error)]


def error_of(row: Sequence[str]) -> CollabError:
    """The error with its type, as far as this version of the package has it, and its message."""
    return next((kind for kind in _kinds(CollabError) if kind.__name__ == row[0]), CollabError)(row[1])


def _kinds(base: type[CollabError]) -> Iterator[type[CollabError]]:
    yield base
    for kind in base.__subclasses__():
        yield from _kinds(kind)


def _parts(value: Any) -> Any:
    if is_dataclass(value) and not isinstance(value, type):
        return {name: getattr(value, name) for name in _types(type(value))}
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"{type(value).__name__} cannot travel as JSON")


@cache
def _types(kind: type) -> dict[str, Any]:
    """Of a dataclass's fields, by name."""
    hints = get_type_hints(kind)
    return {field.name: hints[field.name] for field in fields(kind)}


def _read(kind: Any, value: Any) -> Any:
    if kind is Any:
        return value
    if kind in _PLAIN:
        if type(value) not in _PLAIN[kind]:
            raise TypeError(f"{kind} cannot be {type(value)}")
        return value
    if isinstance(kind, type) and is_dataclass(kind):
        return kind(**{name: _read(of, value[name]) for name, of in _types(kind).items()})
    if isinstance(kind, type) and issubclass(kind, Enum):
        return kind(value)
    origin, of = get_origin(kind), get_args(kind)
    if origin in (Union, UnionType):
        if value is None and NoneType in of:
            return None
        return _read(next(each for each in of if each is not NoneType), value)
    if origin is list:
        return [_read(of[0], item) for item in value]
    if origin is tuple:
        kinds = [of[0]] * len(value) if of[1:] == (...,) else of
        return tuple(_read(each, item) for each, item in zip(kinds, value, strict=True))
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return {(int(key) if of[0] is int else key): _read(of[1], item) for key, item in value.items()}
    raise TypeError(f"{kind} cannot come back from JSON")


_PLAIN: Mapping[Any, tuple[type, ...]] = {str: (str,), bool: (bool,), int: (int,), float: (float, int)}
