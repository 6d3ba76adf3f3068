"""Requests, replies and errors in the shape of OpenAI's SDK, which LiteLLM and many clients share."""

import json
import math
import os
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from collab_sdk.errors import (
    CollabError,
    EndpointError,
    FilteredError,
    InputError,
    ModelCallError,
    ParameterRefusedError,
)
from collab_sdk.messages import Message, ToolCall, content_of, reasoning_of, text_of
from collab_sdk.models.base import ChatReply, ChatRequest
from collab_sdk.models.refusals import COMPLAINT_CHARACTERS, refused_parameter, refuses_tools
from collab_sdk.models.replies import token_count
from collab_sdk.secrets import one_line, remember_secret
from collab_sdk.spec import ENVIRONMENT, Price
from collab_sdk.tool_calls import field_of, tool_calls_in

# 200: a body that is no JSON, from a proxy in between.
RETRYABLE = {200, 408, 409, 425, 429, 500, 502, 503, 504, 529}
REDIRECTS = {301, 302, 303, 307, 308}
"""Not followed: what a call holds is meant for one server."""
REDIRECTED = "It redirects, and its answer is elsewhere: give that address as --api-base (api_base=)."
REFUSED = {401, 402, 403, 404, *REDIRECTS}
FLAGGED = re.compile(r"flag|moderat|content(?!-type)|safety|policy", re.IGNORECASE)
"""What a 403 says that is about this one chat (OpenRouter, Azure), not about the key."""
FILTERED = re.compile(
    r"content[_ ]?filter|content[_ ](?:management[_ ])?policy|ResponsibleAIPolicy"
    r"|\b(?:input|prompt) (?:was|has been|is) flagged",
    re.IGNORECASE,
)
"""What a 400 or 403 says where a content filter would not have the chat (Azure, OpenAI, OpenRouter)."""
NO_MODEL = re.compile(
    r"\bmodel(?!['.,\w])\S{0,100}+\s(?:\S{1,100}+\s){0,2}?(?:does not exist|(?:was |is |could )?not (?:be )?found"
    r"|is not supported)|unknown model|invalid model|not a valid model",
    re.IGNORECASE,
)
"""Possessive and bounded: a hostile text of any length takes linear time."""
MOST_OF_A_NAME = 200
"""Characters of what a server calls its model."""
NO_KEY = re.compile(
    r"missing credentials|missing \w* ?api key|api_key client option|api key not (found|valid)", re.IGNORECASE
)
NO_QUOTA = re.compile(r"check your plan and billing", re.IGNORECASE)
RETRY_HINT = re.compile(r"retry in|retry ?after|retry_?delay|try again in", re.IGNORECASE)


def request_arguments(request: ChatRequest) -> dict[str, Any]:
    """Keyword arguments of a chat-completions call, the model's name left out.

    Raises EndpointError for a setting that names an environment variable which is not set.
    """
    request = request.fitted()
    arguments: dict[str, Any] = {
        "messages": [_row(message) for message in request.messages],
        **request.offered(),
        **from_environment(request.settings.sent()),
    }
    if (response_format := request.dialect.response_format(request.reply_schema)) is not None:
        arguments["response_format"] = response_format
    return arguments


def _row(message: Message) -> dict[str, Any]:
    """The message as it is sent, with JSON objects alone for arguments.

    Servers put a chat through a template that takes no others: the call that a model got wrong would end the chat,
    where it is answered with an error that the model can mend.
    """
    row = message.to_dict()
    if any(call.parsed is None for call in message.calls):
        row["tool_calls"] = [
            {**call, "function": {"name": read.name, "arguments": _object_text(read)}}
            for call, read in zip(message.tool_calls, message.calls, strict=True)
        ]
    return row


def _object_text(call: ToolCall) -> str:
    return call.arguments if call.parsed is not None else json.dumps({"arguments": call.arguments}, ensure_ascii=False)


def from_environment(value: object) -> Any:
    """The value with the contents of variables for `env:NAME`. Raises EndpointError where one is not set."""
    if isinstance(value, str) and value.startswith(ENVIRONMENT):
        name = value.removeprefix(ENVIRONMENT)
        if not (found := os.environ.get(name)):
            raise EndpointError(f"A setting is read from the environment variable {name}, which is not set.")
        remember_secret(found)
        return found
    if isinstance(value, Mapping):
        return {name: from_environment(item) for name, item in value.items()}
    return [from_environment(item) for item in value] if isinstance(value, list | tuple) else value


def reply_of(name: str, completion: Any, price: Price | None) -> ChatReply:
    """The first choice of a chat completion: an SDK's object, or JSON of which nothing else is known.

    Raises ModelCallError for what is no completion.
    """
    choices = field_of(completion, "choices")
    if not isinstance(choices, list | tuple) or not choices:
        raise ModelCallError(f"{name} answered without choices.", retryable=True)
    message, usage = field_of(choices[0], "message"), field_of(completion, "usage")
    if message is None:
        raise ModelCallError(f"{name} answered with a choice without a message.", retryable=True, tries=2)
    if isinstance(message, list | tuple | str | int | float):
        raise ModelCallError(f"{name} answered with a message that cannot be read: it is not an object.")
    try:
        content = text_of(content_of(message), empty_allowed=True)
        tool_calls = tool_calls_in(message)
    except InputError as error:
        raise ModelCallError(f"{name} answered with a message that cannot be read: {error.problem}.") from None
    prompt_tokens = token_count(field_of(usage, "prompt_tokens"))
    completion_tokens = token_count(field_of(usage, "completion_tokens"))
    finish_reason, served = field_of(choices[0], "finish_reason"), field_of(completion, "model")
    is_priced = price is not None and prompt_tokens is not None and completion_tokens is not None
    return ChatReply(
        content=content,
        tool_calls=tool_calls,
        reasoning=reasoning_of(message),
        finish_reason=finish_reason if isinstance(finish_reason, str) and finish_reason else "stop",
        prompt_tokens=prompt_tokens,
        completion_tokens=completion_tokens,
        usd=price.of(prompt_tokens or 0, completion_tokens or 0) if price and is_priced else None,
        model=served[:MOST_OF_A_NAME] if isinstance(served, str) else "",
    )


def tools_refused(name: str, said: str) -> ModelCallError:
    """The chat is lost, and others without tools are not."""
    return ModelCallError(
        f"{name} does not take this chat's tools: {said.rstrip('.')}. Name a model that does, or serve it with tools "
        "(vLLM: --enable-auto-tool-choice --tool-call-parser NAME; llama.cpp: --jinja)."
    )


def translated(name: str, error: Exception, *, request: ChatRequest | None = None, advice: str = "") -> CollabError:
    """An SDK's exception as ours: run-ending where the provider refuses, retryable where another try may help.

    With the `request`, a refusal of one of its parameters is told apart.
    """
    status = getattr(error, "status_code", None)
    said = one_line(str(error))
    if request is not None and refuses_tools(error, request):
        return tools_refused(name, said)
    if request is not None and (parameter := refused_parameter(error, request.fitted())):
        return ParameterRefusedError(f"{name} does not take {parameter}: {said}", parameter=parameter)
    retry_after = retry_after_in(getattr(error, "litellm_response_headers", None) or _headers(error))
    if _is_refusal(status, str(error)[:COMPLAINT_CHARACTERS]) or _is_out_of_quota(error, retry_after):
        usual = REDIRECTED if status in REDIRECTS else "Check the key, the model name and the quota."
        return EndpointError(f"{name} refuses the request. {advice or usual} It said: {said}")
    if status in (400, 403) and FILTERED.search(str(error)[:COMPLAINT_CHARACTERS]):
        return FilteredError(f"{name}: {said}")
    return ModelCallError(
        f"{name}: {said}",
        retryable=status in RETRYABLE or status is None,
        retry_after=retry_after,
        rate_limited=status == 429,
    )


def _headers(error: Exception) -> Any:
    response = getattr(error, "response", None)
    return getattr(error if response is None else response, "headers", None)


def _is_refusal(status: int | None, text: str) -> bool:
    """Whether every other call would be refused as well."""
    if NO_KEY.search(text):
        return True
    if status == 403:
        return not FLAGGED.search(text)
    return status in REFUSED or (status == 400 and bool(NO_MODEL.search(text)))


def _is_out_of_quota(error: Exception, retry_after: float | None) -> bool:
    """Gemini words a limit per minute like OpenAI an empty account, but says when to come back."""
    text = f"{error} {getattr(error, 'code', '')} {getattr(error, 'type', '')} {getattr(error, 'body', '')}"
    if "insufficient_quota" in text:
        return True
    return bool(NO_QUOTA.search(text)) and retry_after is None and not RETRY_HINT.search(text)


def retry_after_in(headers: Any) -> float | None:
    """Seconds that the headers of an answer ask to wait; None where they say nothing that is understood."""
    if not isinstance(headers, Mapping):
        return None
    named = {str(name).lower(): str(value) for name, value in headers.items()}
    milliseconds = parse_retry_after(named.get("retry-after-ms"), datetime.now(UTC))
    if milliseconds is not None:
        return milliseconds / 1000
    return parse_retry_after(named.get("retry-after"), datetime.now(UTC))


def parse_retry_after(value: str | None, now: datetime) -> float | None:
    """Seconds from a Retry-After header: a number or a date (RFC 9110, 10.2.3), which is in UTC if it names no zone.

    None if it is neither.
    """
    if not value:
        return None
    try:
        seconds = float(value)
    except ValueError:
        date = _date(value)
        if date is None:
            return None
        seconds = ((date if date.tzinfo else date.replace(tzinfo=UTC)) - now).total_seconds()
    return max(0.0, seconds) if math.isfinite(seconds) else None


def _date(value: str) -> datetime | None:
    import email.utils

    for read in (email.utils.parsedate_to_datetime, datetime.fromisoformat):
        try:
            return read(value)
        except (ValueError, TypeError, OverflowError, IndexError):
            continue
    return None
