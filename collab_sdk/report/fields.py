"""Values out of JSON that anybody may have written: what is not of the kind asked for is as good as absent."""

from collections.abc import Iterator
from typing import Any

from collab_sdk.messages import Ending, Message, deeds_of, shown_text
from collab_sdk.types import LARGEST_VALUE

Row = dict[str, Any]
Deeds = tuple[tuple[str, ...], ...]

ENDINGS = frozenset(Ending)


def text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def number(value: Any) -> float | None:
    if not isinstance(value, int | float) or isinstance(value, bool):
        return None
    return float(value) if -LARGEST_VALUE <= value <= LARGEST_VALUE else None


def count(value: Any) -> int:
    """A whole number from 0."""
    return max(int(number(value) or 0), 0)


def mapping(value: Any) -> Row:
    return value if isinstance(value, dict) else {}


def rows(value: Any) -> list[Row]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def texts(value: Any) -> list[str]:
    return [item for item in value if isinstance(item, str)] if isinstance(value, list) else []


def numbers(value: Any) -> dict[str, float]:
    """By name."""
    found = {name: number(item) for name, item in mapping(value).items()}
    return {name: item for name, item in found.items() if item is not None}


def messages(value: Any) -> list[Row]:
    """Role and content of each, the calls in it, and the id of the call that a result answers."""
    return [_message(item) for item in rows(value)]


def _message(row: Row) -> Row:
    message: Row = {"role": text(row.get("role")) or "user", "content": text(row.get("content"))}
    if (ended := text(row.get("ended"))) in ENDINGS:
        message["ended"] = ended
    if calls := _of(row).calls:
        message["calls"] = [{"id": call.id, "name": call.name, "arguments": call.arguments} for call in calls]
    if message["role"] == "tool":
        message["answers"] = text(row.get("tool_call_id"))
        message["name"] = text(row.get("name"))
    return message


def said(value: Any) -> str:
    """What the user reads of the messages."""
    return shown_text(map(_of, rows(value)))


def deeds(value: Any) -> Deeds:
    """What the assistant said and called in the messages, whichever way its arguments are written."""
    return deeds_of(map(_of, rows(value)))


def _of(row: Row) -> Message:
    calls = tuple(rows(row.get("tool_calls")))
    return Message(role=text(row.get("role")) or "user", content=text(row.get("content")), tool_calls=calls)


def future(value: Any) -> Row | None:
    """What followed a response."""
    if not isinstance(value, dict):
        return None
    return {
        "messages": messages(value.get("messages")),
        "end": text(value.get("end")),
        "reason": text(value.get("reason")),
        "metrics": numbers(value.get("metrics")),
        "notes": {name: note for name, note in mapping(value.get("notes")).items() if isinstance(note, str)},
        "reward": number(value.get("reward")),
        "error": text(value.get("error")) or None,
        "user": text(value.get("user")),
        "persona": text(value.get("persona")),
    }


def futures(value: Any) -> Iterator[Row]:
    for row in rows(value):
        found = future(row)
        if found is not None:
            yield found
