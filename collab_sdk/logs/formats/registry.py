"""The formats of chat logs by name, and which of them a row is in.

Each is an entry point of `collab_sdk.log_formats` with the format's own name: a `ConversationFormat` or a `CallFormat`.
"""

from collections.abc import Mapping
from functools import cache
from typing import Any, cast

from collab_sdk.errors import InputError
from collab_sdk.logs.formats.call_row import CallFormat
from collab_sdk.logs.formats.conversation_row import ConversationFormat
from collab_sdk.plugins import load, names

LogFormat = ConversationFormat | CallFormat

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
