"""Batch files of OpenAI and Anthropic: requests and answers, joined on `custom_id`.

OpenAI's are `{"custom_id", "body"}` and `{"custom_id", "response"}` for chat, responses or completions, Anthropic's
`{"custom_id", "params"}` and `{"custom_id", "result"}`.
"""

from collections.abc import Mapping

from collab_sdk.errors import InputError
from collab_sdk.logs.formats.call_row import CallEntry, CallFormat, mapping, run_id
from collab_sdk.logs.formats.conversation_row import Row
from collab_sdk.logs.formats.provider_calls import Request, is_chat, logged_call, reply_of, request_of
from collab_sdk.logs.formats.times import seconds
from collab_sdk.logs.store import LoggedCall


def _matches(row: Row) -> bool:
    return "custom_id" in row and any(key in row for key in ("body", "params", "response", "result"))


def _read(row: Row) -> LoggedCall | CallEntry | None:
    name = run_id(row, "custom_id")
    for key in ("body", "params"):
        if key in row:
            return _request(name, row, key)
    answer = mapping(row.get("response")).get("body") if "response" in row else row.get("result")
    reply = reply_of(answer)
    if not reply.choices:
        return None
    about = mapping(answer)
    ended = seconds(about.get("created") or about.get("completed_at") or about.get("created_at"))
    return CallEntry(call=logged_call(Request(), reply, run_id=name, ended=ended), is_answer=True)


def _request(name: str, row: Row, key: str) -> LoggedCall | None:
    if not isinstance(body := row[key], Mapping):
        raise InputError(f"{key} must be an object, not {type(body).__name__}")
    if not is_chat(row.get("url"), body.get("model")):
        return None
    return logged_call(request_of(body), reply_of(None), run_id=name)


OPENAI_BATCH = CallFormat(name="openai-batch", priority=100, known_by="custom_id", matches=_matches, read=_read)
