"""Batch files of OpenAI, Anthropic and Gemini: requests and answers, joined on their id.

OpenAI's are `{"custom_id", "body"}` and `{"custom_id", "response"}` for chat, responses or completions, Anthropic's
`{"custom_id", "params"}` and `{"custom_id", "result"}`, Gemini's `{"key", "request"}` and `{"key", "response"}`.
"""

from collections.abc import Mapping

from collab_sdk.errors import InputError
from collab_sdk.logs.formats.call_row import CallEntry, CallFormat, run_id
from collab_sdk.logs.formats.conversation_row import Row
from collab_sdk.logs.formats.json_fields import mapping
from collab_sdk.logs.formats.provider_calls import logged_call
from collab_sdk.logs.formats.provider_replies import reply_of
from collab_sdk.logs.formats.provider_requests import Request, is_chat, request_of
from collab_sdk.logs.formats.times import seconds
from collab_sdk.logs.store import LoggedCall


def _matches(row: Row) -> bool:
    if "custom_id" in row:
        return any(key in row for key in ("body", "params", "response", "result"))
    return "key" in row and (
        ("contents" in mapping(row.get("request"))) != ("candidates" in mapping(row.get("response")))
    )


def _read(row: Row) -> LoggedCall | CallEntry | None:
    name = run_id(row, "custom_id", "key")
    for key in ("body", "params", "request"):
        if key in row:
            return _request(name, row, key)
    answer = row.get("result", row.get("response"))
    answer = mapping(answer).get("body", answer)
    reply = reply_of(answer)
    if not reply.choices:
        return None
    about = mapping(answer)
    ended = seconds(about.get("created") or about.get("completed_at") or about.get("created_at"))
    return CallEntry(call=logged_call(Request(), reply, run_id=name, ended=ended), is_answer=True)


def _request(name: str, row: Row, key: str) -> LoggedCall | None:
    if not isinstance(body := row[key], Mapping):
        raise InputError(f"{key} must be an object, not {type(body).__name__}")
    if not is_chat(path=row.get("url"), model=body.get("model")):
        return None
    return logged_call(request_of(body), reply_of(None), run_id=name)


OPENAI_BATCH = CallFormat(name="openai-batch", priority=100, known_by="custom_id, or key", matches=_matches, read=_read)
