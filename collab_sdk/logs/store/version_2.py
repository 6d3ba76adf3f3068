"""From version 1 of a store to version 2: its calls are stored anew."""

import sqlite3
from collections.abc import Mapping
from typing import Any

from collab_sdk.errors import InputError, StoreError
from collab_sdk.files import parse_json
from collab_sdk.logs.store.call import LoggedCall
from collab_sdk.logs.store.conversations import refresh
from collab_sdk.logs.store.messages import as_object
from collab_sdk.logs.store.store_rows import to_rows
from collab_sdk.logs.store.writing import write_call

DAMAGED = "damaged when the store was brought up to version 2"
_CALLS = """
    SELECT calls_1.id, run, CASE WHEN named THEN conversations.name END, history, status, error, source, model, toolset,
           user, started, ended, cached, details
    FROM calls_1 JOIN conversations ON conversations.id = calls_1.conversation ORDER BY ended, depth, tie
"""
_PATH = """
    WITH RECURSIVE up (id, depth) AS (
        SELECT id, depth FROM messages_1 WHERE id = ?
        UNION SELECT above.id, above.depth FROM messages_1 AS above
        JOIN messages_1 AS below ON below.parent = above.id JOIN up ON up.id = below.id
    ) SELECT body FROM up JOIN messages_1 USING (id) ORDER BY messages_1.depth
"""
_REPLIES = "SELECT body FROM replies_1 JOIN messages_1 ON messages_1.id = message WHERE call = ? ORDER BY position"


def carry_over(db: sqlite3.Connection) -> None:
    """Store the calls of version 1 anew; those that are damaged, which nobody could read, are counted as unrecorded."""
    damaged = 0
    for row in db.execute(_CALLS).fetchall():
        try:
            rows = to_rows(_call(db, *row))
        except (InputError, StoreError, AttributeError, LookupError, TypeError, ValueError):
            damaged += 1
        else:
            write_call(db, rows)
    if damaged:
        db.execute("INSERT INTO unrecorded (reason, calls) VALUES (?, ?)", (DAMAGED, damaged))
    for [conversation] in db.execute("SELECT id FROM conversations").fetchall():
        refresh(db, conversation)


def _call(db: sqlite3.Connection, id: int, run: str, name: str | None, history: int | None, *rest: Any) -> LoggedCall:
    status, error, source, model, toolset, user, started, ended, cached, details = rest
    said = as_object(details)
    metadata = said.get("metadata") or {}
    response = metadata.pop("response_id", None)
    return LoggedCall(
        run_id=run,
        conversation_id=name,
        messages=_bodies(db, _PATH, history),
        replies=_bodies(db, _REPLIES, id),
        response_id=response,
        status=status,
        error=error,
        source=source,
        model=model,
        parameters=said.get("parameters") or {},
        tools=_tools(db, toolset),
        user=user,
        usage=said.get("usage") or {},
        started=started,
        ended=ended,
        cached=bool(cached),
        metadata=metadata,
    )


def _bodies(db: sqlite3.Connection, query: str, id: int | None) -> tuple[Mapping[str, Any], ...]:
    return tuple(as_object(body) for [body] in db.execute(query, (id,)))


def _tools(db: sqlite3.Connection, toolset: int | None) -> tuple[Mapping[str, Any], ...]:
    found = db.execute("SELECT body FROM toolsets_1 WHERE id = ?", (toolset,)).fetchone()
    return tuple(parse_json(found[0])["tools"]) if found else ()
