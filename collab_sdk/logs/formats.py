"""The chat-log formats, tried in order. A new one is a file with a `Format`, and its name here."""

from collections.abc import Mapping
from typing import Any

from collab_sdk.errors import InputError
from collab_sdk.logs.conversation_row import Format
from collab_sdk.logs.openai_messages import OPENAI_MESSAGES
from collab_sdk.logs.sharegpt import SHAREGPT
from collab_sdk.types import Conversation

FORMATS = (OPENAI_MESSAGES, SHAREGPT)

_KEYS_SHOWN = 10


def format_of(row: Any) -> Format | None:
    """The format that takes this row for its own."""
    if not isinstance(row, Mapping):
        return None
    return next((known for known in FORMATS if known.matches(row)), None)


def read_row(row: Any) -> Conversation:
    """The conversation in a row of any known format. Raises InputError."""
    found = format_of(row)
    if found is None:
        known = ", ".join(known.name for known in FORMATS)
        raise InputError(f"no known chat format; known: {known}; found {_describe(row)}")
    return found.read(row)


def _describe(row: Any) -> str:
    if not isinstance(row, Mapping):
        return f"no object but {type(row).__name__}"
    keys = [repr(key[:40]) for key in row]
    more = ", ..." if len(keys) > _KEYS_SHOWN else ""
    return f"the keys {', '.join(keys[:_KEYS_SHOWN])}{more}" if keys else "no keys"
