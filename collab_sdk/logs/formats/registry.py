"""The formats of chat logs by name, and which of them a row is in.

Each is an entry point with the format's own name: of `collab_sdk.log_formats`, a `ConversationFormat`, a `CallFormat`
or an `EventFormat`; of `collab_sdk.log_databases`, a `DatabaseFormat`.
"""

import re
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any, cast

from collab_sdk.errors import InputError
from collab_sdk.logs.formats.call_row import CallFormat
from collab_sdk.logs.formats.conversation_row import ConversationFormat
from collab_sdk.logs.formats.databases import DatabaseFormat
from collab_sdk.logs.formats.event_rows import EventFormat
from collab_sdk.logs.formats.spellings import plain, type_of
from collab_sdk.plugins import load, names

LogFormat = ConversationFormat | CallFormat | EventFormat

DEEPEST = 4
"""Lists or objects around a row, such as the pages of an API's answers."""
WRAPPERS = frozenset(
    """data items item messages results result rows row records record conversations conversation chats chat threads
    thread sessions session traces trace runs spans observations dialogs dialogues logs log loglines entries list value
    values objects documents hits _source source body payload export response generations calls requests""".split()
)
"""What lists of rows, and objects around a row, are called by those who wrap them, in the spelling of `plain`."""
_OF_MESSAGES = frozenset("role content from value name parts tool_calls tool_call_id refusal reasoning_content".split())
"""Keys that messages have and that no row is known by."""
_KEYS_SHOWN = 10
_NEAR = 3
_WORD = re.compile(r"[\w.]+")
_OUR_PREFIX = "collab/"
_REPORT = "look at it with collab report"
_OUR_CHATS = ("conversation", "preference")
_OURS = {
    "scored-turn": f"a turn that was scored: {_REPORT}",
    "score": f"a score: {_REPORT}",
    "evaluation": f"a conversation that was played: {_REPORT}",
    "simulator-check": f"a check of the simulator: {_REPORT}",
    "run": "what is known of a run: read the file that lies beside it",
    "stored-chat": "a line of a list: read the store that it is of",
    "decisions": "decisions about pairs: apply them with collab report --apply",
    "calibration": "a calibration: hand it to --calibration",
}
"""By the schema of a row that is ours, and no chat."""


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


class UnknownRowError(InputError):
    """A row is of no known format."""


def format_of(row: Any, forced: LogFormat | None = None) -> tuple[LogFormat, Mapping[str, Any]]:
    """The format of a row, and the row. Raises UnknownRowError."""
    found = forced if isinstance(row, Mapping) and forced else _format_of(row)
    if found is None:
        raise UnknownRowError(f"no known chat format: found {_describe(row)}; {_nearest(row)}")
    return found, row


def entries(value: Any, forced: LogFormat | None = None) -> Iterator[tuple[LogFormat, Mapping[str, Any]]]:
    """The rows in a value, each with its format: itself, a list of messages, or what lists and objects wrap.

    Raises InputError where nothing in it is a row.
    """
    if ours := _ours(value):
        raise UnknownRowError(ours)
    found = list(_entries(value, forced, DEEPEST))
    yield from found or [format_of(value, forced)]


def _entries(value: Any, forced: LogFormat | None, deepest: int) -> Iterator[tuple[LogFormat, Mapping[str, Any]]]:
    if isinstance(value, Mapping):
        known = _format_of(value) if forced is None else forced if _matches(forced, value) else None
        if known:
            yield known, value
        elif deepest:
            yield from _wrapped(value, forced, deepest)
    elif isinstance(value, list) and deepest:
        if are_messages(value):
            yield from _entries({"messages": value}, forced, 1)
            return
        for one in value:
            found = list(_entries(one, forced, deepest - 1))
            yield from found or ([(forced, one)] if forced and isinstance(one, Mapping) else ())


def _wrapped(
    value: Mapping[str, Any], forced: LogFormat | None, deepest: int
) -> Iterator[tuple[LogFormat, Mapping[str, Any]]]:
    """What stands in the lists and objects that wrap rows; or in all of the object's fields, which are chats by id."""
    holders = {key: inner for key, inner in value.items() if inner and isinstance(inner, list | Mapping)}
    wrapped = [inner for key, inner in holders.items() if plain(key) in WRAPPERS and not are_messages(inner)]
    found = [entry for inner in wrapped for entry in _entries(inner, forced, deepest - 1)]
    if not found and len(holders) == len(value):
        by_id = {key: list(_entries(inner, forced, deepest - 1)) for key, inner in holders.items()}
        if all(by_id.values()):
            found = [
                (known, row if len(rows) > 1 or "id" in row else {"id": key, **row})
                for key, rows in by_id.items()
                for known, row in rows
            ]
    yield from found


def are_messages(value: Any) -> bool:
    """Whether it is a list of messages, and not of rows that hold one each."""
    return (
        isinstance(value, list)
        and bool(value)
        and all(isinstance(one, Mapping) and ("role" in one or "from" in one) for one in value)
        and not _stands_alone(value[0])
    )


def _stands_alone(value: Mapping[str, Any]) -> bool:
    """Whether some format takes this value for a row, wherever it stands."""
    if value.keys() <= _OF_MESSAGES:
        return False
    found = _format_of(value)
    return found is not None and not (isinstance(found, EventFormat) and found.chat(value) is None)


def _format_of(value: Any) -> LogFormat | None:
    if not isinstance(value, Mapping):
        return None
    return next((known for known in log_formats() if _matches(known, value)), None)


def _matches(known: LogFormat, row: Mapping[str, Any]) -> bool:
    """Whether the row is in the format. One that fails over it does not know it, whatever is wrong with either."""
    try:
        return known.matches(row)
    except (ValueError, LookupError, TypeError, AttributeError, ArithmeticError, RecursionError):
        return False


def _describe(row: Any) -> str:
    if not isinstance(row, Mapping):
        return f"no object but {type_of(row)}"
    keys = [repr(key[:40]) for key in row]
    more = ", ..." if len(keys) > _KEYS_SHOWN else ""
    return f"the keys {', '.join(keys[:_KEYS_SHOWN])}{more}" if keys else "no keys"


@cache
def _words_of(known_by: str) -> frozenset[str]:
    return frozenset(map(plain, _WORD.findall(known_by)))


def _ours(row: Any) -> str:
    """What a row of a file that this package wrote is, if it is one and no chat."""
    schema = row.get("schema") if isinstance(row, Mapping) else None
    if not isinstance(schema, str) or not schema.startswith(_OUR_PREFIX):
        return ""
    kind = schema.removeprefix(_OUR_PREFIX).partition("/")[0]
    if kind in _OUR_CHATS:
        return ""
    return f"no chat, but {_OURS.get(kind, f'a row of {schema[:60]}')}"


def _nearest(row: Any) -> str:
    """The formats that are known by keys like those of the row."""
    keys = {plain(key) for key in row} if isinstance(row, Mapping) else set()
    scored = [(len(keys & _words_of(format.known_by)), format) for format in log_formats()]
    most = max((score for score, _ in scored), default=0)
    near = [f"{format.name} ({format.known_by})" for score, format in scored if score == most and most][:_NEAR]
    return f"nearest: {', '.join(near)}" if near else "none of its keys is one that chats are known by"
