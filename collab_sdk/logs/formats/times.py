"""When a logged chat was, where its log tells."""

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

_NAMES = (
    *("ended", "end_time", "completed_at", "update_time", "updated_at", "timestamp", "create_time", "created_at"),
    *("created", "datetime", "date", "time", "ts", "start_time"),
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
        moment = datetime.fromisoformat(value)
    except (TypeError, ValueError, OverflowError):
        return 0.0
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def last_time(row: Mapping[str, Any]) -> float | None:
    """Unix seconds of the end of a chat: as the row says, its metadata, or its last message."""
    messages = row.get("messages")
    last = messages[-1] if isinstance(messages, Sequence) and messages else None
    for said in (row, row.get("metadata"), last):
        if isinstance(said, Mapping):
            for name in _NAMES:
                if found := _plausible(said.get(name)):
                    return found
    return None


def _plausible(value: Any) -> float | None:
    time = 0.0 if isinstance(value, bool) else seconds(value)
    return time if _EARLIEST < time < _LATEST else None
