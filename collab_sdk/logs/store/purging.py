"""What is deleted for good, and what would be."""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

from collab_sdk.errors import InputError
from collab_sdk.logs.store.messages import as_object, branches, drop_unused, drop_unused_tools
from collab_sdk.messages import text_of

_MATCHING = """
    SELECT id FROM conversations WHERE (?1 IS NULL OR active < ?1) AND (?2 IS NULL OR name = ?2)
    AND (?3 IS NULL OR id IN (SELECT conversation FROM calls WHERE user = ?3))
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class Purge:
    """Which conversations go: those that all given parts match. A user's are all those they took part in."""

    before: float | None = None
    """Unix seconds; a conversation matches if its last call ended earlier."""
    conversation: str | None = None
    user: str | None = None

    def find(self, db: sqlite3.Connection) -> list[int]:
        found = db.execute(_MATCHING, (self.before, self.conversation, self.user))
        return [id for [id] in found]


@dataclass(frozen=True, kw_only=True, slots=True)
class Purged:
    """How much went, or would go."""

    conversations: int
    calls: int
    messages: int = 0
    """Those that nothing else refers to."""


def count_purge(db: sqlite3.Connection, purge: Purge) -> Purged:
    found = purge.find(db)
    calls = sum(db.execute("SELECT count(*) FROM calls WHERE conversation = ?", (id,)).fetchone()[0] for id in found)
    return Purged(conversations=len(found), calls=calls)


def read_said(db: sqlite3.Connection, purge: Purge) -> set[str]:
    """What users say in the chats that match, and in no other: to find out, they are deleted, and put back."""
    with _texts_read_by(db, lambda text: text.decode("utf-8", "replace")):
        bodies = {message.body for id in purge.find(db) for message in branches(db, id) if message.role == "user"}
        db.execute("SAVEPOINT whole")
        delete(db, purge)
        left = {body for [body] in db.execute("SELECT body FROM messages WHERE role = 'user'") if body in bodies}
        db.execute("ROLLBACK TO whole")
        db.execute("RELEASE whole")
    texts: set[str] = set()
    for body in bodies - left:
        with suppress(InputError):
            texts.add(text_of(as_object(body).get("content")))
    return texts


def delete(db: sqlite3.Connection, purge: Purge) -> Purged:
    found = purge.find(db)
    with _texts_read_by(db, bytes):  # only ids are looked at
        counts = [_delete(db, conversation) for conversation in found]
    calls, messages = (sum(count) for count in zip(*counts, strict=True)) if counts else (0, 0)
    return Purged(conversations=len(found), calls=calls, messages=messages)


@contextmanager
def _texts_read_by(db: sqlite3.Connection, read: Callable[[bytes], Any]) -> Iterator[None]:
    """Damaged text, which is no UTF-8, must not keep what it belongs to from being deleted."""
    before, db.text_factory = db.text_factory, read
    try:
        yield
    finally:
        db.text_factory = before


def _delete(db: sqlite3.Connection, conversation: int) -> tuple[int, int]:
    """How many calls and messages went."""
    said = [message.id for message in branches(db, conversation)]
    tools = db.execute("SELECT DISTINCT toolset FROM calls WHERE conversation = ?", (conversation,)).fetchall()
    db.execute("DELETE FROM replies WHERE call IN (SELECT id FROM calls WHERE conversation = ?)", (conversation,))
    calls = db.execute("DELETE FROM calls WHERE conversation = ?", (conversation,)).rowcount
    db.execute("DELETE FROM conversations WHERE id = ?", (conversation,))
    messages = drop_unused(db, said)
    drop_unused_tools(db, (toolset for [toolset] in tools))
    return calls, messages
