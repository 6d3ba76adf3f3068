"""Everything that is stored of a conversation."""

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

from collab_sdk.errors import InputError
from collab_sdk.logs.store.messages import as_object, branches
from collab_sdk.logs.store.store_rows import Order

_CALLS = """
    SELECT calls.id, run, conversations.name, named, lead, history, ended, depth, tie, started, status, error, source,
           model, user, toolset, cached, details, shown, shown_is_turn, is_side, is_added, response, previous
    FROM calls JOIN conversations ON conversations.id = calls.conversation
    WHERE calls.conversation = ?1 OR calls.id = ?2 ORDER BY ended, depth, tie
"""

_KINDS = {
    **dict.fromkeys(("run", "conversation", "status", "source", "details"), str),
    **dict.fromkeys(("error", "model", "user", "response", "previous"), str | None),
    **dict.fromkeys(("started", "ended"), float),
}
"""What SQLite does not see to: a file from outside may have bytes where text should be."""


@dataclass(frozen=True, kw_only=True, slots=True)
class StoredCall:
    """A call of a conversation, its messages by id."""

    id: int
    run: str
    conversation: str
    named: bool
    lead: int | None
    history: int | None
    ended: float
    depth: int
    tie: int
    started: float
    status: str
    error: str | None
    source: str
    model: str | None
    user: str | None
    toolset: int | None
    cached: bool
    details: Mapping[str, Any]
    """`parameters`, `usage` and `metadata`."""
    shown: int | None
    shown_is_turn: bool
    is_side: bool
    is_added: bool
    response: str | None
    previous: str | None
    replies: tuple[int, ...] = ()

    @property
    def order(self) -> Order:
        return self.ended, self.depth, self.tie

    def said_of(self, kind: str) -> Mapping[str, Any]:
        """Its `parameters` or `metadata`."""
        found = self.details.get(kind)
        return found if isinstance(found, Mapping) else {}

    @property
    def is_answered(self) -> bool:
        """Whether something of its reply was given to the app."""
        return bool(self.replies) and self.status in ("ok", "partial")


@dataclass(frozen=True, kw_only=True, slots=True)
class StoredBody:
    """A message, `own` what it is told by."""

    id: int
    own: bytes
    body: Mapping[str, Any]

    @property
    def is_said(self) -> bool:
        """Whether it is no system prompt."""
        return self.body.get("role") != "system"


@dataclass(frozen=True, kw_only=True, slots=True)
class Tree:
    """All that is stored of a conversation: its calls in order, and its messages on all branches."""

    calls: Sequence[StoredCall]
    parents: Mapping[int, int | None]
    bodies: Mapping[int, StoredBody]

    def history(self, call: StoredCall) -> list[StoredBody]:
        """What a model was sent. Raises InputError."""
        return self.path(call.lead) + self.path(call.history)

    def path(self, leaf: int | None) -> list[StoredBody]:
        """The messages from the first to `leaf`. Raises InputError where they go in a circle."""
        return list(self.upward(leaf))[::-1]

    def upward(self, leaf: int | None) -> Iterator[StoredBody]:
        """The messages from `leaf` to the first. Raises InputError where they go in a circle."""
        seen: set[int] = set()
        while leaf is not None:
            if leaf in seen or leaf not in self.parents:
                raise InputError("its messages are not a tree; the file was damaged or changed")
            seen.add(leaf)
            yield self.bodies[leaf]
            leaf = self.parents[leaf]


def read_tree(db: sqlite3.Connection, conversation: int) -> Tree:
    """Raises InputError for rows that are no messages."""
    parents: dict[int, int | None] = {}
    bodies: dict[int, StoredBody] = {}
    for message in branches(db, conversation):
        parents[message.id] = message.parent
        bodies[message.id] = StoredBody(id=message.id, own=message.own, body=as_object(message.body))
    return Tree(calls=read_calls(db, conversation=conversation), parents=parents, bodies=bodies)


def read_calls(db: sqlite3.Connection, *, conversation: int | None = None, call: int | None = None) -> list[StoredCall]:
    """The calls of a conversation, in order, or the one with an id."""
    return [_call(db, row) for row in db.execute(_CALLS, (conversation, call)).fetchall()]


def _call(db: sqlite3.Connection, row: tuple[Any, ...]) -> StoredCall:
    names = (field.name for field in fields(StoredCall) if field.name != "replies")
    values = dict(zip(names, row, strict=True))
    if not all(isinstance(values[name], kind) for name, kind in _KINDS.items()):
        raise InputError("a call is not as it was stored; the file was damaged or changed")
    values["details"] = as_object(values["details"])
    replies = db.execute("SELECT message FROM replies WHERE call = ? ORDER BY position", (row[0],))
    return StoredCall(**values, replies=tuple(message for [message] in replies))
