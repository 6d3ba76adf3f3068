"""Which conversation a call belongs to whose app does not say.

It goes on from a reply that was given before it, to the same user: the last in its history that any call gave. Where
several calls gave it (chats that begin alike), it follows the latest that nobody follows yet, so that as many chats
come out as there were; else the one that its own history followed before (a regeneration), else the latest (a fork).
That depends on the calls and their times alone: whatever order they are recorded in, the same conversations come out.
So a call that is recorded late has those after it placed again.

Replies are known by all that the two sides said up to them. Where a history is a window, holds a summary or a reworked
message, nobody gave a reply after just that: then it goes on from the reply that agrees with the end of it. And where
the server holds the history, a call names the response that it goes on from.
"""

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass

from collab_sdk.logs.store.agreement import Agreement, Spoken, agreement, call_ids, is_alike, plain
from collab_sdk.logs.store.conversations import move, orphanage
from collab_sdk.logs.store.messages import spoken, upward
from collab_sdk.logs.store.store_rows import Order

TELLING = 40
"""Characters of an answer that hardly any other chat has too."""
CANDIDATES = 32
"""How many calls that gave a reply are looked at, the latest first."""

_GOING_ON = "SELECT id FROM calls WHERE anchor = ? AND user IS ? AND (ended, depth, tie) >= (?, ?, ?)"
_IS_GIVEN = """
    SELECT 1 FROM replies WHERE said = ? AND user IS ? AND claimed IN (0, 1) AND (ended, depth, tie) < (?, ?, ?) LIMIT 1
"""
_FOLLOWED_BY_LIKE = """
    SELECT follows FROM calls WHERE anchor = ? AND user IS ? AND said IS (SELECT said FROM calls WHERE id = ?)
    AND (ended, depth, tie) < (?, ?, ?) AND follows IS NOT NULL ORDER BY ended DESC, depth DESC, tie DESC LIMIT 1
"""
_LATEST_GIVING = """
    SELECT call FROM replies WHERE said = ? AND user IS ? AND claimed = ? AND (ended, depth, tie) < (?, ?, ?)
    ORDER BY ended DESC, depth DESC, tie DESC LIMIT 1
"""
# The plus keeps SQLite from the index on `said`: a call has few replies, but a greeting may be that of many calls.
_CLAIM = "UPDATE replies SET claimed = 1 WHERE call = ? AND +said = ?"
_RECOUNT = """
    UPDATE replies SET claimed = EXISTS (SELECT 1 FROM calls WHERE follows = ?1 AND +anchor = ?2)
    WHERE call = ?1 AND +said = ?2
"""
_PASSING_THROUGH = """
    WITH RECURSIVE below (id) AS (
        SELECT id FROM messages WHERE said = ?1
        UNION SELECT messages.id FROM messages JOIN below ON messages.parent = below.id
    )
    SELECT calls.id FROM calls
    WHERE history IN (SELECT id FROM below) AND named = 0 AND previous IS NULL AND user IS ?2
    AND (ended, depth, tie) >= (?3, ?4, ?5)
    AND coalesce(anchored, -1) < (SELECT max(spoken) FROM messages WHERE said = ?1)
"""
_LATER = "SELECT 1 FROM calls WHERE named = 0 AND (ended, depth, tie) > (?, ?, ?) LIMIT 1"
_WAITING = """
    SELECT id FROM calls WHERE last = ? AND anchor IS NULL AND named = 0 AND previous IS NULL AND user IS ?
"""
_SAYING = """
    SELECT message, conversation FROM replies JOIN calls ON calls.id = replies.call
    WHERE replies.own = ? AND replies.user IS ? AND calls.id != ? ORDER BY replies.ended DESC LIMIT ?
"""
_ANSWERING = """
    SELECT message, conversation FROM calls JOIN replies ON calls.id = replies.call
    WHERE calls.said = ? AND calls.user IS ? AND calls.id != ? ORDER BY calls.ended DESC LIMIT ?
"""
_GIVING = "SELECT call FROM replies WHERE said = ? AND user IS ? AND call != ? ORDER BY ended, depth, tie"
_FOLLOWED = """
    WITH RECURSIVE up (id) AS (VALUES (?) UNION SELECT follows FROM calls JOIN up USING (id) WHERE follows IS NOT NULL)
    SELECT 1 FROM up WHERE id = ?
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class Claimant:
    """A call whose place is found here. `anchor` is `said` of the reply that it goes on from, `follows` the call that
    gave it; `previous` the response that it names itself."""

    id: int
    history: int | None
    user: str | None
    order: Order
    previous: str | None = None
    anchor: bytes | None = None
    follows: int | None = None

    @classmethod
    def read(cls, db: sqlite3.Connection, id: int) -> "Claimant":
        columns = "SELECT history, user, ended, depth, tie, previous, anchor, follows FROM calls WHERE id = ?"
        history, user, ended, depth, tie, previous, anchor, follows = db.execute(columns, (id,)).fetchone()
        order = (ended, depth, tie)
        return cls(id=id, history=history, user=user, order=order, previous=previous, anchor=anchor, follows=follows)


def place(db: sqlite3.Connection, call: Claimant) -> None:
    """Find the call's anchor, and match it, and those after it, to the calls that gave that reply."""
    if call.previous is not None:
        _follow_response(db, call)
        return
    anchor, anchored = _anchor(db, call)
    if anchor is None:
        move(db, call.id, orphanage(db, call.id))
    elif len(going_on_from(db, anchor, call.user, since=call.order)) > (call.anchor == anchor):  # not only itself
        db.execute("UPDATE calls SET anchor = ?, anchored = ? WHERE id = ?", (anchor, anchored, call.id))
        _match(db, anchor, call.user, since=call.order)
    else:
        _follow(db, call, anchor, anchored)


def announce(
    db: sqlite3.Connection, message: int, user: str | None, order: Order, *, response: str | None = None
) -> None:
    """Place the calls again that may go on from this reply, which has just been recorded; in order there are none."""
    said, own, depth = db.execute("SELECT said, own, spoken FROM messages WHERE id = ?", (message,)).fetchone()
    if db.execute(_LATER, order).fetchone() is not None:
        _announce_late(db, said, depth, user, order)
    waiting = db.execute(_WAITING, (own, user)).fetchall()
    if response is not None:
        waiting += db.execute("SELECT id FROM calls WHERE previous = ? AND named = 0", (response,)).fetchall()
    for call in _in_order(db, waiting):
        place(db, call)


def _announce_late(db: sqlite3.Connection, said: bytes, depth: int, user: str | None, order: Order) -> None:
    if not _is_given(db, said, user, before=order):
        passing = _in_order(db, db.execute(_PASSING_THROUGH, (said, user, *order)).fetchall())
        detach(db, passing)
        settled = [(said, depth, call.id) for call in passing]
        db.executemany("UPDATE calls SET anchor = ?, anchored = ? WHERE id = ?", settled)
        for anchor in {call.anchor for call in passing if call.anchor is not None}:
            _match(db, anchor, user, since=min(call.order for call in passing if call.anchor == anchor))
    _match(db, said, user, since=order)


def going_on_from(db: sqlite3.Connection, said: bytes, user: str | None, *, since: Order) -> list[Claimant]:
    """The calls that go on from a reply, from `since` on."""
    return _in_order(db, db.execute(_GOING_ON, (said, user, *since)).fetchall())


def following(db: sqlite3.Connection, call: int) -> list[Claimant]:
    """The calls that follow a call, whatever tells so."""
    return _in_order(db, db.execute("SELECT id FROM calls WHERE follows = ?", (call,)).fetchall())


def detach(db: sqlite3.Connection, calls: Sequence[Claimant]) -> None:
    """Let the calls go on from nothing, until they are placed again."""
    db.executemany(
        "UPDATE calls SET anchor = NULL, anchored = NULL, follows = NULL WHERE id = ?", [(call.id,) for call in calls]
    )
    db.executemany(_RECOUNT, {(call.follows, call.anchor) for call in calls if call.follows is not None})


def _follow_response(db: sqlite3.Connection, call: Claimant) -> None:
    """Go on from the call that gave the response, once it is recorded."""
    giver = "SELECT id, conversation FROM calls WHERE response = ? AND id != ? ORDER BY ended DESC LIMIT 1"
    found = db.execute(giver, (call.previous, call.id)).fetchone()
    follows, conversation = found or (None, orphanage(db, call.id))
    db.execute("UPDATE calls SET follows = ? WHERE id = ?", (follows, call.id))
    move(db, call.id, conversation)


def _match(db: sqlite3.Connection, anchor: bytes, user: str | None, *, since: Order) -> None:
    late = going_on_from(db, anchor, user, since=since)
    places = dict(_anchored(db, late))
    detach(db, late)
    for call in late:
        _follow(db, call, anchor, places[call.id])


def _follow(db: sqlite3.Connection, call: Claimant, anchor: bytes, anchored: int | None) -> None:
    """Let a call go on from the one that gave it the reply."""
    follows = _followed_by(db, anchor, call)
    if follows is None:
        move(db, call.id, orphanage(db, call.id))
        return
    placed = (anchor, anchored, follows, call.id)
    db.execute("UPDATE calls SET anchor = ?, anchored = ?, follows = ? WHERE id = ?", placed)
    db.execute(_CLAIM, (follows, anchor))
    [conversation] = db.execute("SELECT conversation FROM calls WHERE id = ?", (follows,)).fetchone()
    move(db, call.id, conversation)


def _anchored(db: sqlite3.Connection, calls: Sequence[Claimant]) -> list[tuple[int, int | None]]:
    anchored = "SELECT id, anchored FROM calls WHERE id = ?"
    return [db.execute(anchored, (call.id,)).fetchone() for call in calls]


def _followed_by(db: sqlite3.Connection, anchor: bytes, call: Claimant) -> int | None:
    """The id of the call that `call` goes on from; None where all that gave the reply go on from it."""
    free = db.execute(_LATEST_GIVING, (anchor, call.user, False, *call.order)).fetchone()
    like = free or db.execute(_FOLLOWED_BY_LIKE, (anchor, call.user, call.id, *call.order)).fetchone()
    latest = like or db.execute(_LATEST_GIVING, (anchor, call.user, True, *call.order)).fetchone()
    if latest is not None:
        return int(latest[0])
    for [giver] in db.execute(_GIVING, (anchor, call.user, call.id)).fetchall():  # by a clock that went ahead
        if db.execute(_FOLLOWED, (giver, call.id)).fetchone() is None:
            return int(giver)
    return None


def _anchor(db: sqlite3.Connection, call: Claimant) -> tuple[bytes | None, int | None]:
    """`said` of the reply that the call goes on from, and how many messages of its history lead up to it.

    The number is 0 where they do not agree to the letter.
    """
    for id in upward(db, call.history):
        said, depth = db.execute("SELECT said, spoken FROM messages WHERE id = ?", (id,)).fetchone()
        if said is not None and _is_given(db, said, call.user, before=call.order):
            return said, depth
    return _loosely(db, call)


def _loosely(db: sqlite3.Connection, call: Claimant) -> tuple[bytes | None, int | None]:
    """The same for a history that no reply was given after to the letter.

    The reply is the last in it, as it is or reworked, and what stands before it agrees with what its call was sent, for
    as far as both go. Where two chats agree equally well, nothing is guessed.
    """
    history = spoken(db, call.history)
    last = next((place for place in reversed(range(len(history))) if history[place].role == "assistant"), None)
    if last is None:
        return None, None
    said = [Spoken(each.own, each.body) for each in history[: last + 1]]
    found = db.execute(_SAYING, (history[last].own, call.user, call.id, CANDIDATES)).fetchall()
    if last:
        found += db.execute(_ANSWERING, (history[last - 1].said, call.user, call.id, CANDIDATES)).fetchall()
    best: tuple[int, set[int], int] = (0, set(), 0)
    for message, conversation in found:  # whatever the clocks say
        known = spoken(db, message)
        if last and len(known) > last + 1 and known[last - 1].said == history[last - 1].said:
            matched = last + 1  # the app asked for more before it showed the answer
        else:
            matched = _agreeing(said, [Spoken(each.own, each.body) for each in reversed(known)])
        if matched > best[0]:
            best = matched, {conversation}, message
        elif matched == best[0]:
            best[1].add(conversation)
    if not best[0] or len(best[1]) != 1:
        return None, None
    [anchor] = db.execute("SELECT said FROM messages WHERE id = ?", (best[2],)).fetchone()
    return anchor, 0  # a reply that is given to the letter takes its place


def _agreeing(said: Sequence[Spoken], known: Sequence[Spoken]) -> int:
    """How many of a history's messages are those up to a reply, which come from the last one up; 0 for another chat."""
    if not is_alike(known[0].body, said[-1].body):
        return 0
    seen = agreement(said, known)
    return seen.matched if _agrees(seen, said, known[0]) else 0


def _agrees(seen: Agreement, said: Sequence[Spoken], reply: Spoken) -> bool:
    """Whether it is enough: an exchange to the letter, a long answer, the same calls of tools, or the whole history.

    Of that some messages may be reworked. More than a summary before what agrees is another chat's.
    """
    if not seen.left and not seen.edits and len(plain(said[-1].body)) >= TELLING:
        return True
    has_its_calls = bool(ids := call_ids(reply.body)) and ids == call_ids(said[-1].body)
    is_reworked = seen.is_whole and seen.matched >= 1 and len(seen.edits) <= seen.matched
    return seen.left <= 2 and (seen.matched >= 2 or is_reworked or has_its_calls)


def _is_given(db: sqlite3.Connection, said: bytes, user: str | None, *, before: Order) -> bool:
    return db.execute(_IS_GIVEN, (said, user, *before)).fetchone() is not None


def _in_order(db: sqlite3.Connection, ids: Sequence[tuple[int]]) -> list[Claimant]:
    return sorted((Claimant.read(db, id) for [id] in dict.fromkeys(ids)), key=lambda call: call.order)
