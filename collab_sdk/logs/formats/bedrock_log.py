"""Amazon Bedrock's logs of model invocations: `input.inputBodyJson` and `output.outputBodyJson`, of any operation."""

from collab_sdk.logs.formats.call_row import CallFormat, row_id, thread_of
from collab_sdk.logs.formats.conversation_row import Row, first_text
from collab_sdk.logs.formats.json_fields import mapping, unpacked
from collab_sdk.logs.formats.provider_calls import logged_call
from collab_sdk.logs.formats.provider_replies import reply_of
from collab_sdk.logs.formats.provider_requests import is_chat, request_of
from collab_sdk.logs.formats.times import seconds
from collab_sdk.logs.notes import note
from collab_sdk.logs.store import LoggedCall

NOT_STORED = "invocations of Bedrock whose bodies are in other files (S3), left out"


def _matches(row: Row) -> bool:
    return "modelId" in row and ("input" in row or "output" in row) and ("schemaType" in row or "operation" in row)


def _read(row: Row) -> LoggedCall | None:
    sent, came = mapping(row.get("input")), mapping(row.get("output"))
    if not is_chat(model=row.get("modelId")):
        return None
    body = unpacked(sent.get("inputBodyJson"))
    if not body:
        note(NOT_STORED)
        return None
    return logged_call(
        request_of(body, asks=True),
        reply_of(came.get("outputBodyJson")),
        run_id=row_id(row, "requestId"),
        conversation_id=thread_of(row.get("requestMetadata")),
        error=first_text(row.get("errorCode")),
        model=first_text(row.get("modelId")),
        ended=seconds(row.get("timestamp")),
    )


BEDROCK_LOG = CallFormat(name="bedrock", priority=95, known_by="inputBodyJson", matches=_matches, read=_read)
