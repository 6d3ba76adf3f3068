"""What a loopback server does instead of answering, and the scripts that say when."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any, Literal

Body = dict[str, Any]


@dataclass(frozen=True, kw_only=True, slots=True)
class Fault:
    """One misbehaviour. `act` is what happens; the other fields are what a reply looks like."""

    act: Literal["reply", "hang", "drop", "cut", "stall"] = "reply"
    """`hang` never answers, `drop` closes the connection without a word, `cut` in the middle of the body. `stall`
    sends the beginning of a stream and no more."""
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    body: Mapping[str, Any] | str | None = None
    """Sent as it is, in place of a completion; a mapping as JSON."""
    choice: Mapping[str, Any] = field(default_factory=dict)
    """Laid over the completion's only choice."""
    message: Mapping[str, Any] = field(default_factory=dict)
    """Laid over that choice's message."""
    choices: bool = True
    """False: the completion has none."""
    usage: bool = True
    """False: the completion does not say how many tokens it took."""


Script = Callable[[int, Body], Fault | None]
"""Called with the request's number, from 0, and its body."""


def every(n: int, then: Fault | Script) -> Script:
    """At each n-th request: the requests n-1, 2n-1 and so on, counted from 0."""
    return lambda number, body: _apply(then, number, body) if number % n == n - 1 else None


def first(n: int, then: Fault | Script) -> Script:
    """At the first n requests."""
    return lambda number, body: _apply(then, number, body) if number < n else None


def when(predicate: Callable[[Body], bool], then: Fault | Script) -> Script:
    """At requests that fit. A script within counts only those: `when(is_judge, first(2, EMPTY))`."""
    fitting = 0

    def script(number: int, body: Body) -> Fault | None:
        nonlocal fitting
        if not predicate(body):
            return None
        fitting += 1
        return _apply(then, fitting - 1, body)

    return script


def either(*scripts: Fault | Script) -> Script:
    """The first fault that any of them calls for. Every script sees every request."""

    def script(number: int, body: Body) -> Fault | None:
        return next((fault for fault in [_apply(s, number, body) for s in scripts] if fault), None)

    return script


def always(fault: Fault) -> Script:
    return lambda number, body: fault


def _apply(then: Fault | Script, number: int, body: Body) -> Fault | None:
    return then if isinstance(then, Fault) else then(number, body)


def http_date(seconds: float) -> str:
    """The time that many seconds from now, as Retry-After may spell it (RFC 9110, 10.2.3)."""
    return format_datetime(datetime.now(UTC) + timedelta(seconds=seconds), usegmt=True)


def rate_limited(retry_after: float | str | None = None) -> Fault:
    """429. `retry_after` is seconds or an HTTP date."""
    headers = {} if retry_after is None else {"Retry-After": str(retry_after)}
    message = "Rate limit reached for requests"
    return refusal(429, message, kind="requests", code="rate_limit_exceeded", headers=headers)


def refusal(
    status: int,
    message: str,
    *,
    kind: str = "invalid_request_error",
    code: str | None = None,
    param: str | None = None,
    headers: Mapping[str, str] | None = None,
) -> Fault:
    """An error as OpenAI words it."""
    error = {"message": message, "type": kind, "param": param, "code": code}
    return Fault(status=status, body={"error": error}, headers=headers or {})


def redirect(address: str) -> Fault:
    """To another server, as a client would follow it with the same request."""
    return Fault(status=307, headers={"Location": f"{address}/chat/completions"}, body="")


def counted(tokens: object) -> Fault:
    """A completion whose prompt has so many tokens, by its own account."""
    said = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "Hello."}}
    return Fault(body={"choices": [said], "usage": {"prompt_tokens": tokens, "completion_tokens": 1}})


def content(text: str | None) -> Fault:
    """A completion with this content."""
    return Fault(message={"content": text})


QUOTA = refusal(
    429,
    "You exceeded your current quota, please check your plan and billing details.",
    kind="insufficient_quota",
    code="insufficient_quota",
)
SERVER_ERROR = refusal(500, "The server had an error while processing your request", kind="server_error")
BAD_GATEWAY = Fault(status=502, body="<html><body><h1>502 Bad Gateway</h1></body></html>")
OVERLOADED = refusal(503, "That model is currently overloaded", kind="server_error")
BAD_KEY = refusal(401, "Incorrect API key provided: sk-test.", code="invalid_api_key")
FORBIDDEN = refusal(403, "Project does not have access to model", code="model_not_found")
NO_SUCH_MODEL = refusal(404, "The model `x` does not exist", code="model_not_found", param="model")
BAD_REQUEST = refusal(400, "Unsupported value: 'temperature'", code="unsupported_value", param="temperature")
CONTEXT_WINDOW = refusal(
    400,
    "This model's maximum context length is 8192 tokens. However, your messages resulted in 9001 tokens. "
    "Please reduce the length of the messages.",
    code="context_length_exceeded",
    param="messages",
)
CONTENT_POLICY = refusal(
    400,
    "Your request was rejected as a result of our safety system. Your prompt may contain text that is not "
    "allowed by our safety system.",
    code="content_policy_violation",
)
HANG = Fault(act="hang")
DROP = Fault(act="drop")
CUT = Fault(act="cut")
STALL = Fault(act="stall")
EMPTY = content("")
NULL = content(None)
TRUNCATED = Fault(choice={"finish_reason": "length"})
FILTERED = Fault(choice={"finish_reason": "content_filter"}, message={"content": ""})
BROKEN_JSON = content('{"goal": {')
NOT_JSON = Fault(body="upstream connect error or disconnect/reset before headers")
NO_CHOICES = Fault(choices=False)
