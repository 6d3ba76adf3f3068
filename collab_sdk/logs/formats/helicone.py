"""Helicone's requests, of its API and its export: `request_body`, `response_body`, the session in the properties."""

from collab_sdk.logs.formats.call_row import CallFormat, rated_columns, rating_of, row_id, thread_of
from collab_sdk.logs.formats.cells import number_of
from collab_sdk.logs.formats.conversation_row import Row, first_text
from collab_sdk.logs.formats.json_fields import mapping, unpacked
from collab_sdk.logs.formats.provider_calls import logged_call
from collab_sdk.logs.formats.provider_replies import reply_of
from collab_sdk.logs.formats.provider_requests import is_chat, request_of
from collab_sdk.logs.formats.times import seconds
from collab_sdk.logs.notes import note
from collab_sdk.logs.store import LoggedCall

NOT_STORED = "requests of Helicone without their bodies (export them with --include-body), left out"


def _matches(row: Row) -> bool:
    if "request_body" in row and "response_body" in row:
        return True
    return "request_id" in row and "request_created_at" in row and ("response_status" in row or "request_path" in row)


def _read(row: Row) -> LoggedCall | None:
    body = mapping(row.get("request_body"))
    if not is_chat(path=row.get("request_path") or row.get("target_url"), model=body.get("model")):
        return None
    if not body or "tooLarge" in body or "heliconeMessage" in body:
        note(NOT_STORED)
        return None
    status = number_of(row.get("response_status")) or 0
    return logged_call(
        request_of(body),
        reply_of(unpacked(row.get("response_body"))),
        run_id=row_id(row, "request_id", "response_id"),
        conversation_id=thread_of(row.get("request_properties"), row.get("properties"), row),
        error=f"status {status:.0f}" if status >= 400 else None,
        model=first_text(row.get("request_model"), row.get("model"), row.get("response_model")),
        started=seconds(row.get("request_created_at")),
        ended=seconds(row.get("response_created_at") or row.get("request_created_at")),
        metadata=rating_of({**rated_columns(row), **mapping(row.get("scores"))}),
    )


HELICONE = CallFormat(
    name="helicone", priority=14, known_by="request_body and response_body", matches=_matches, read=_read
)
