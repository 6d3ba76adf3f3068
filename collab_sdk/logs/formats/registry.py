"""The chat-log formats, tried in order. A new one is a file with a `Format` or `CallFormat`, and its name here."""

from collections.abc import Mapping
from typing import Any

from collab_sdk.errors import InputError, UnknownNameError
from collab_sdk.logs.formats.call_row import CallFormat
from collab_sdk.logs.formats.chatgpt import CHATGPT
from collab_sdk.logs.formats.conversation_row import Format
from collab_sdk.logs.formats.langfuse import LANGFUSE
from collab_sdk.logs.formats.langsmith import LANGSMITH
from collab_sdk.logs.formats.openai_batch import OPENAI_BATCH
from collab_sdk.logs.formats.openai_messages import OPENAI_MESSAGES
from collab_sdk.logs.formats.otel import OTEL
from collab_sdk.logs.formats.preference_rows import PREFERENCES
from collab_sdk.logs.formats.public_chats import LMSYS, TASKMASTER, WILDCHAT
from collab_sdk.logs.formats.sharegpt import SHAREGPT

AnyFormat = Format | CallFormat

FORMATS: tuple[AnyFormat, ...] = (
    PREFERENCES,  # before the formats of chats, which some of its rows have keys of
    OPENAI_MESSAGES,
    SHAREGPT,
    CHATGPT,
    LMSYS,
    WILDCHAT,
    TASKMASTER,
    LANGSMITH,
    LANGFUSE,
    OPENAI_BATCH,
    OTEL,
)

_KEYS_SHOWN = 10


def get_format(name: str) -> AnyFormat:
    """The format of that name. Raises UnknownNameError listing them."""
    for known in FORMATS:
        if known.name == name:
            return known
    raise UnknownNameError.of("log format", name, [known.name for known in FORMATS])


def is_row(value: Any) -> bool:
    """Whether some format takes this value for its own."""
    return _format_of(value) is not None


def format_of(row: Any, forced: AnyFormat | None = None) -> tuple[AnyFormat, Mapping[str, Any]]:
    """The format of a row, and the row. Raises InputError."""
    found = forced if isinstance(row, Mapping) and forced else _format_of(row)
    if found is None:
        known = ", ".join(f"{known.name} ({known.known_by})" for known in FORMATS)
        raise InputError(f"no known chat format: found {_describe(row)}; known: {known}")
    return found, row


def _format_of(value: Any) -> AnyFormat | None:
    if not isinstance(value, Mapping):
        return None
    return next((known for known in FORMATS if known.matches(value)), None)


def _describe(row: Any) -> str:
    if not isinstance(row, Mapping):
        return f"no object but {type(row).__name__}"
    keys = [repr(key[:40]) for key in row]
    more = ", ..." if len(keys) > _KEYS_SHOWN else ""
    return f"the keys {', '.join(keys[:_KEYS_SHOWN])}{more}" if keys else "no keys"
