"""LangSmith run dumps: the `llm` runs, as JSON lines, an array, or under `runs`.

The thread is in the metadata (`thread_id`, `session_id`, `conversation_id`); the `session_id` of a run is its project.
Calls that a middleware makes for itself are no part of the conversation.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from collab_sdk.logs.formats.call_row import (
    CallFormat,
    call_messages,
    mapping,
    objects,
    parameters,
    run_id,
    tool_list,
)
from collab_sdk.logs.formats.conversation_row import Row, first_text
from collab_sdk.logs.formats.times import seconds
from collab_sdk.logs.store import LoggedCall

_THREAD = ("thread_id", "session_id", "conversation_id")
_INTERNAL = ("lc_source", "lc_internal_call")


def _runs(row: Row) -> Sequence[Row]:
    return objects(row["runs"]) if isinstance(row.get("runs"), list) else [row]


def _matches(row: Row) -> bool:
    runs = _runs(row)
    return bool(runs) and all("run_type" in run for run in runs)


def _read(run: Row) -> LoggedCall | None:
    extra = mapping(run.get("extra"))
    metadata = {**mapping(run.get("metadata")), **mapping(extra.get("metadata"))}
    if run.get("run_type") != "llm" or any(metadata.get(mark) for mark in _INTERNAL):
        return None
    invocation = mapping(extra.get("invocation_params"))
    inputs = mapping(run.get("inputs"))
    error = run.get("error")
    return LoggedCall(
        run_id=run_id(run, "id"),
        conversation_id=first_text(run.get("thread_id"), *(metadata.get(key) for key in _THREAD)),
        messages=call_messages(_history(inputs)),
        replies=_replies(run.get("outputs")),
        status="failed" if error else "ok",
        error=error.partition("\n")[0] if isinstance(error, str) and error else None,
        source="import",
        model=first_text(metadata.get("ls_model_name"), invocation.get("model"), invocation.get("model_name")),
        parameters=parameters(invocation),
        tools=tool_list(invocation.get("tools") or inputs.get("tools")),
        started=seconds(run.get("start_time")),
        ended=seconds(run.get("end_time")),
    )


def _history(inputs: Row) -> Any:
    """Messages, which LangChain's tracer logs as a batch of one, or the prompt of a model that only completes."""
    messages = inputs.get("messages")
    if isinstance(messages, list) and len(messages) == 1 and isinstance(messages[0], list):
        return messages[0]
    prompts = inputs.get("prompts")
    if messages is None and isinstance(prompts, list) and len(prompts) == 1:
        return prompts
    return messages


def _replies(outputs: Any) -> tuple[Mapping[str, Any], ...]:
    """Every generation: LangChain's, those of an OpenAI response, a message or its text."""
    outputs = mapping(outputs)
    generations = outputs.get("generations")
    if isinstance(generations, list):
        flat = [one for each in generations for one in (each if isinstance(each, list) else [each])]
        return call_messages([_generated(one) for one in flat])
    if isinstance(outputs.get("choices"), list):
        return call_messages([mapping(choice).get("message") for choice in outputs["choices"]])
    if isinstance(outputs.get("messages"), list):
        return call_messages(outputs["messages"][-1:])
    if "role" in outputs or "lc" in outputs:
        return call_messages(outputs)
    said = first_text(outputs.get("content"), outputs.get("output"))
    return ({"role": "assistant", "content": said},) if said else ()


def _generated(generation: Any) -> Any:
    generation = mapping(generation)
    return generation.get("message") or {"role": "assistant", "content": generation.get("text")}


LANGSMITH = CallFormat(
    name="langsmith",
    priority=80,
    known_by="run_type",
    matches=_matches,
    read=_read,
    unwrapped=_runs,
)
