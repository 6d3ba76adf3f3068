"""OpenTelemetry spans with GenAI attributes: one a row, as SDKs print them, or OTLP JSON, `{"resourceSpans": [...]}`.

Spans of agents and tools are passed over: the calls within say the same.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from collab_sdk.errors import InputError
from collab_sdk.logs.formats.blocks import read_messages, text_of_blocks
from collab_sdk.logs.formats.call_row import (
    CallFormat,
    call_messages,
    mapping,
    objects,
    parameters,
    tool_list,
    unpacked,
)
from collab_sdk.logs.formats.conversation_row import Row, first_text
from collab_sdk.logs.formats.times import seconds
from collab_sdk.logs.store import LoggedCall

_INPUT, _OUTPUT = "gen_ai.input.messages", "gen_ai.output.messages"
_REQUEST = "gen_ai.request."
_OTHER_OPERATIONS = ("invoke_agent", "create_agent", "execute_tool", "embeddings", "invoke_workflow")
_INTEGER = re.compile(r"-?[0-9]{1,19}")


def _matches(row: Row) -> bool:
    attributes = row.get("attributes")
    if isinstance(attributes, Mapping):
        return any(str(key).startswith("gen_ai.") for key in attributes)
    return "resourceSpans" in row or (isinstance(attributes, list) and ("spanId" in row or "span_id" in row))


def _spans(row: Row) -> Sequence[Row]:
    if "resourceSpans" not in row:
        return [row]
    scopes = [scope for resource in objects(row["resourceSpans"]) for scope in objects(resource.get("scopeSpans"))]
    return [span for scope in scopes for span in objects(scope.get("spans"))]


def _read(span: Row) -> LoggedCall | None:
    attributes = _attributes(span.get("attributes"))
    if _INPUT not in attributes or attributes.get("gen_ai.operation.name") in _OTHER_OPERATIONS:
        return None
    context = mapping(span.get("context")) or span
    ids = [
        first_text(context.get(key), context.get(other))
        for key, other in (("trace_id", "traceId"), ("span_id", "spanId"))
    ]
    if not all(ids):
        raise InputError("a span must have trace_id and span_id")
    system = text_of_blocks(unpacked(attributes.get("gen_ai.system_instructions")))
    history = tuple(message.to_dict() for message in read_messages(unpacked(attributes[_INPUT])))
    settings = {key.removeprefix(_REQUEST): value for key, value in attributes.items() if key.startswith(_REQUEST)}
    return LoggedCall(
        run_id="/".join(str(one) for one in ids),
        conversation_id=first_text(attributes.get("gen_ai.conversation.id")),
        messages=((({"role": "system", "content": system},) if system else ()) + history),
        replies=call_messages(unpacked(attributes.get(_OUTPUT)) or []),
        source="import",
        model=first_text(attributes.get("gen_ai.request.model"), attributes.get("gen_ai.response.model")),
        parameters=parameters(settings),
        tools=tool_list(unpacked(attributes.get("gen_ai.tool.definitions"))),
        started=_time(span, "start_time", "startTimeUnixNano"),
        ended=_time(span, "end_time", "endTimeUnixNano"),
    )


def _attributes(value: Any) -> Mapping[str, Any]:
    """By name; OTLP has a list of keys with typed values."""
    if isinstance(value, Mapping):
        return value
    return {one["key"]: _value(one.get("value")) for one in objects(value) if isinstance(one.get("key"), str)}


def _value(value: Any) -> Any:
    """The value in an OTLP AnyValue."""
    if not isinstance(value, Mapping):
        return value
    if isinstance(values := value.get("arrayValue"), Mapping):
        items = values.get("values")
        return [_value(one) for one in items] if isinstance(items, list) else []
    if isinstance(values := value.get("kvlistValue"), Mapping):
        return _attributes(values.get("values"))
    if isinstance(number := value.get("intValue"), str):
        return _integer(number)
    return next(iter(value.values()), None)


def _time(span: Row, iso: str, nanoseconds: str) -> float:
    since_1970 = _integer(span.get(nanoseconds))
    return seconds(span.get(iso)) if since_1970 is None else since_1970 / 1e9


def _integer(value: Any) -> int | None:
    """The number in text, which OTLP uses since 64 bits do not fit into a JSON number."""
    return int(value) if isinstance(value, str) and _INTEGER.fullmatch(value) else None


OTEL = CallFormat(
    name="otel",
    priority=110,
    known_by="gen_ai.*",
    matches=_matches,
    read=_read,
    unwrapped=_spans,
)
