"""OpenAI batch files: requests `{"custom_id", "body"}` and answers `{"custom_id", "response"}`, joined on the id."""

from collections.abc import Mapping
from typing import Any

from collab_sdk.errors import InputError
from collab_sdk.logs.formats.call_row import CallFormat, call_messages, mapping, objects, parameters, run_id, tool_list
from collab_sdk.logs.formats.conversation_row import Row, first_text
from collab_sdk.logs.store import LoggedCall


def _matches(row: Row) -> bool:
    return "custom_id" in row and ("body" in row or "response" in row)


def _read(row: Row) -> LoggedCall | None:
    name = run_id(row, "custom_id")
    if "body" in row:
        body = row["body"]
        if not isinstance(body, Mapping):
            raise InputError(f"body must be an object, not {type(body).__name__}")
        return LoggedCall(
            run_id=name,
            messages=call_messages(body.get("messages")),
            replies=(),
            source="import",
            model=first_text(body.get("model")),
            parameters=parameters(body),
            tools=tool_list(body.get("tools")),
        )
    replies = _replies(row.get("response"))
    return LoggedCall(run_id=name, messages=(), replies=replies, source="import") if replies else None


def _replies(response: Any) -> tuple[Mapping[str, Any], ...]:
    """Every choice; none of an answer that is an error."""
    choices = mapping(mapping(response).get("body")).get("choices")
    return call_messages([choice.get("message") for choice in objects(choices)])


OPENAI_BATCH = CallFormat(name="openai-batch", priority=100, known_by="custom_id", matches=_matches, read=_read)
