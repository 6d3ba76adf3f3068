"""Langfuse: observations of its API, its blob export or its tables, and traces, with their observations or without.

The calls are the generations, grouped by session. Of a trace that has none, its own input and output are read. Both may
be JSON as text, or plain text. Definitions of tools may come among the messages, under the role tool.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from collab_sdk.files import to_json
from collab_sdk.logs.formats.call_row import CallEntry, CallFormat, parameters, rated_columns, rating_of, run_id
from collab_sdk.logs.formats.conversation_row import Row, first_text
from collab_sdk.logs.formats.json_fields import objects, unpacked
from collab_sdk.logs.formats.provider_calls import logged_call, summarized
from collab_sdk.logs.formats.provider_replies import is_reply, reply_of
from collab_sdk.logs.formats.provider_requests import request_of
from collab_sdk.logs.formats.times import seconds
from collab_sdk.logs.formats.tool_calls import tools_of
from collab_sdk.logs.store import LoggedCall


def _matches(row: Row) -> bool:
    rows = objects(row["data"]) if isinstance(row.get("data"), list) else [row]
    return bool(rows) and all(map(_is_entry, rows))


def _is_entry(row: Row) -> bool:
    return _is_observation(row) or _is_trace(row) or _is_session(row)


def _is_observation(row: Row) -> bool:
    return "type" in row and ("trace_id" in row or "traceId" in row) and "input" in row


def _is_trace(row: Row) -> bool:
    if isinstance(row.get("trace"), Mapping) and isinstance(row.get("observations"), list):  # as downloaded
        return True
    if not {"timestamp", "input", "output"} <= row.keys() or not isinstance(row.get("id"), str):
        return False
    return "sessionId" in row or "session_id" in row or any(map(_is_observation, _observations(row)))


def _observations(row: Row) -> list[Row]:
    return objects(unpacked(row.get("observations")))


def _is_session(row: Row) -> bool:
    traces = row.get("traces")
    return (
        isinstance(traces, list) and bool(traces) and all(isinstance(one, Mapping) and _is_trace(one) for one in traces)
    )


def _entries(row: Row) -> Sequence[Row]:
    """The row, or those in it: a session's traces, a trace with its observations, which know their session by it."""
    rows = objects(row["data"]) if isinstance(row.get("data"), list) else [row]
    return [entry for one in rows for entry in _within(one)]


def _within(row: Row) -> Iterator[Row]:
    if _is_session(row):
        for trace in row["traces"]:
            yield from _within({"sessionId": row.get("id"), **trace})
        return
    if isinstance(row.get("trace"), Mapping):
        row = {**row["trace"], **row}
    yield row
    if not _is_observation(row):
        about = {"traceId": row.get("id"), "sessionId": _session(row), "scores": row.get("scores")}
        for observation in _observations(row):
            yield {**about, **{key: value for key, value in observation.items() if value is not None}}


def _read(row: Row) -> LoggedCall | CallEntry | None:
    is_call = row.get("type") == "GENERATION"
    is_root = not _is_observation(row) or _is_root(row)
    if not is_call and not is_root:
        return None
    failed = row.get("level") == "ERROR"
    history, tools = _without_definitions(unpacked(row.get("input")))
    known: dict[str, Any] = {
        "run_id": run_id(row, "id"),
        "conversation_id": _session(row),
        "error": first_text(row.get("status_message"), row.get("statusMessage"), "failed") if failed else None,
        "model": first_text(row.get("provided_model_name"), row.get("providedModelName"), row.get("model")),
        "parameters": parameters(unpacked(row.get("model_parameters", row.get("modelParameters")))),
        "started": seconds(_first(row, "start_time", "startTime", "timestamp")),
        "ended": seconds(_first(row, "end_time", "endTime", "start_time", "startTime", "timestamp")),
        "metadata": rating_of(row.get("scores")) or rating_of(rated_columns(row)),
    }
    if not is_call:
        trace = first_text(row.get("trace_id"), row.get("traceId"), row.get("id"))
        call = summarized(history, unpacked(row.get("output")), **known)
        return call and CallEntry(call=replace(call, tools=call.tools or tools), trace=trace, is_summary=True)
    reply = reply_of(None if failed else _said(row.get("output")))
    call = logged_call(request_of(history), reply, **known)
    return CallEntry(
        call=replace(call, tools=(*call.tools, *tools)), trace=first_text(row.get("trace_id"), row.get("traceId"))
    )


def _is_root(row: Row) -> bool:
    parents = ("parent_observation_id", "parentObservationId")
    return any(key in row for key in parents) and not any(row.get(key) for key in parents)


def _session(row: Row) -> str | None:
    return first_text(row.get("session_id"), row.get("sessionId"))


def _first(row: Row, *keys: str) -> Any:
    return next((row[key] for key in keys if row.get(key) not in (None, "")), None)


def _said(output: Any) -> Any:
    """The output; where it is JSON in no form of a reply, as the text that the model wrote."""
    value = unpacked(output)
    if not isinstance(value, Mapping) or is_reply(value):
        return value
    return output if isinstance(output, str) else to_json(value)


def _without_definitions(value: Any) -> tuple[Any, tuple[Mapping[str, Any], ...]]:
    """The input, and the tools that are defined among its messages."""
    messages = value.get("messages") if isinstance(value, Mapping) else value
    messages = unpacked(messages)
    if not isinstance(messages, list):
        return value, ()
    definitions = [_definition(message) for message in messages]
    kept = [message for message, tool in zip(messages, definitions, strict=True) if not tool]
    return ({**value, "messages": kept} if isinstance(value, Mapping) else kept), tools_of(
        list(filter(None, definitions))
    )


def _definition(message: Any) -> Mapping[str, Any] | None:
    """The tool that a message under the role tool defines, if it does."""
    if not isinstance(message, Mapping) or message.get("role") != "tool" or message.get("tool_call_id"):
        return None
    content = unpacked(message.get("content"))
    return content if isinstance(content, Mapping) and isinstance(content.get("function"), Mapping) else None


LANGFUSE = CallFormat(
    name="langfuse",
    priority=90,
    known_by="input, output and traceId or sessionId",
    matches=_matches,
    read=_read,
    unwrapped=_entries,
)
