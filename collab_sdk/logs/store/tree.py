"""Everything that is stored of a conversation, and which of it is the current branch."""

import sqlite3
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

from collab_sdk.errors import InputError
from collab_sdk.files import parse_json
from collab_sdk.logs.store.messages import branches
from collab_sdk.logs.store.store_rows import Order

_CALLS = """
    SELECT calls.id, run, conversations.name, named, history, ended, depth, tie, started, status, error, source, model,
           user, toolset, cached, details
    FROM calls JOIN conversations ON conversations.id = calls.conversation
    WHERE calls.conversation = ?1 OR calls.id = ?2 ORDER BY ended, depth, tie
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class StoredCall:
    """A call of a conversation, its messages by id."""

    id: int
    run: str
    conversation: str
    named: bool
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
    details: str
    replies: tuple[int, ...] = ()

    @property
    def order(self) -> Order:
        return self.ended, self.depth, self.tie

    @property
    def leaf(self) -> int | None:
        """Where the conversation was after it: at its first reply, if it was answered."""
        return self.replies[0] if self.replies and self.status in ("ok", "partial") else self.history


@dataclass(frozen=True, kw_only=True, slots=True)
class Tree:
    """All that is stored of a conversation: its calls in order, and its messages on all branches."""

    calls: Sequence[StoredCall]
    parents: Mapping[int, int | None]
    bodies: Mapping[int, Mapping[str, Any]]
    children: Mapping[int | None, list[int]]

    def path(self, leaf: int | None) -> list[int]:
        """The messages from the first to `leaf`. Raises InputError where they go in a circle."""
        path: list[int] = []
        seen: set[int] = set()
        while leaf is not None:
            if leaf in seen or leaf not in self.parents:
                raise InputError("its messages are no tree; the file was damaged or changed")
            seen.add(leaf)
            path.append(leaf)
            leaf = self.parents[leaf]
        return path[::-1]

    def current_path(self) -> list[int]:
        """The path to the latest reply, and beyond it the messages of a later call that got none."""
        answered = [call for call in self.calls if call.leaf != call.history]
        if not answered:
            return self.path(self.calls[-1].history) if self.calls else []
        path = self.path(answered[-1].leaf)
        for call in reversed(self.calls):
            if call.leaf == call.history and path[-1] in (further := self.path(call.history)):
                return further
        return path


def read_tree(db: sqlite3.Connection, conversation: int) -> Tree:
    """Raises InputError for rows that are no messages."""
    parents: dict[int, int | None] = {}
    bodies: dict[int, Mapping[str, Any]] = {}
    children: defaultdict[int | None, list[int]] = defaultdict(list)
    for message in branches(db, conversation):
        parents[message.id], bodies[message.id] = message.parent, as_object(message.body)
        children[message.parent].append(message.id)
    calls = read_calls(db, conversation=conversation)
    return Tree(calls=calls, parents=parents, bodies=bodies, children=children)


def read_calls(db: sqlite3.Connection, *, conversation: int | None = None, call: int | None = None) -> list[StoredCall]:
    """The calls of a conversation, in order, or the one with an id."""
    return [_call(db, row) for row in db.execute(_CALLS, (conversation, call)).fetchall()]


def as_object(text: str) -> dict[str, Any]:
    """The object of JSON text. Raises InputError."""
    value = parse_json(text)
    if not isinstance(value, dict):
        raise InputError("what is stored is no object; the file was damaged or changed")
    return value


def _call(db: sqlite3.Connection, row: tuple[Any, ...]) -> StoredCall:
    replies = db.execute("SELECT message FROM replies WHERE call = ? ORDER BY position", (row[0],))
    names = (field.name for field in fields(StoredCall) if field.name != "replies")
    return StoredCall(**dict(zip(names, row, strict=True)), replies=tuple(message for [message] in replies))
