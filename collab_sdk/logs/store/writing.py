"""Calls into rows."""

import sqlite3

from collab_sdk.logs.store.call import IMPORTED
from collab_sdk.logs.store.conversations import named, refresh
from collab_sdk.logs.store.joining import Claimant, announce, detach, following, going_on_from, place
from collab_sdk.logs.store.merge import merged
from collab_sdk.logs.store.messages import ancestry, drop_unused, drop_unused_tools, keep, keep_tools
from collab_sdk.logs.store.reading import read_call
from collab_sdk.logs.store.side_calls import join_side_calls
from collab_sdk.logs.store.store_rows import CallRows, to_rows

_INSERT_CALL = """
    INSERT INTO calls (
        run, conversation, named, lead, history, ended, depth, tie, said, last, shown, toolset, started, status, error,
        source, model, user, cached, details, shown_is_turn, is_side, is_added, response, previous
    ) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
"""
_INSERT_REPLY = """
    INSERT INTO replies (call, position, message, claimed, user, ended, depth, tie, own, said)
    VALUES (?, ?, ?, 0, ?, ?, ?, ?, ?, ?)
"""


def write_call(db: sqlite3.Connection, rows: CallRows) -> None:
    """Store a call; of a run that is known, what the two records say together."""
    found = db.execute("SELECT id FROM calls WHERE run = ?", (rows.call.run_id,)).fetchone()
    if found is None:
        _insert(db, rows)
        return
    stored = read_call(db, found[0])
    both = merged(stored, rows.call)
    if both != stored:
        _replace(db, found[0], to_rows(both))


def _insert(db: sqlite3.Connection, rows: CallRows) -> None:
    call, order = rows.call, rows.order
    history = keep(db, rows.history)
    said = rows.history[-1].said if rows.history else None
    conversation = named(db, call.conversation_id) if call.conversation_id else 0  # 0: until it is placed
    values = (
        *(call.run_id, conversation, call.conversation_id is not None, keep(db, rows.lead), history, *order),
        *(said, rows.last),
        *(keep(db, rows.shown), keep_tools(db, rows.tools), call.started, call.status, call.error, call.source),
        *(call.model, call.user, call.cached, rows.details, call.shown_is_turn, call.is_side, call.is_added),
        *(call.response_id, call.previous_response),
    )
    id = db.execute(_INSERT_CALL, values).lastrowid or 0
    replies = [keep(db, [node], below=history) for node in rows.replies]
    given = zip(replies, rows.replies, strict=True)
    db.executemany(
        _INSERT_REPLY,
        [(id, place, message, call.user, *order, node.own, node.said) for place, (message, node) in enumerate(given)],
    )
    if conversation:
        refresh(db, conversation)
    else:
        place(db, Claimant.read(db, id))
    for message in replies:
        if message is not None:
            announce(db, message, call.user, order, response=call.response_id)
    if replies and not call.is_side and call.source != IMPORTED:
        join_side_calls(db, id, user=call.user, ended=call.ended)


def _replace(db: sqlite3.Connection, id: int, rows: CallRows) -> None:
    """Store a run anew, and place those again that went on from it, or from what it went on from."""
    own = Claimant.read(db, id)
    columns = "SELECT conversation, toolset, shown, lead FROM calls WHERE id = ?"
    conversation, tools, shown, lead = db.execute(columns, (id,)).fetchone()
    given = db.execute("SELECT message, said FROM replies WHERE call = ?", (id,)).fetchall()
    anchors = [anchor for anchor in (own.anchor, *(said for _, said in given)) if anchor is not None]
    displaced = [call for anchor in anchors for call in going_on_from(db, anchor, own.user, since=own.order)]
    displaced += following(db, id)
    doubtful = ancestry(db, [own.history, shown, lead, *(message for message, _ in given)])
    detach(db, displaced)
    db.execute("DELETE FROM replies WHERE call = ?", (id,))
    db.execute("DELETE FROM calls WHERE id = ?", (id,))
    _insert(db, rows)
    for call in sorted(displaced, key=lambda call: call.order):
        if call.id != id:
            detach(db, [Claimant.read(db, call.id)])  # the new record may have been followed already
            place(db, call)
    refresh(db, conversation)
    drop_unused(db, doubtful)
    drop_unused_tools(db, [tools])
