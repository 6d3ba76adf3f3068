"""LiteLLM's records of calls: spend logs of its proxy (database, API, CSV), and what its callbacks log.

A proxy stores what was said only where it is told to: the request is in `proxy_server_request` then, the reply in
`response`. Texts that it cut or redacted were not said so, and their calls are left out.
"""

import re

from collab_sdk.logs.formats.call_row import (
    CallEntry,
    CallFormat,
    parameters,
    rated_columns,
    rating_of,
    row_id,
    thread_of,
)
from collab_sdk.logs.formats.conversation_row import Row, first_text
from collab_sdk.logs.formats.json_fields import mapping, unpacked
from collab_sdk.logs.formats.provider_calls import logged_call
from collab_sdk.logs.formats.provider_replies import reply_of
from collab_sdk.logs.formats.provider_requests import is_chat, request_of
from collab_sdk.logs.formats.times import seconds
from collab_sdk.logs.notes import note
from collab_sdk.logs.store import LoggedCall

_OF_LITELLM = ("call_type", "spend", "response_cost", "litellm_call_id", "hidden_params", "model_map_information")
_CUT = re.compile(r"\(litellm_truncated (?:skipped )?\d+ chars|\.\.\. \(truncated \d+ chars\)\Z")
_REDACTED = ("redacted-by-litellm", "REDACTED_BY_LITELM")

NOT_STORED = "calls of which LiteLLM stored no prompt or no reply (store_prompts_in_spend_logs), left out"
CUT = "calls with texts that LiteLLM cut or redacted before it stored them, left out"


def _matches(row: Row) -> bool:
    if "proxy_server_request" in row and ("response" in row or "messages" in row):
        return True
    if ("request_id" in row or "id" in row) and "call_type" in row and ("spend" in row or "response_cost" in row):
        return True
    return "messages" in row and "response" in row and any(key in row for key in _OF_LITELLM)


def _read(row: Row) -> LoggedCall | CallEntry | None:
    if not is_chat(kind=row.get("call_type")):
        return None
    sent = unpacked(row.get("messages")) or None
    stored = mapping(row.get("proxy_server_request"))
    body = mapping(stored.get("body")) or stored
    response, failed = unpacked(row.get("response")), row.get("status") == "failure"
    if not sent and not any(body.get(key) for key in ("messages", "input", "contents", "prompt")):
        note(NOT_STORED)
        return None
    reply = reply_of(None if failed else response)
    if not reply.choices and not failed and not response:
        note(NOT_STORED)
        return None
    request = request_of({**body, "messages": sent} if sent else body)
    said = [message.content for message in (*request.messages, *(each for one in reply.choices for each in one))]
    if any(text in _REDACTED or _CUT.search(text) for text in said):
        note(CUT)
        return None
    metadata = mapping(row.get("metadata"))
    failure = mapping(row.get("error_information") or metadata.get("error_information"))
    named = (body.get("metadata"), metadata.get("requester_metadata"), row)
    conversation = thread_of(*named) or first_text(row.get("trace_id"))
    call = logged_call(
        request,
        reply,
        run_id=row_id(row, "request_id", "id", "litellm_call_id"),
        conversation_id=conversation,
        error=first_text(failure.get("error_message"), row.get("error_str"), "failed") if failed else None,
        model=first_text(row.get("model"), row.get("model_group")),
        parameters=parameters(body, row.get("model_parameters")),
        started=seconds(row.get("startTime")),
        ended=seconds(row.get("endTime")),
        metadata=rating_of(rated_columns(row)),
    )
    return CallEntry(call=call, id_may_be_its_own=True)


LITELLM = CallFormat(
    name="litellm", priority=12, known_by="proxy_server_request or call_type", matches=_matches, read=_read
)
