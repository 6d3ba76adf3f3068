"""Requests, replies and errors in the shape of OpenAI's SDK, which LiteLLM and many clients share."""

import re
from datetime import UTC, datetime
from typing import Any

from collab_sdk.chat.model import ChatReply, ChatRequest, Price
from collab_sdk.chat.retry import parse_retry_after
from collab_sdk.errors import CollabError, EndpointError, ModelCallError

# 200: a body that is no JSON, from a proxy in between.
RETRYABLE = {200, 408, 409, 425, 429, 500, 502, 503, 504, 529}
REFUSED = {401, 403, 404}
SECRETS = re.compile(r"\b(sk|pk|key|hf|gsk|xai)[-_][\w*-]{6,}|\bBearer\s+\S+|\bAIza[\w-]{10,}", re.IGNORECASE)
NO_KEY = re.compile(
    r"missing credentials|missing \w* ?api key|api_key client option|api key not (found|valid)", re.IGNORECASE
)
NO_QUOTA = re.compile(r"insufficient_quota|exceeded your current quota", re.IGNORECASE)


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
    if status in REFUSED or NO_KEY.search(said) or NO_QUOTA.search(said):
        return EndpointError(
            f"{name} refuses the request. Check the key, the model name and the quota. It said: {said}"
        )
    response = getattr(error, "response", None)
    headers = getattr(error, "litellm_response_headers", None) or getattr(response, "headers", None) or {}
    return ModelCallError(
        f"{name}: {said}",
        retryable=status in RETRYABLE or status is None,
        retry_after=parse_retry_after(headers.get("retry-after"), datetime.now(UTC)),
        rate_limited=status == 429,
    )


def one_line(text: str, limit: int = 300) -> str:
    """An error text fit to print: one line, no keys, not endless."""
    line = SECRETS.sub("[secret]", " ".join(text.split()))
    return line if len(line) <= limit else line[: limit - 1] + "…"
