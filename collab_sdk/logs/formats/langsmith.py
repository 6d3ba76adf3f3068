"""LangSmith runs: as its SDK, its API and its bulk export write them, with their children or without.

The calls are the `llm` runs. Of a trace that has none, what its root was asked and answered is read, where it is
messages, or a question and its answer. The thread is in the metadata (`thread_id`, `session_id`, `conversation_id`);
the `session_id` of a run is its project. Calls that a middleware makes for itself are no part of the conversation.
"""

from collections.abc import Iterator, Sequence
from typing import Any

from collab_sdk.logs.formats.call_row import CallEntry, CallFormat, parameters, rating_of, run_id
from collab_sdk.logs.formats.conversation_row import Row, first_text
from collab_sdk.logs.formats.json_fields import mapping, objects, unpacked
from collab_sdk.logs.formats.provider_calls import logged_call, summarized
from collab_sdk.logs.formats.provider_replies import reply_of
from collab_sdk.logs.formats.provider_requests import request_of
from collab_sdk.logs.formats.times import seconds
from collab_sdk.logs.formats.tool_calls import tools_of
from collab_sdk.logs.store import LoggedCall

_THREAD = ("thread_id", "session_id", "conversation_id")
_INTERNAL = ("lc_source", "lc_internal_call")


def _runs(row: Row) -> Sequence[Row]:
    """The run with all below it, which know their trace by it."""
    runs = objects(row["runs"]) if isinstance(row.get("runs"), list) else [row]
    return [each for run in runs for each in _with_children(run)]


def _with_children(run: Row) -> Iterator[Row]:
    waiting = [run]
    while waiting:
        run = waiting.pop()
        yield run
        trace = run.get("trace_id") or run.get("id")
        children = objects(unpacked(run.get("child_runs")))
        waiting += [{"trace_id": trace, "parent_run_id": run.get("id"), **child} for child in reversed(children)]


def _matches(row: Row) -> bool:
    runs = objects(row["runs"]) if isinstance(row.get("runs"), list) else [row]
    return bool(runs) and all("run_type" in run for run in runs)


def _read(run: Row) -> LoggedCall | CallEntry | None:
    extra = mapping(run.get("extra"))
    metadata = {**mapping(run.get("metadata")), **mapping(extra.get("metadata"))}
    is_call = run.get("run_type") == "llm"
    if any(metadata.get(mark) for mark in _INTERNAL) or not (is_call or _is_root(run)):
        return None
    invocation = mapping(extra.get("invocation_params"))
    inputs, outputs, error = mapping(run.get("inputs")), unpacked(run.get("outputs")), run.get("error")
    known: dict[str, Any] = {
        "run_id": run_id(run, "id"),
        "conversation_id": first_text(run.get("thread_id"), *(metadata.get(key) for key in _THREAD)),
        "error": error if isinstance(error, str) else None,
        "model": first_text(metadata.get("ls_model_name"), invocation.get("model"), invocation.get("model_name")),
        "parameters": parameters(invocation),
        "tools": tools_of(invocation.get("tools") or inputs.get("tools")),
        "started": seconds(run.get("start_time")),
        "ended": seconds(run.get("end_time") or run.get("start_time")),
        "metadata": rating_of(run.get("feedback_stats"), run.get("feedback")),
    }
    trace = first_text(run.get("trace_id"), run.get("id") if _is_root(run) else None)
    if is_call:
        return CallEntry(call=logged_call(request_of(inputs), reply_of(outputs), **known), trace=trace)
    call = summarized(inputs, outputs, **known)
    return call and CallEntry(call=call, trace=trace, is_summary=True)


def _is_root(run: Row) -> bool:
    return run.get("run_type") == "chain" and not run.get("parent_run_id")


LANGSMITH = CallFormat(
    name="langsmith",
    priority=80,
    known_by="run_type",
    matches=_matches,
    read=_read,
    unwrapped=_runs,
)
