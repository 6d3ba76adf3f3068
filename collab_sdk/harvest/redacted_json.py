"""Redaction of a text that may be JSON, such as a tool's arguments: it stays JSON where that can be."""

import json
from collections.abc import Callable
from typing import Any

Redact = Callable[[str], str]


def redact_text(text: str, redact: Redact) -> str:
    """The text redacted as a whole and, if it is JSON, by its values, which escapes hide from what reads the whole."""
    redacted = redact(text)
    if text.lstrip()[:1] not in ("{", "[") or (redacted == text and "\\" not in text):
        return redacted
    value = _parsed(text)
    if value is None or ("\\" not in text and _parsed(redacted) is not None):
        return redacted
    by_value = _redacted_part(value, redact)
    if by_value == value:
        return redacted
    return redact(json.dumps(by_value, ensure_ascii=False))  # a password shows only beside its name


def _parsed(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _redacted_part(value: Any, redact: Redact) -> Any:
    if isinstance(value, dict):
        return {redact(key): _redacted_part(part, redact) for key, part in value.items()}
    if isinstance(value, list):
        return [_redacted_part(part, redact) for part in value]
    if isinstance(value, str):
        return redact_text(value, redact)
    if value is None or isinstance(value, bool):
        return value
    number = json.dumps(value)
    redacted = redact(number)
    return value if redacted == number else redacted
