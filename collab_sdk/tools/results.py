"""What a Python tool returned or raised, as text. It needs the standard library alone: it runs in the sandbox too."""

import errno
import json
from collections.abc import Iterator, Mapping
from concurrent.futures import BrokenExecutor
from dataclasses import asdict, is_dataclass
from datetime import date, time
from decimal import Decimal
from enum import Enum
from pathlib import PurePath
from typing import Any
from uuid import UUID

MEDIA = ("data:image/", "data:audio/", "data:video/")
PARTS = {"image", "image_url", "input_image", "audio", "input_audio", "video", "file"}
"""Types of content parts that hold no text."""
IS_MEDIA = "an image or a recording; results are text or JSON"
GONE = (ConnectionError, TimeoutError, EOFError, BrokenExecutor, ProcessLookupError)
"""What a tool raises whose process or server has died, or does not answer."""
GONE_NUMBERS = {
    getattr(errno, name)
    for name in """ECONNABORTED ECONNREFUSED ECONNRESET EHOSTDOWN EHOSTUNREACH ENETDOWN ENETUNREACH ENOTCONN EPIPE
    ESHUTDOWN ETIMEDOUT""".split()
    if hasattr(errno, name)
}
GONE_NAMES = frozenset(
    """URLError ClientConnectionError ClientConnectorError ServerDisconnectedError ConnectError ConnectTimeout
    NetworkError RemoteProtocolError ClosedResourceError BrokenResourceError ConnectionError NewConnectionError
    MaxRetryError ConnectionClosed""".split()
)
"""The same in packages that have classes of their own: urllib, aiohttp, httpx, anyio, requests, urllib3, websockets."""
STATUS = ("status_code", "status", "code")
"""Where an error that a server answered with has its number."""


def as_text(value: Any) -> str:
    """A result as text: text itself, or JSON; empty for None. Raises ValueError, saying what it is, for all else."""
    if value is None:
        return ""
    text = str.__str__(value) if isinstance(value, str) else _json(value)
    if text.lstrip()[:11].lower().startswith(MEDIA) or _holds_media(value):
        raise ValueError(IS_MEDIA)
    return text


def _json(value: Any) -> str:
    try:
        return json.dumps(value, ensure_ascii=False, allow_nan=False, default=_plain)
    except Exception as error:  # also whatever the value's own methods raise
        raise ValueError(f"{type(value).__name__}, which is neither text nor JSON: {error_text(error)}") from None


def _plain(value: Any) -> Any:
    """JSON for what is plainly a value. Raises TypeError for all else."""
    if is_dataclass(value) and not isinstance(value, type):
        return asdict(value)
    if hasattr(value, "model_dump"):
        return value.model_dump(mode="json")
    if isinstance(value, date | time):
        return value.isoformat()
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, set | frozenset):
        return sorted(value, key=repr)
    if isinstance(value, Decimal | UUID | PurePath):
        return str(value)
    raise TypeError(f"{type(value).__name__} is no JSON")


def _holds_media(value: Any) -> bool:
    """Whether it is content parts of which one is no text."""
    parts = value if isinstance(value, list | tuple) else [value]
    return all(isinstance(part, Mapping) and "type" in part for part in parts) and any(
        isinstance(part["type"], str) and part["type"] in PARTS and not isinstance(part.get("text"), str)
        for part in parts
    )


def without_surrogates(text: str) -> str:
    """The text with halves of surrogate pairs replaced, as in the replies of models: nothing can store or send them."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text


def error_text(error: BaseException) -> str:
    """What an error says; nothing where it cannot even say that."""
    try:
        return str(error)
    except Exception:
        return ""


def has_died(error: BaseException) -> bool:
    """Whether what a tool raised says that its process or server is gone, and not what it answered."""
    return any(_is_gone(each) for each in _chain(error))


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """The error, and those that led to it, up to one that a server answered with."""
    seen: set[int] = set()
    waiting = [error]
    while waiting:
        error = waiting.pop()
        if error is None or id(error) in seen or _is_answer(error):
            continue
        seen.add(id(error))
        yield error
        waiting += [error.__cause__, None if error.__suppress_context__ else error.__context__]
        waiting += error.exceptions if isinstance(error, BaseExceptionGroup) else ()


def _is_gone(error: BaseException) -> bool:
    if isinstance(error, GONE) or (isinstance(error, OSError) and error.errno in GONE_NUMBERS):
        return True
    return any(kind.__name__ in GONE_NAMES for kind in type(error).__mro__)


def _is_answer(error: BaseException) -> bool:
    """Whether it is the answer of a server, such as 404."""
    holders = (error, getattr(error, "response", None))
    numbers = [getattr(holder, name, None) for holder in holders for name in STATUS]
    return any(isinstance(number, int) and 100 <= number < 600 for number in numbers)
