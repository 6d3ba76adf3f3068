"""How a model's reply is found again in what a chain returns: by the message's id, or its text."""

from collections.abc import Iterator, Mapping
from typing import Any

from langchain_core.messages import AIMessage, BaseMessage


def marks_of(output: Any) -> frozenset[str]:
    """The marks of a message or text, of the last answer in a list, and of each value of a dict."""
    return frozenset(mark for mark in _marks(output) if mark)


def _marks(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value.strip()
    elif isinstance(value, BaseMessage):
        yield value.id or ""
        yield str(value.text).strip()
    elif isinstance(value, list):
        yield from _marks(next((part for part in reversed(value) if isinstance(part, AIMessage)), None))
    elif isinstance(value, Mapping):
        for part in value.values():
            if not isinstance(part, Mapping):
                yield from _marks(part)
