"""An OpenAI client whose calls are recorded."""

import os
import re
from typing import TypeVar

from openai import AsyncOpenAI, OpenAI

from collab_openai.requests import chat_request, compaction_request, fetching_request, response_request
from collab_sdk.errors import UsageError
from collab_sdk.harvest import Chat, RecordedRequest, Recorder, SdkRequest, record_client

Client = TypeVar("Client", OpenAI, AsyncOpenAI)
COMPLETIONS = re.compile(r"(^|/)chat/completions$")  # Azure and gateways put more before it
RESPONSES = re.compile(r"(^|/)responses$")
COMPACTION = re.compile(r"(^|/)responses/compact$")
ONE_RESPONSE = re.compile(r"(?:^|/)responses/([^/]+)$")
UNRECORDED = {
    re.compile(r"(^|/)completions$"): "a completion of a text, not of a chat",
    re.compile(r"(^|/)threads(/[^/]+)?/runs(/[^/]+/submit_tool_outputs)?$"): "a run of the Assistants API",
    re.compile(r"(^|/)agents/sessions(/[^/]+/events)?$"): "a session of the Agents API",
    re.compile(r"(^|/)conversations/[^/]+/items$"): "messages that were added to a conversation without a response",
}


def wrap(client: Client, store: Recorder | str | os.PathLike[str]) -> Client:
    """The client itself, its chat completions and responses recorded from now on, also those of its copies.

    Recorded are `create`, `parse`, `stream`, `with_raw_response` and `with_streaming_response`, the latter as far as
    the app reads it. A client that is wrapped already stays as it is. Raises UsageError for what is not a client.
    """
    if not isinstance(client, OpenAI | AsyncOpenAI):
        raise UsageError(f"wrap() takes an OpenAI or AsyncOpenAI client, not {type(client).__name__}.")
    record_client(client, store if isinstance(store, Recorder) else Recorder(store), CHAT)
    return client


def _read(request: SdkRequest) -> RecordedRequest | None:
    if request.method == "get":
        response = ONE_RESPONSE.search(request.path)
        return fetching_request(response[1]) if response else None
    if request.method != "post":
        return None
    if COMPLETIONS.search(request.path):
        return chat_request(request.body)
    if RESPONSES.search(request.path):
        return response_request(request.body)
    if COMPACTION.search(request.path):
        return compaction_request(request.body)
    return None


CHAT = Chat(read=_read, unrecorded=UNRECORDED)
