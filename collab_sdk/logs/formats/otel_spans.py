"""Spans and log records out of what holds them: OTLP JSON, what SDKs print, Jaeger, Zipkin, Phoenix and Logfire."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from collab_sdk.logs.formats.conversation_row import Row, first_text
from collab_sdk.logs.formats.json_fields import mapping, objects, unpacked
from collab_sdk.logs.formats.times import seconds

_BATCHES = ("resourceSpans", "resource_spans", "resourceLogs", "resource_logs", "batches")
_SCOPES = (
    "scopeSpans",
    "scope_spans",
    "scopeLogs",
    "scope_logs",
    "instrumentationLibrarySpans",
    "instrumentation_library_spans",
    "ilSpans",
)
_ENTRIES = ("spans", "logRecords", "log_records")
_TRACE_IDS = ("trace_id", "traceId", "traceID", "context.trace_id")
_SPAN_IDS = ("span_id", "spanId", "spanID", "context.span_id", "id")
_ATTRIBUTES = ("attributes", "tags")
_COLUMN = "attributes."
_STARTS = (
    *("start_time", "startTime", "startTimeUnixNano", "start_time_unix_nano", "start_timestamp"),
    *("timeUnixNano", "time_unix_nano", "timestamp", "observedTimeUnixNano", "observed_time_unix_nano"),
    "observed_timestamp",
)
_ENDS = ("end_time", "endTime", "endTimeUnixNano", "end_time_unix_nano", "end_timestamp")
_KEPT = 128
"""Attributes of a span, and events, that SDKs keep unless they are told otherwise."""
_INTEGER = re.compile(r"-?[0-9]{1,19}")
_NO_ID = re.compile(r"(?:(?:0x)?0{16,})?")


@dataclass(frozen=True, kw_only=True, slots=True)
class Event:
    """An event of a span, or a log record."""

    name: str
    attributes: Mapping[str, Any]
    body: Any = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Span:
    """A span; or the span that a log record belongs to, with the record as its only event."""

    trace: str | None
    id: str | None
    name: str
    attributes: Mapping[str, Any]
    events: Sequence[Event] = field(default=())
    failed: str | None = None
    """What went wrong, where something did."""
    started: float = 0.0
    ended: float = 0.0
    is_record: bool = False
    is_summary: bool = False
    """Whether it is of an agent or a chain around calls."""
    lost_attributes: bool = False
    """Whether there were more attributes than the SDK keeps, so that some of any kind are missing."""
    lost_events: bool = False


def is_batch(row: Row) -> bool:
    """Whether it is OTLP JSON, as an exporter, a collector or Tempo writes it."""
    return any(key in row for key in _BATCHES[:4]) or any(
        any(key in batch for key in _SCOPES) for batch in objects(row.get("batches"))
    )


def entries_of(row: Row) -> Sequence[Row]:
    """The spans and log records of OTLP JSON; any other row is one itself."""
    if not is_batch(row):
        return [row]
    batches = [batch for key in _BATCHES for batch in objects(row.get(key))]
    scopes = [scope for batch in batches for key in _SCOPES for scope in objects(batch.get(key))]
    return [entry for scope in scopes for key in _ENTRIES for entry in objects(scope.get(key))]


def is_span(row: Row) -> bool:
    """Whether a row has the ids and the attributes of a span, or of a log record."""
    trace, span = _ids(row)
    if not isinstance(trace, str) or not isinstance(span, str):
        return False
    if "tags" in row:  # of Jaeger and Zipkin; others have tags too
        return isinstance(row["tags"], list if "traceID" in row else Mapping)
    if "id" in row and span == row["id"]:
        return False
    return isinstance(unpacked(row.get("attributes")), list | Mapping) or any(key.startswith(_COLUMN) for key in row)


def span_of(row: Row) -> Span:
    attributes = attributes_of(row)
    if isinstance(row.get("span_kind"), str):  # Phoenix's column
        attributes = {"openinference.span.kind": row["span_kind"], **attributes}
    trace, span = (_id(value) for value in _ids(row))
    started, ended = _times(row)
    about: Any = {"started": started, "ended": ended, "attributes": attributes, "trace": trace, "id": span}
    name = _event_name(row)
    if name is not None:
        event = Event(name=name, attributes=attributes, body=_value(row.get("body")))
        return Span(name=name, events=(event,), is_record=True, **about)
    name = first_text(row.get("name"), row.get("operationName"), row.get("span_name")) or ""
    events = tuple(_events(row))
    return Span(
        name=name,
        events=events,
        failed=_failure(row, attributes),
        lost_attributes=_is_lost(row, "attributes") or len(attributes) == _KEPT,
        lost_events=_is_lost(row, "events") or len(events) == _KEPT,
        **about,
    )


def attributes_of(row: Row) -> Mapping[str, Any]:
    """By name, as objects, lists of keys with values, JSON text, or columns of a table."""
    for key in _ATTRIBUTES:
        found = unpacked(row.get(key))
        if isinstance(found, Mapping):
            return found
        if isinstance(found, list):
            return _pairs(found)
    return {
        key.removeprefix(_COLUMN): value
        for key, value in row.items()
        if key.startswith(_COLUMN) and value is not None  # a table has every column in every row
    }


def _is_lost(row: Row, what: str) -> bool:
    counts = (row.get(f"dropped{what.capitalize()}Count"), row.get(f"dropped_{what}_count"), row.get(f"dropped_{what}"))
    return any(isinstance(count, int) and count > 0 for count in counts)


def _events(row: Row) -> Iterator[Event]:
    for event in objects(unpacked(row.get("events") or row.get("otel_events"))):
        name = first_text(event.get("name"), event.get("event_name"))
        if name:
            yield Event(name=name, attributes=attributes_of(event))
    for log in objects(row.get("logs")):  # Jaeger's
        fields = _pairs(log.get("fields") or [])
        if isinstance(fields.get("event"), str):
            yield Event(name=fields["event"], attributes=fields)


def _event_name(row: Row) -> str | None:
    """The name of a log record's event; None for a span."""
    if "body" not in row and "observed_timestamp" not in row and "observedTimeUnixNano" not in row:
        return None
    return first_text(row.get("event_name"), row.get("eventName"), attributes_of(row).get("event.name")) or ""


def _failure(row: Row, attributes: Mapping[str, Any]) -> str | None:
    status = mapping(row.get("status"))
    codes = (status.get("code"), status.get("status_code"), row.get("status_code"), attributes.get("otel.status_code"))
    if not any(code in ("ERROR", "STATUS_CODE_ERROR") or code == 2 for code in codes):
        return None
    said = first_text(status.get("message"), status.get("description"), attributes.get("error.type"))
    return (said or "error").partition("\n")[0]


def _ids(row: Row) -> tuple[Any, Any]:
    context = mapping(row.get("context"))
    trace, span = (
        next((one[key] for one in (context, row) for key in keys if one.get(key) is not None), None)
        for keys in (_TRACE_IDS, _SPAN_IDS)
    )
    return trace, span


def _id(value: Any) -> str | None:
    """Without the 0x that Python's SDK prints. None also for zeros, which a record outside of any span has."""
    return value.removeprefix("0x") if isinstance(value, str) and not _NO_ID.fullmatch(value) else None


def _pairs(values: Iterable[Any]) -> Mapping[str, Any]:
    return {one["key"]: _value(one.get("value")) for one in objects(values) if isinstance(one.get("key"), str)}


def _value(value: Any) -> Any:
    """The value in an OTLP AnyValue."""
    if not isinstance(value, Mapping):
        return value
    for key in ("arrayValue", "array_value"):
        if isinstance(inner := value.get(key), Mapping):
            items = inner.get("values")
            return [_value(one) for one in items] if isinstance(items, list) else []
    for key in ("kvlistValue", "kvlist_value"):
        if isinstance(inner := value.get(key), Mapping):
            return _pairs(inner.get("values") or [])
    for key in ("intValue", "int_value"):
        if isinstance(number := value.get(key), str):
            return int(number) if _INTEGER.fullmatch(number) else None
    for key in ("stringValue", "string_value", "boolValue", "bool_value", "doubleValue", "double_value"):
        if key in value:
            return value[key]
    return None if len(value) == 1 and next(iter(value)).endswith("Value") else value


def _times(row: Row) -> tuple[float, float]:
    started = next((time for key in _STARTS if (time := _time(row.get(key)))), 0.0)
    ended = next((time for key in _ENDS if (time := _time(row.get(key)))), 0.0)
    duration = row.get("duration")
    if not ended and isinstance(duration, int | float):  # Jaeger's and Zipkin's, in microseconds
        ended = started + duration / 1e6
    return started, ended


def _time(value: Any) -> float:
    """Unix seconds, of a number in whichever unit it must be, or of a time in ISO 8601."""
    if isinstance(value, str) and _INTEGER.fullmatch(value):
        value = int(value)
    if isinstance(value, list) and len(value) == 2 and all(isinstance(one, int) for one in value):
        return _time(value[0])  # JavaScript's, seconds and nanoseconds
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) < 1e20:
        return 0.0 if isinstance(value, int | float) else seconds(value)
    for unit in (1e9, 1e6, 1e3):
        if value / unit > 1e8:  # 1973
            return value / unit
    return float(value)
