"""Langfuse observations, of its blob export or its API: the generations, grouped by session.

Input and output are JSON as text, or plain text. Definitions of tools may come among the messages, under the role tool.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from collab_sdk.logs.formats.call_row import (
    CallFormat,
    call_messages,
    objects,
    parameters,
    run_id,
    tool_list,
    unpacked,
)
from collab_sdk.logs.formats.conversation_row import Row, first_text
from collab_sdk.logs.formats.times import seconds
from collab_sdk.logs.store import LoggedCall


def _observations(row: Row) -> Sequence[Row]:
    return objects(row["data"]) if isinstance(row.get("data"), list) else [row]


def _matches(row: Row) -> bool:
    observations = _observations(row)
    return bool(observations) and all(_is_observation(one) for one in observations)


def _is_observation(row: Row) -> bool:
    return "type" in row and ("trace_id" in row or "traceId" in row) and "input" in row


def _read(row: Row) -> LoggedCall | None:
    if row.get("type") != "GENERATION":
        return None
    history, tools = _input(unpacked(row.get("input")))
    failed = row.get("level") == "ERROR"
    return LoggedCall(
        run_id=run_id(row, "id"),
        conversation_id=first_text(row.get("session_id"), row.get("sessionId")),
        messages=call_messages(history),
        replies=() if failed else _replies(unpacked(row.get("output"))),
        status="failed" if failed else "ok",
        error=first_text(row.get("status_message"), row.get("statusMessage")) if failed else None,
        source="import",
        model=first_text(row.get("provided_model_name"), row.get("providedModelName"), row.get("model")),
        parameters=parameters(unpacked(row.get("model_parameters", row.get("modelParameters")))),
        tools=tools,
        started=seconds(row.get("start_time") or row.get("startTime")),
        ended=seconds(row.get("end_time") or row.get("endTime")),
    )


def _input(value: Any) -> tuple[Any, tuple[Mapping[str, Any], ...]]:
    """The messages and the tools that were sent."""
    tools: list[Any] = []
    if isinstance(value, Mapping) and "messages" in value:
        tools += value["tools"] if isinstance(value.get("tools"), list) else []
        value = value["messages"]
    if not isinstance(value, list):
        return value, tool_list(tools)
    definitions = [_definition(message) for message in value]
    tools += [tool for tool in definitions if tool]
    return [message for message, tool in zip(value, definitions, strict=True) if not tool], tool_list(tools)


def _definition(message: Any) -> Mapping[str, Any] | None:
    """The tool that a message under the role tool defines, if it does."""
    if not isinstance(message, Mapping) or message.get("role") != "tool" or message.get("tool_call_id"):
        return None
    content = unpacked(message.get("content"))
    return content if isinstance(content, Mapping) and isinstance(content.get("function"), Mapping) else None


def _replies(value: Any) -> tuple[Mapping[str, Any], ...]:
    if value is None or value == "":
        return ()
    if isinstance(value, str):
        return ({"role": "assistant", "content": value},)
    if isinstance(value, Mapping) and isinstance(value.get("choices"), list):
        value = [choice.get("message") for choice in objects(value["choices"])]
    if isinstance(value, Mapping) and "role" not in value:
        value = {**value, "role": "assistant"}
    return call_messages(value)


LANGFUSE = CallFormat(
    name="langfuse",
    priority=90,
    known_by="type and trace_id",
    matches=_matches,
    read=_read,
    unwrapped=_observations,
)
