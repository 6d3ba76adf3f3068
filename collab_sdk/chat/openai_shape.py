"""Requests, replies and errors in the shape of OpenAI's SDK, which LiteLLM and many clients share."""

import os
import re
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from collab_sdk.chat.model import ChatReply, ChatRequest, Price
from collab_sdk.chat.retry import parse_retry_after
from collab_sdk.errors import CollabError, EndpointError, ModelCallError

# 200: a body that is no JSON, from a proxy in between.
RETRYABLE = {200, 408, 409, 425, 429, 500, 502, 503, 504, 529}
REFUSED = {401, 402, 403, 404}
FLAGGED = re.compile(r"flag|moderat|content(?!-type)|safety|policy", re.IGNORECASE)
"""What a 403 says that is about this one chat (OpenRouter, Azure), not about the key."""
NO_MODEL = re.compile(
    r"\bmodel(?!')(\W+[^\s`'\"]+){0,2}?\W+(does not exist|(was |is |could )?not (be )?found|is not supported)"
    r"|unknown model|invalid model|not a valid model",
    re.IGNORECASE,
)
SECRETS = re.compile(r"\b(sk|pk|key|hf|gsk|xai)[-_][\w*-]{6,}|\bBearer\s+\S+|\bAIza[\w-]{10,}", re.IGNORECASE)
NO_KEY = re.compile(
    r"missing credentials|missing \w* ?api key|api_key client option|api key not (found|valid)", re.IGNORECASE
)
NO_QUOTA = re.compile(r"check your plan and billing", re.IGNORECASE)
RETRY_HINT = re.compile(r"retry in|retry ?after|retry_?delay|try again in", re.IGNORECASE)
SECRET_VARIABLES = ("_API_KEY", "_TOKEN", "_KEY", "_SECRET")
SECRET_PARAMETERS = re.compile(r"key|token|secret|passw|auth|credential|^sig|^code$", re.IGNORECASE)


def request_arguments(request: ChatRequest) -> dict[str, Any]:
    """Keyword arguments of a chat-completions call, the model's name left out."""
    arguments: dict[str, Any] = {
        "messages": [message.to_dict() for message in request.messages],
        "temperature": request.temperature,
    }
    if request.max_tokens is not None:
        arguments["max_tokens"] = request.max_tokens
    if request.json_reply:
        arguments["response_format"] = {"type": "json_object"}
    return arguments


def reply_of(name: str, completion: Any, price: Price | None) -> ChatReply:
    """The first choice of a chat completion."""
    if not getattr(completion, "choices", None):
        raise ModelCallError(f"{name} answered without choices.", retryable=True)
    choice = completion.choices[0]
    usage = getattr(completion, "usage", None)
    prompt_tokens = getattr(usage, "prompt_tokens", None)
    completion_tokens = getattr(usage, "completion_tokens", None)
    return ChatReply(
        content=choice.message.content or "",
        finish_reason=choice.finish_reason or "stop",
        prompt_tokens=prompt_tokens,
        completion_tokens=completion_tokens,
        usd=price.of(prompt_tokens or 0, completion_tokens or 0) if price and usage else None,
    )


def translated(name: str, error: Exception) -> CollabError:
    """An SDK's exception as ours: run-ending where the provider refuses, retryable where another try may help."""
    status = getattr(error, "status_code", None)
    said = one_line(str(error))
    headers = getattr(error, "litellm_response_headers", None) or _headers(error) or {}
    retry_after = parse_retry_after(headers.get("retry-after"), datetime.now(UTC))
    if _is_refusal(status, str(error)) or _is_out_of_quota(error, retry_after):
        return EndpointError(
            f"{name} refuses the request. Check the key, the model name and the quota. It said: {said}"
        )
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


def one_line(text: str, limit: int = 300) -> str:
    """An error text fit to print: one line, no keys, not endless."""
    line = SECRETS.sub("[secret]", " ".join(text.split()))
    for secret in _environment_secrets():
        line = line.replace(secret, "[secret]")
    return line if len(line) <= limit else line[: limit - 1] + "…"


def _environment_secrets() -> list[str]:
    """Keys that look like nothing, such as 32 hex digits, are known by the variables they came from; longest first."""
    named = {value.strip() for name, value in os.environ.items() if name.upper().endswith(SECRET_VARIABLES)}
    return sorted((value for value in named if len(value) >= 8), key=len, reverse=True)


def without_credentials(url: str | None) -> str | None:
    """A URL without user, password, fragment, and the values of query parameters that may be keys."""
    if url is None:
        return None
    parts = urlsplit(url)
    query = [
        (name, "" if SECRET_PARAMETERS.search(name) or SECRETS.search(value) else value)
        for name, value in parse_qsl(parts.query, keep_blank_values=True)
    ]
    path = parts.path.rstrip("/")
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], path, urlencode(query), ""))
