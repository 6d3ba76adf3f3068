"""Calls into rows."""

import sqlite3

from collab_sdk.logs.store.conversations import named, refresh
from collab_sdk.logs.store.joining import Claimant, announce, detach, going_on_from, place
from collab_sdk.logs.store.merge import merged
from collab_sdk.logs.store.messages import ancestry, drop_unused, drop_unused_tools, keep, keep_tools
from collab_sdk.logs.store.reading import read_call
from collab_sdk.logs.store.store_rows import CallRows, to_rows

_INSERT_CALL = """
    INSERT INTO calls (run, conversation, named, history, ended, depth, tie, started, status,
                       error, source, model, user, toolset, cached, details)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
"""
_INSERT_REPLY = """
    INSERT INTO replies (call, position, message, claimed, user, ended, depth, tie) VALUES (?, ?, ?, 0, ?, ?, ?, ?)
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
    conversation = named(db, call.conversation_id) if call.conversation_id else 0  # 0: until it is placed
    values = (call.run_id, conversation, call.conversation_id is not None, history, *order, call.started, call.status)
    rest = (call.error, call.source, call.model, call.user, keep_tools(db, rows.tools), call.cached, rows.details)
    id = db.execute(_INSERT_CALL, values + rest).lastrowid or 0
    replies = [keep(db, [node], below=history) for node in rows.replies]
    db.executemany(
        _INSERT_REPLY, [(id, position, message, call.user, *order) for position, message in enumerate(replies)]
    )
    if conversation:
        refresh(db, conversation)
    else:
        place(db, Claimant(id=id, history=history, user=call.user, order=order))
    for message in replies:
        if message is not None:
            announce(db, message, call.user, order)


def _replace(db: sqlite3.Connection, id: int, rows: CallRows) -> None:
    """Store a run anew, and place those again that went on from it, or from what it went on from."""
    own = Claimant.read(db, id)
    conversation, tools = db.execute("SELECT conversation, toolset FROM calls WHERE id = ?", (id,)).fetchone()
    given = [message for [message] in db.execute("SELECT message FROM replies WHERE call = ?", (id,))]
    places = [message for message in (own.anchor, *given) if message is not None]
    displaced = [call for message in places for call in going_on_from(db, message, own.user, since=own.order)]
    doubtful = ancestry(db, [own.history, *given])
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
