"""Which conversation a call belongs to whose app does not say.

It goes on from a reply that was given before it, to the same user: the last in its history that any call gave. Where
several calls gave it (chats that begin alike), it follows the latest that nobody follows yet, so that as many chats
come out as there were; else the one that its own history followed before (a regeneration), else the latest (a fork).
That depends on the calls and their times alone: whatever order they are recorded in, the same conversations come out.
So a call that is recorded late has those after it placed again.
"""

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass

from collab_sdk.logs.store.conversations import move, orphanage
from collab_sdk.logs.store.messages import upward
from collab_sdk.logs.store.store_rows import Order

_GOING_ON = "SELECT id FROM calls WHERE anchor = ? AND user IS ? AND (ended, depth, tie) >= (?, ?, ?)"
_IS_GIVEN = """
    SELECT 1 FROM replies WHERE message = ? AND user IS ? AND claimed IN (0, 1) AND (ended, depth, tie) < (?, ?, ?)
    LIMIT 1
"""
_FOLLOWED_BY_LIKE = """
    SELECT follows FROM calls WHERE anchor = ? AND user IS ? AND history IS ? AND (ended, depth, tie) < (?, ?, ?)
    ORDER BY ended DESC, depth DESC, tie DESC LIMIT 1
"""
_LATEST_GIVING = """
    SELECT call FROM replies WHERE message = ? AND user IS ? AND claimed = ? AND (ended, depth, tie) < (?, ?, ?)
    ORDER BY ended DESC, depth DESC, tie DESC LIMIT 1
"""
# The plus keeps SQLite from the index on messages: a call has few replies, but a greeting may be that of many calls.
_CLAIM = "UPDATE replies SET claimed = 1 WHERE call = ? AND +message = ?"
_RECOUNT = """
    UPDATE replies SET claimed = EXISTS (SELECT 1 FROM calls WHERE follows = ?1 AND +anchor = ?2)
    WHERE call = ?1 AND +message = ?2
"""
_PASSING_THROUGH = """
    WITH RECURSIVE below (id) AS (
        VALUES (?1) UNION SELECT messages.id FROM messages JOIN below ON messages.parent = below.id
    )
    SELECT calls.id FROM calls
    WHERE history IN (SELECT id FROM below) AND named = 0 AND user IS ?2 AND (ended, depth, tie) >= (?3, ?4, ?5)
    AND coalesce((SELECT depth FROM messages WHERE id = anchor), -1) < (SELECT depth FROM messages WHERE id = ?1)
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class Claimant:
    """A call whose place is found here. `anchor` is the reply that it goes on from, `follows` the call that gave it."""

    id: int
    history: int | None
    user: str | None
    order: Order
    anchor: int | None = None
    follows: int | None = None

    @classmethod
    def read(cls, db: sqlite3.Connection, id: int) -> "Claimant":
        columns = "SELECT history, user, ended, depth, tie, anchor, follows FROM calls WHERE id = ?"
        history, user, ended, depth, tie, anchor, follows = db.execute(columns, (id,)).fetchone()
        return cls(id=id, history=history, user=user, order=(ended, depth, tie), anchor=anchor, follows=follows)


def place(db: sqlite3.Connection, call: Claimant) -> None:
    """Find the call's anchor, and match it, and those after it, to the calls that gave that reply."""
    anchor = _anchor(db, call)
    if anchor is None:
        move(db, call.id, orphanage(db, call.id))
    else:
        db.execute("UPDATE calls SET anchor = ? WHERE id = ?", (anchor, call.id))
        _match(db, anchor, call.user, since=call.order)


def announce(db: sqlite3.Connection, message: int, user: str | None, order: Order) -> None:
    """Place the calls again that may go on from this reply, which has just been recorded; in order there are none."""
    if not _is_given(db, message, user, before=order):
        passing = _passing_through(db, message, user, since=order)
        detach(db, passing)
        db.executemany("UPDATE calls SET anchor = ? WHERE id = ?", [(message, call.id) for call in passing])
        for anchor in {call.anchor for call in passing if call.anchor is not None}:
            _match(db, anchor, user, since=min(call.order for call in passing if call.anchor == anchor))
    _match(db, message, user, since=order)


def going_on_from(db: sqlite3.Connection, message: int, user: str | None, *, since: Order) -> list[Claimant]:
    """The calls that go on from a reply, from `since` on."""
    return _in_order(db, db.execute(_GOING_ON, (message, user, *since)).fetchall())


def detach(db: sqlite3.Connection, calls: Sequence[Claimant]) -> None:
    """Let the calls go on from nothing, until they are placed again."""
    db.executemany("UPDATE calls SET anchor = NULL, follows = NULL WHERE id = ?", [(call.id,) for call in calls])
    db.executemany(_RECOUNT, {(call.follows, call.anchor) for call in calls if call.follows is not None})


def _match(db: sqlite3.Connection, anchor: int, user: str | None, *, since: Order) -> None:
    late = going_on_from(db, anchor, user, since=since)
    detach(db, late)
    for call in late:
        follows = _followed_by(db, anchor, call)
        db.execute("UPDATE calls SET anchor = ?, follows = ? WHERE id = ?", (anchor, follows, call.id))
        db.execute(_CLAIM, (follows, anchor))
        [conversation] = db.execute("SELECT conversation FROM calls WHERE id = ?", (follows,)).fetchone()
        move(db, call.id, conversation)


def _followed_by(db: sqlite3.Connection, anchor: int, call: Claimant) -> int:
    """The id of the call that `call` goes on from."""
    free = db.execute(_LATEST_GIVING, (anchor, call.user, False, *call.order)).fetchone()
    like = free or db.execute(_FOLLOWED_BY_LIKE, (anchor, call.user, call.history, *call.order)).fetchone()
    latest = like or db.execute(_LATEST_GIVING, (anchor, call.user, True, *call.order)).fetchone()
    if latest is not None:
        return int(latest[0])
    raise sqlite3.IntegrityError(f"nobody gave the reply that call {call.id} goes on from")


def _anchor(db: sqlite3.Connection, call: Claimant) -> int | None:
    given = (id for id in upward(db, call.history) if _is_given(db, id, call.user, before=call.order))
    return next(given, None)


def _is_given(db: sqlite3.Connection, message: int, user: str | None, *, before: Order) -> bool:
    return db.execute(_IS_GIVEN, (message, user, *before)).fetchone() is not None


def _passing_through(db: sqlite3.Connection, message: int, user: str | None, *, since: Order) -> list[Claimant]:
    """The calls from `since` on whose history contains the message, and whose anchor is above it."""
    return _in_order(db, db.execute(_PASSING_THROUGH, (message, user, *since)).fetchall())


def _in_order(db: sqlite3.Connection, ids: Sequence[tuple[int]]) -> list[Claimant]:
    return sorted((Claimant.read(db, id) for [id] in ids), key=lambda call: call.order)
