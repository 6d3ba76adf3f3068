"""OpenTelemetry traces and log records with GenAI attributes, of any convention, and in whatever holds them.

A call is a span, or a span with events in other rows. Spans of agents and chains say again what the calls within them
say: they are read only where their trace has no call.
"""

import hashlib
from collections.abc import Mapping

from collab_sdk.errors import InputError
from collab_sdk.files import to_json
from collab_sdk.logs.formats.call_row import CallEntry, CallFormat
from collab_sdk.logs.formats.conversation_row import Row
from collab_sdk.logs.formats.otel_messages import kind_of, session_of, spoken
from collab_sdk.logs.formats.otel_spans import Span, entries_of, is_batch, is_span, span_of
from collab_sdk.logs.formats.provider_calls import Reply, Request, logged_call


def _matches(row: Row) -> bool:
    if is_batch(row) or is_span(row):
        return True
    attributes = row.get("attributes")
    return isinstance(attributes, Mapping) and any(str(key).startswith("gen_ai.") for key in attributes)


def read_span(row: Row) -> CallEntry | None:
    """The call that a span or a log record is, or is a piece of. Raises InputError."""
    span = span_of(row)
    kind = kind_of(span)
    session = session_of(span.attributes)
    if kind == "other" and (session is None or span.trace is None or span.id is None):
        return None
    problem = None
    request, reply = Request(), Reply()
    try:
        if kind != "other":
            request, reply = spoken(span, kind)
    except InputError as error:
        if kind == "call":
            raise
        problem = error.problem
    call = logged_call(
        request,
        reply,
        run_id=_run_id(span, request, reply),
        conversation_id=session,
        error=span.failed,
        started=span.started,
        ended=span.ended,
    )
    return CallEntry(call=call, trace=span.trace, is_summary=kind != "call", is_piece=True, problem=problem)


def _run_id(span: Span, request: Request, reply: Reply) -> str:
    if span.trace is not None and span.id is not None:
        return f"{span.trace}/{span.id}"
    if not span.is_record:
        raise InputError("a span must have trace_id and span_id")
    if not (request.messages and reply.choices):
        raise InputError("an event outside of any span, so that nothing tells which call it is of")
    said = [message.to_dict() for run in (request.messages, *reply.choices) for message in run]
    return hashlib.sha256(to_json([span.started, said]).encode()).hexdigest()


OTEL = CallFormat(
    name="otel",
    priority=110,
    known_by="trace_id, span_id and attributes; resourceSpans; resourceLogs",
    matches=_matches,
    read=read_span,
    unwrapped=entries_of,
)
