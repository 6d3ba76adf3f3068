"""The formats of chat logs by name, and which of them a row is in.

Each is an entry point with the format's own name: of `collab_sdk.log_formats`, a `ConversationFormat`, a `CallFormat`
or an `EventFormat`; of `collab_sdk.log_databases`, a `DatabaseFormat`.
"""

from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any, cast

from collab_sdk.errors import InputError
from collab_sdk.logs.formats.call_row import CallFormat
from collab_sdk.logs.formats.conversation_row import ConversationFormat
from collab_sdk.logs.formats.databases import DatabaseFormat
from collab_sdk.logs.formats.event_rows import EventFormat
from collab_sdk.plugins import load, names

LogFormat = ConversationFormat | CallFormat | EventFormat

DEEPEST = 4
"""Lists or objects around a row, such as the pages of an API's answers."""
_KEYS_SHOWN = 10


def log_format_names() -> list[str]:
    return names("log_formats")


def get_log_format(name: str) -> LogFormat:
    """The format of that name. Raises UnknownNameError listing them, UsageError for one that cannot be loaded."""
    return cast(LogFormat, load("log_formats", name))


@cache
def log_formats() -> tuple[LogFormat, ...]:
    """All formats, in the order in which a row is tried: by their priority, then by name."""
    formats = [get_log_format(name) for name in log_format_names()]
    return tuple(sorted(formats, key=lambda format: (format.priority, format.name)))


@cache
def log_databases() -> tuple[DatabaseFormat, ...]:
    return tuple(load("log_databases", name) for name in names("log_databases"))


def is_row(value: Any) -> bool:
    """Whether some format takes this value for its own."""
    return _format_of(value) is not None


def format_of(row: Any, forced: LogFormat | None = None) -> tuple[LogFormat, Mapping[str, Any]]:
    """The format of a row, and the row. Raises InputError."""
    found = forced if isinstance(row, Mapping) and forced else _format_of(row)
    if found is None:
        known = ", ".join(f"{known.name} ({known.known_by})" for known in log_formats())
        raise InputError(f"no known chat format: found {_describe(row)}; known: {known}")
    return found, row


def entries(value: Any, forced: LogFormat | None = None) -> Iterator[tuple[LogFormat, Mapping[str, Any]]]:
    """The rows in a value, each with its format: itself, a list of messages, or what lists and objects wrap.

    Raises InputError where nothing in it is a row.
    """
    found = list(_entries(value, forced, DEEPEST))
    yield from found or [format_of(value, forced)]


def _entries(value: Any, forced: LogFormat | None, deepest: int) -> Iterator[tuple[LogFormat, Mapping[str, Any]]]:
    if isinstance(value, Mapping):
        if known := forced or _format_of(value):
            yield known, value
        elif deepest:
            yield from _wrapped(value, deepest)
    elif isinstance(value, list) and deepest:
        if _are_messages(value):
            yield from _entries({"messages": value}, forced, 1)
            return
        for one in value:
            yield from _entries(one, forced, deepest - 1)


def _wrapped(value: Mapping[str, Any], deepest: int) -> Iterator[tuple[LogFormat, Mapping[str, Any]]]:
    """What stands in the first of the object's lists, or of the objects in it, that holds rows."""
    for inner in value.values():
        if isinstance(inner, list | Mapping) and inner and not _are_messages(inner):
            found = list(_entries(inner, None, deepest - 1))
            if found:
                yield from found
                return


def _are_messages(value: Any) -> bool:
    """Whether it is a list of messages, and not of rows that hold one each."""
    return (
        isinstance(value, list)
        and bool(value)
        and all(isinstance(one, Mapping) and ("role" in one or "from" in one) for one in value)
        and _format_of(value[0]) is None
    )


def _format_of(value: Any) -> LogFormat | None:
    if not isinstance(value, Mapping):
        return None
    return next((known for known in log_formats() if known.matches(value)), None)


def _describe(row: Any) -> str:
    if not isinstance(row, Mapping):
        return f"no object but {type(row).__name__}"
    keys = [repr(key[:40]) for key in row]
    more = ", ..." if len(keys) > _KEYS_SHOWN else ""
    return f"the keys {', '.join(keys[:_KEYS_SHOWN])}{more}" if keys else "no keys"
