"""Rows that are calls of a model, by whatever names: the messages, and beside them the reply, which is not one of them.

`{"messages", "output"}`, `{"messages", "choices"}`, `{"contents", "candidates"}`, responses of OpenAI with their
`input`; and bodies in pairs: `{"request", "response"}`, as in Gemini's batches, `{"inputs", "outputs"}`, as in data
sets of LangSmith, `{"input", "output"}`.
"""

from collections.abc import Mapping
from typing import Any

from collab_sdk.logs.formats.blocks import plain
from collab_sdk.logs.formats.call_row import (
    CallEntry,
    CallFormat,
    mapping,
    rated_columns,
    rating_of,
    row_id,
    thread_of,
    unpacked,
)
from collab_sdk.logs.formats.conversation_row import Row, first_text, text_fields
from collab_sdk.logs.formats.provider_calls import logged_call, summarized
from collab_sdk.logs.formats.provider_replies import is_answer, reply_of
from collab_sdk.logs.formats.provider_requests import Request, has_history, is_chat, is_question, request_of
from collab_sdk.logs.formats.times import last_time
from collab_sdk.logs.store import LoggedCall

_CHOICES = ("choices", "candidates", "generations")
_RESPONSES = (
    "response",
    "output",
    "outputs",
    "response_body",
    "completion",
    "completions",
    "responses",
    "message",
    "modelOutput",
)
_TEXTS = (
    *("generation", "reply", "assistant", "assistant_response", "model_output", "model_response", "llm_output"),
    *("llm_response", "response_text", "output_text", "generated_text", "answer", "result", "prediction"),
)
_REFERENCES = ("answer", "result", "prediction")
"""Beside a prompt alone these are what was to be answered, as in tasks for training."""
_BODIES = ("request", "request_body", "inputs", "kwargs", "body", "modelInput")
_OBJECTS = ("chat.completion", "response")


def _is_call(row: Row) -> bool:
    if str(row.get("schema")).startswith("collab/") or "chosen" in row or "rejected" in row:
        return False
    if row.get("object") in _OBJECTS:
        return True
    reply = _reply(row)
    if reply is None:
        return False
    for key in ("messages", "contents"):
        if has_history(row.get(key)):
            return not _is_repeated(row[key], reply)
    return has_history(row.get("prompt")) and not any(row.get(key) == reply for key in _REFERENCES)


def _is_pair(row: Row) -> bool:
    return _body(row) is not None


def _body(row: Row) -> Any:
    """The body of the request that a row pairs with a response; None where it has no such pair."""
    reply = unpacked(_reply(row))
    if reply is None:
        return None
    if has_history(row.get("input")):
        return None if _is_repeated(row["input"], reply) else row
    for key in _BODIES:
        body = unpacked(row.get(key))
        if has_history(body) or (key == "inputs" and is_question(body) and is_answer(reply)):
            return body
    return None


def _reply(row: Row) -> Any:
    """What stands beside the messages as the reply; None if nothing does."""
    for key in _CHOICES:
        if isinstance(row.get(key), list) and row[key]:
            return {name: row[name] for name in (key, "id", "model", "error") if name in row}
    given = (row.get(key) for key in (*_RESPONSES, *_TEXTS) if key != "message" or isinstance(row.get(key), Mapping))
    return next((value for value in given if isinstance(value, str | list | Mapping) and value), None)


def _is_repeated(history: Any, reply: Any) -> bool:
    """Whether the messages end with what the assistant said, and the reply is text: it says no more then."""
    history, reply = unpacked(history), unpacked(reply)
    last = mapping(history[-1]) if isinstance(history, list) else {}
    ends = plain(last.get("role", last.get("from", last.get("type")))) in ("assistant", "ai", "model", "gpt")
    return ends and (isinstance(reply, str) or (isinstance(reply, list) and isinstance(reply[0], str)))


def _read_call(row: Row) -> LoggedCall | CallEntry | None:
    known = _known(row, row)
    if not known:
        return None
    if row.get("object") not in _OBJECTS:
        return logged_call(request_of(row), reply_of(_reply(row)), **known)
    if any(row.get(key) for key in ("messages", "input")):
        return logged_call(request_of(row), reply_of(row), **known)
    answer = logged_call(Request(), reply_of(row), **{**known, "run_id": row_id(row, "id")})
    return CallEntry(call=answer, is_answer=True) if answer.replies else None


def _read_pair(row: Row) -> LoggedCall | None:
    body, reply = _body(row), unpacked(_reply(row))
    known = _known(row, body)
    if not known:
        return None
    if has_history(body) and not isinstance(mapping(reply).get("messages"), list):
        return logged_call(request_of(body), reply_of(reply), **known)
    return summarized(body, reply, **known)


def _known(row: Row, body: Any) -> dict[str, Any]:
    """What the row tells of a call; nothing of one that is of no chat model."""
    if not is_chat(path=row.get("url") or row.get("endpoint"), model=row.get("model")):
        return {}
    metadata, error = mapping(row.get("metadata")), row.get("error")
    return {
        "run_id": row_id(row),
        "conversation_id": thread_of(row, metadata, body, mapping(body).get("metadata")),
        "error": first_text(error, mapping(error).get("message")),
        "model": first_text(row.get("model"), row.get("model_name"), metadata.get("model")),
        "ended": last_time({plain(key): value for key, value in row.items()}) or 0.0,
        "metadata": {
            **text_fields(metadata, "title", "label"),
            **text_fields(row, "title", "label"),
            **({"call_id": row["id"]} if isinstance(row.get("id"), str | int) else {}),
            **(rating_of(rated_columns(row)) or rating_of(rated_columns(metadata))),
        },
    }


CALL_ROWS = CallFormat(
    name="call-rows", priority=18, known_by="messages and a reply beside them", matches=_is_call, read=_read_call
)
CALL_PAIRS = CallFormat(
    name="call-pairs",
    priority=120,
    known_by="request and response, input and output, or inputs and outputs",
    matches=_is_pair,
    read=_read_pair,
)
