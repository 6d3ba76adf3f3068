"""What is left out of a log without being an error, counted while a row is read."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TypeVar

T = TypeVar("T")

MOST = 200
"""Kinds of notes; a hostile log could have one for every word."""
OTHER = "other things that are not read, left out"

_notes: ContextVar[Counter[str] | None] = ContextVar("notes", default=None)


def note(what: str, count: int = 1) -> None:
    """Count something that the row being read has, and that is left out. Outside of reading nothing happens."""
    notes = _notes.get()
    if notes is not None and count:
        notes[what if what in notes or len(notes) < MOST else OTHER] += count


@contextmanager
def noting(notes: Counter[str]) -> Iterator[None]:
    """What is noted within is counted here."""
    token = _notes.set(notes)
    try:
        yield
    finally:
        _notes.reset(token)


def noted(items: Iterator[T], notes: Counter[str]) -> Iterator[T]:
    """The items, with what is noted while each is made."""
    while True:
        with noting(notes):
            try:
                item = next(items)
            except StopIteration:
                return
        yield item
