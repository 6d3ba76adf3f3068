"""Which conversation a call belongs to, by what the code around it says."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

EXPLICIT_KEY = "collab_conversation_id"
METADATA_KEYS = ("thread_id", "session_id", "conversation_id", "langfuse_session_id")
"""Where apps keep the id of a conversation already."""

_conversation: ContextVar[str | None] = ContextVar("collab_conversation", default=None)


@contextmanager
def conversation(conversation_id: str) -> Iterator[None]:
    """Calls that begin inside belong to this conversation, unless they name one themselves."""
    token = _conversation.set(conversation_id)
    try:
        yield
    finally:
        _conversation.reset(token)


def current_conversation() -> str | None:
    """The id of the innermost `conversation()` around the caller."""
    return _conversation.get()


def conversation_id_in(metadata: Any, around: str | None = None) -> str | None:
    """The id of the conversation that a call's metadata or the code around it names, the most explicit first.

    `around` is what `current_conversation()` was when the call began; by default what it is now.
    """
    named = metadata if isinstance(metadata, Mapping) else {}
    candidates = [named.get(EXPLICIT_KEY), around or current_conversation(), *map(named.get, METADATA_KEYS)]
    return next((str(value) for value in candidates if value not in (None, "")), None)
