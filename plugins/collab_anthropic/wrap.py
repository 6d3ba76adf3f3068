"""An Anthropic client whose messages are recorded."""

import os
import re
import uuid
from collections.abc import Mapping
from functools import partial
from typing import Any, TypeVar

from anthropic._base_client import AsyncAPIClient, SyncAPIClient

from collab_sdk.errors import UsageError
from collab_sdk.harvest import (
    Chat,
    PartialMessage,
    RecordedRequest,
    Recorder,
    SdkRequest,
    block_messages,
    block_tools,
    conversation_id_in,
    kept_parameters,
    message_answer,
    prefill_in,
    record_client,
    system_messages,
)
from collab_sdk.logs import LoggedCall

Client = TypeVar("Client", bound=SyncAPIClient | AsyncAPIClient)
MESSAGES = re.compile(r"(^|/)messages$")
UNRECORDED = {
    re.compile(r"(^|/)complete$"): "a completion of a text, not of a chat",
    re.compile(r"(^|/)messages/batches$"): "a batch, which is answered in a file",
    re.compile(r"(^|/)sessions/[^/]+/events$"): "a session of the Agents API",
}


def wrap(client: Client, store: Recorder | str | os.PathLike[str]) -> Client:
    """The client itself, its messages recorded from now on, also those of its copies and of `client.beta`.

    Recorded are `create`, `stream`, `parse`, the tool runner, `with_raw_response` and `with_streaming_response`, the
    latter as far as the app reads it. The clients for Bedrock, Vertex and the like are taken as well. A client that is
    wrapped already stays as it is. Raises UsageError for what is not a client.
    """
    if not isinstance(client, SyncAPIClient | AsyncAPIClient):
        raise UsageError(f"wrap() takes an Anthropic or AsyncAnthropic client, not {type(client).__name__}.")
    record_client(client, store if isinstance(store, Recorder) else Recorder(store), CHAT)
    return client


def _read(request: SdkRequest) -> RecordedRequest | None:
    is_chat = request.method == "post" and MESSAGES.search(request.path)
    return _messages_request(request.body) if is_chat else None


def _messages_request(body: Mapping[str, Any]) -> RecordedRequest:
    metadata = body.get("metadata") or {}
    messages = block_messages(body["messages"])
    prefill = prefill_in(body["messages"])
    form = body.get("output_format") or (body.get("output_config") or {}).get("format")
    call = LoggedCall(
        run_id=uuid.uuid4().hex,
        conversation_id=conversation_id_in(metadata),
        previous_response=(body.get("thread") or {}).get("previous_message_id"),
        messages=(*system_messages(body.get("system")), *(messages[:-1] if prefill else messages)),
        replies=(),
        source="anthropic",
        model=body.get("model"),
        parameters=kept_parameters({**body, "stop": body.get("stop_sequences"), "response_format": form}),
        tools=block_tools(body.get("tools") or ()),
        user=metadata.get("user_id"),
    )
    return RecordedRequest(call=call, read=partial(message_answer, prefill=prefill), partial=PartialMessage(prefill))


CHAT = Chat(read=_read, unrecorded=UNRECORDED)
