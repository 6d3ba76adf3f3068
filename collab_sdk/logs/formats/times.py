"""When a logged chat was, where its log tells."""

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from collab_sdk.logs.formats.cells import number_of
from collab_sdk.logs.formats.spellings import plain

_NAMES = (
    *("ended", "update_time", "updated_at", "last_updated", "end_time", "ended_at", "timestamp", "create_time"),
    *("created_at", "datetime", "date", "time", "sent_at", "created", "updated", "inserted_at", "tstamp", "ts"),
    *("completed_at", "processed_time", "start_time"),
)
"""What rows, their metadata and their messages call it, the latest first."""
_EARLIEST = 1e8
"""1973; a smaller number counts something else."""
_LATEST = 1e11
"""A larger number counts in milliseconds, or in finer units."""
_FINER = ((1e17, 1e9), (1e14, 1e6), (_LATEST, 1e3))
_NUMBER = re.compile(r"[0-9]{9,19}(?:\.[0-9]{1,9})?")


def seconds(value: Any) -> float:
    """Unix seconds of a time in ISO 8601, in UTC if it does not say, or of a number of seconds or finer units.

    0 for what is no time.
    """
    try:
        if isinstance(value, str) and _NUMBER.fullmatch(value):
            value = float(value)
        if isinstance(value, int | float):
            return float(value) / next((parts for least, parts in _FINER if value >= least), 1)
        moment = datetime.fromisoformat(value.removesuffix(" UTC"))
    except (AttributeError, TypeError, ValueError, OverflowError):
        return 0.0
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def last_time(row: Mapping[str, Any]) -> float | None:
    """Unix seconds of the end of a chat: as the row says, its metadata, or its last message, which may come first."""
    messages = row.get("messages")
    ends = (messages[0], messages[-1]) if isinstance(messages, Sequence) and messages else ()
    for said in ((row,), (row.get("metadata"),), ends):
        times = [next(filter(None, map(_plausible, _times(one))), None) for one in said]
        if found := [time for time in times if time]:
            return max(found)
    return None


def time_of(message: Mapping[str, Any]) -> float | None:
    """When a message was sent, in a unit that is the same for all messages of a chat; None where it does not tell."""
    return next((time for value in _times(message) if (time := _number(value))), None)


def has_unread_time(message: Mapping[str, Any]) -> bool:
    """Whether a message tells when it was sent in a form that is not read."""
    return time_of(message) is None and any(isinstance(one, str) and one.strip() for one in _times(message))


def _times(said: Any) -> list[Any]:
    spelled = {plain(key): value for key, value in said.items()} if isinstance(said, Mapping) else {}
    return [spelled[name] for name in _NAMES if name in spelled]


def _number(value: Any) -> float:
    return 0.0 if isinstance(value, bool) else seconds(value) or float(number_of(value) or 0)


def _plausible(value: Any) -> float | None:
    time = _number(value)
    return time if _EARLIEST < time < _LATEST else None
