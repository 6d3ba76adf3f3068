"""Calls that are nobody's conversation, such as a simulation's: they are not to be harvested."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

__all__ = ["IGNORE_TAG", "suppress", "suppressed"]

IGNORE_TAG = "collab:ignore"
"""Says the same of one call, where a framework has tags."""
_suppressed: ContextVar[bool] = ContextVar("collab_suppressed", default=False)


@contextmanager
def suppress() -> Iterator[None]:
    """Calls that begin inside are not recorded, in this thread or task and those that inherit its context."""
    token = _suppressed.set(True)
    try:
        yield
    finally:
        _suppressed.reset(token)


def suppressed() -> bool:
    """Whether a call that begins now is not to be recorded."""
    return _suppressed.get()
